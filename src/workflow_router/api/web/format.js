// Owns how numbers, times and values are written. Times are in the viewer's zone.

const NUMBER = new Intl.NumberFormat();
const COMPACT = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const DAY = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

export const number = (value) => (Math.abs(value) >= 100_000 ? COMPACT : NUMBER).format(value);
export const exact = (value) => NUMBER.format(value);
export const moment = (ms) => `${TIME.format(ms)} (${ZONE})`;
export const clock = (ms) => CLOCK.format(ms);

/** A time as one would say it: how long ago, or the day. */
export function ago(ms, now = Date.now()) {
  const s = (now - ms) / 1000;
  if (s < -1) return `in ${span(-s * 1000)}`;
  if (s < 5) return "just now";
  return s < 86_400 ? `${span(Math.floor(s) * 1000)} ago` : DAY.format(ms);
}

/** A duration in the unit that fits. */
export function span(ms) {
  if (ms === 0) return "under 1 ms"; // times are kept in whole milliseconds
  if (ms < 1) return `${ms.toFixed(2)} ms`;
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 && ms % 1000 >= 50 ? 1 : 0)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 2_880) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.floor(minutes / 1_440)} days`;
}

/** The part of an id that tells it from others made at the same time. */
export const short = (id) => (id.length > 20 ? `…${id.slice(-8)}` : id);

/** What is said of something, as names and values rather than as JSON. */
export function told(detail) {
  if (detail === null || typeof detail !== "object" || Array.isArray(detail)) return inline(detail ?? "", 400);
  return Object.entries(detail).map(([name, value]) => `${name.replaceAll("_", " ")} ${inline(value, 120)}`).join(" · ");
}

const WINDOWS = { 60: "minute", 3600: "hour", 86400: "day", 604800: "week" };

/** The window of a limit in words: "fixed 86400s" is per day. */
export function within(window) {
  if (window === "total") return "in all";
  const [, kind, s] = /^(\w+) (\d+)s$/.exec(window) ?? [];
  if (!s) return `per ${window}`;
  const words = `per ${WINDOWS[s] ?? span(Number(s) * 1000)}`;
  return kind === "fixed" ? words : `${words}, ${kind}`;
}

/** One line of a JSON value. */
export function inline(value, length = 120) {
  const text = typeof value === "string" ? value : JSON.stringify(value) ?? "";
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

/** What a value is about: its plain members, one after the other. */
export function gist(value, length = 160) {
  if (value === null || typeof value !== "object") return inline(value ?? "", length);
  const plain = Object.values(value).flat().filter((one) => one !== "" && (typeof one === "string" || typeof one === "number"));
  return inline(plain.length ? plain.join(" · ") : value, length);
}

/** Nano-dollars as money. */
export const money = (nano) => `$${(nano / 1e9).toFixed(nano < 1e7 ? 5 : 2)}`;
