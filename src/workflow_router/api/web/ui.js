// Owns the parts that every page is made of: data that keeps itself fresh, tables, statuses, values, dialogs, notices.
// Refuses to know any page. Values are always text here, never markup.

import { html, useCallback, useEffect, useRef, useState } from "./vendor/preact-htm.js";
import { get } from "./api.js";
import { ago, inline, moment, short } from "./format.js";
import { listen } from "./live.js";
import { heed, may, session } from "./me.js";

export { html, useCallback, useEffect, useRef, useState };
export { may };
export { useMemo } from "./vendor/preact-htm.js";

/** Whether two paths are the same door, asked for other things. */
const sameDoor = (one, other) => one !== null && other !== null && one.split("?")[0] === other.split("?")[0];

const FRESH_MS = 300; // transitions come in bursts; a page asks again once for all of them
const CALM_MS = 5_000; // while they do not end, it asks ever less often, down to once in this time

/**
 * The JSON at a path, asked for again when a transition comes whose kind begins with one of `kinds`; with `run`, only when
 * it may be one of that run.
 * @returns {{data, error, reload}} `data` is what came last, also while it is asked for again, or for with other parameters:
 * a list that is filtered does not vanish first.
 */
export function useData(path, kinds = [], run = null) {
  const [state, setState] = useState({ path: null, data: null, error: null });
  const asked = useRef(0);
  const reload = useCallback(async () => {
    if (path === null) return;
    const number = ++asked.current;
    let next;
    try {
      next = { path, data: await get(path), error: null };
    } catch (error) {
      next = { path, error };
    }
    if (number === asked.current) setState((last) => (next.error && last.path === path ? { ...last, ...next } : { data: null, ...next }));
  }, [path]);
  useEffect(() => void reload(), [reload]);
  useFresh(kinds, reload, run);
  if (state.path === path) return { ...state, reload };
  return { data: sameDoor(state.path, path) ? state.data : null, error: null, reload };
}

const concerns = (digest, kinds, run) =>
  digest === null || digest.kinds === null ||
  ((run === null || digest.runs === null || digest.runs.includes(run)) && Object.keys(digest.kinds).some((one) => kinds.some((kind) => one.startsWith(kind))));

/** Call `reload` soon after transitions of these kinds, and when the connection is back. */
export function useFresh(kinds, reload, run = null) {
  const wanted = kinds.join(" ");
  useEffect(() => {
    if (!wanted) return undefined;
    let timer = 0;
    let last = 0;
    let pause = FRESH_MS;
    const again = async () => {
      last = performance.now();
      await reload();
      const took = performance.now() - last;
      pause = Math.min(CALM_MS, Math.max(pause * 1.5, took * 10));
      timer = 0;
    };
    const soon = () => {
      if (timer) return;
      const since = performance.now() - last;
      if (since > 2 * pause + 1_000) pause = FRESH_MS;
      timer = setTimeout(again, Math.max(FRESH_MS, pause - since));
    };
    const stop = listen((digest) => concerns(digest, wanted.split(" "), run) && soon());
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [wanted, reload, run]);
}

/** Who is signed in, or null. */
export function useMe() {
  const [me, setMe] = useState(session.me);
  useEffect(() => heed(setMe), []);
  return me;
}

/** Shows what it holds to those who may do it. */
export function May({ do: scope, children }) {
  useMe();
  return may(scope) ? children : null;
}

/** The time, each `every_ms`, so that ages and countdowns move. */
export function useNow(every_ms = 10_000) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every_ms);
    return () => clearInterval(timer);
  }, [every_ms]);
  return now;
}

const TONES = {
  completed: "good", approved: "good", succeeded: "good", live: "good", ready: "good", acked: "good",
  "well formed": "good", running: "busy", leased: "busy", intended: "busy", pending: "quiet", waiting: "wait", open: "wait", canary: "wait",
  suspended: "warn", held: "warn", expired: "warn", abandoned: "warn", spent: "bad", withdrawn: "quiet", shadow: "quiet", disabled: "quiet",
  faulted: "bad", failed: "bad", rejected: "bad", dead: "bad", cancelled: "quiet", stuck: "bad",
};

/** A status: a mark and the word, never colour alone. */
export const Status = ({ of, word = of }) => html`<span class="status ${TONES[of] || "quiet"}"><i aria-hidden="true"></i>${word}</span>`;

/** A time, as an age; the whole of it on hover. */
export function Time({ ms }) {
  const now = useNow();
  return ms ? html`<time dateTime=${new Date(ms).toISOString()} title=${moment(ms)}>${ago(ms, now)}</time>` : "–";
}

/** An id, short, whole on hover. */
export const Id = ({ of, href }) =>
  href ? html`<a class="id" href=${href} title=${of}>${short(of)}</a>` : html`<span class="id" title=${of}>${short(of)}</span>`;

export const Button = ({ kind = "", busy = false, children, ...rest }) =>
  html`<button type="button" class="button ${kind}" disabled=${busy || rest.disabled} aria-busy=${busy} ...${rest}>${children}</button>`;

/** What failed, and how to mend it. */
export const Failure = ({ error, retry }) =>
  error && html`<div class="notice bad" role="alert"><b>${error.message}</b> ${error.remedy || ""}
    ${retry && html` <button type="button" class="link" onClick=${retry}>Try again</button>`}</div>`;

/** Said where there is nothing to show. */
export const Empty = ({ title, children }) => html`<div class="empty"><h3>${title}</h3><div>${children}</div></div>`;

export const Skeleton = ({ rows = 5 }) =>
  html`<div class="skeleton" role="status" aria-label="Loading">${Array.from({ length: rows }, (_, at) => html`<i key=${at}></i>`)}</div>`;

/**
 * A table; `columns` are `{name, of: row => cell, kind}`. A row with `href` is opened by a click on it.
 * On a phone each row becomes a card.
 */
export function Table({ columns, rows, keyOf = (row) => row.id, hrefOf, label }) {
  return html`<div class="table" tabindex="0" role="region" aria-label=${label}>
    <table>
      <thead><tr>${columns.map((one) => html`<th key=${one.name} scope="col" class=${one.kind || ""}>${one.name}</th>`)}</tr></thead>
      <tbody>${rows.map((row) => {
        const href = hrefOf?.(row);
        const go = href && ((event) => event.target.closest("a, button, input") || (location.hash = href));
        return html`<tr key=${keyOf(row)} class=${href ? "opens" : ""} onClick=${go}>
          ${columns.map((one) => html`<td key=${one.name} data-name=${one.name} class=${one.kind || ""}>${one.of(row)}</td>`)}</tr>`;
      })}</tbody>
    </table></div>`;
}

const WHOLE = 20_000; // characters of a value that are shown at first

const PARTS = /("(?:[^"\\]|\\.)*")(\s*:)?|-?\b\d[\d.eE+-]*|\b(?:true|false|null)\b/g;
const PAINTED = 2_000; // parts that get a colour, so that a large value costs no more than its text

/** JSON with names, texts and other values told apart by colour. Each piece stays text. */
function painted(text) {
  const pieces = [];
  let from = 0;
  for (const found of text.matchAll(PARTS)) {
    if (pieces.length > 2 * PAINTED) break;
    const kind = found[2] ? "name" : found[1] ? "text" : "other";
    const part = found[1] ?? found[0];
    pieces.push(text.slice(from, found.index), html`<span class=${kind}>${part}</span>`);
    from = found.index + part.length;
  }
  return [...pieces, text.slice(from)];
}

/** A JSON value, as text. A long one is cut until it is asked for. */
export function Json({ of, label = "Value" }) {
  const [whole, setWhole] = useState(false);
  const text = typeof of === "string" ? of : JSON.stringify(of, null, 2) ?? "";
  const cut = !whole && text.length > WHOLE;
  const shown = cut ? text.slice(0, WHOLE) : text;
  return html`<div class="json">
    <${Copy} text=${text} />
    <pre tabindex="0" aria-label=${label}>${typeof of === "string" ? shown : painted(shown)}</pre>
    ${cut && html`<button type="button" class="link" onClick=${() => setWhole(true)}>Show all ${text.length} characters</button>`}
  </div>`;
}

/** Copies a text. */
export function Copy({ text, label = "Copy" }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await navigator.clipboard?.writeText(text);
    setDone(true);
    setTimeout(() => setDone(false), 1_500);
  };
  return html`<button type="button" class="copy" onClick=${copy}>${done ? "Copied" : label}</button>`;
}

/** Members of an object, a line each. */
export const Facts = ({ of }) => html`<dl class="facts">${Object.entries(of).filter(([, value]) => value !== null && value !== undefined && value !== "")
  .map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${typeof value === "object" && !value.__k && value.type === undefined ? inline(value) : value}</dd></div>`)}</dl>`;

/** Tabs, moved through with the arrow keys; the chosen one is in `value`. */
export function Tabs({ value, onChange, tabs, label }) {
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = (tabs.indexOf(value) + step + tabs.length) % tabs.length;
    onChange(tabs[at]);
    event.currentTarget.children[at].focus();
  };
  return html`<div class="tabs" role="tablist" aria-label=${label} onKeyDown=${move}>${tabs.map((one) => html`<button key=${one} type="button"
    role="tab" aria-selected=${one === value} tabindex=${one === value ? 0 : -1} onClick=${() => onChange(one)}>${one}</button>`)}</div>`;
}

/** A dialog over the page; Escape and a click beside it close it, and focus goes back. */
export function Dialog({ title, onClose, children }) {
  const dialog = useRef(null);
  useEffect(() => {
    dialog.current.showModal();
    if (dialog.current.querySelector("[autofocus]")) return;
    const field = matchMedia("(pointer: fine)").matches && dialog.current.querySelector("form :is(input, select, textarea)"); // a phone's keyboard comes when it is asked for
    (field || dialog.current.querySelector("h2")).focus();
  }, []);
  return html`<dialog ref=${dialog} aria-labelledby="dialog-title" onClose=${onClose}
      onClick=${(event) => event.target === dialog.current && dialog.current.close()}>
    <div class="sheet"><header><h2 id="dialog-title" tabindex="-1">${title}</h2>
      <button type="button" class="close" aria-label="Close" onClick=${() => dialog.current.close()}>×</button></header>${children}</div></dialog>`;
}

/** Runs an action once at a time; returns `[act, busy, error]`. */
export function useAction(action, after) {
  const [state, setState] = useState({ busy: false, error: null });
  const act = async (...given) => {
    setState({ busy: true, error: null });
    try {
      const found = await action(...given);
      setState({ busy: false, error: null });
      after?.(found);
    } catch (error) {
      setState({ busy: false, error });
    }
  };
  return [act, state.busy, state.error];
}

let asking = null;

/** Ask before something that cannot be taken back; resolves to whether it is wanted. */
export const ask = (question, verb, kind = "danger") => new Promise((answer) => asking?.({ question, verb, kind, answer }));

/** Where questions are asked. */
export function Asking() {
  const [one, setOne] = useState(null);
  useEffect(() => {
    asking = setOne;
    return () => {
      asking = null;
    };
  }, []);
  if (!one) return null;
  const answer = (wanted) => {
    one.answer(wanted);
    setOne(null);
  };
  return html`<${Dialog} title=${one.question} onClose=${() => answer(false)}>
    <div class="row end"><${Button} autofocus onClick=${() => answer(false)}>No<//><${Button} kind=${one.kind} onClick=${() => answer(true)}>${one.verb}<//></div><//>`;
}

const notices = new Set();

/** Say something at the foot of the page for a while. */
export const notify = (text, tone = "good") => notices.forEach((show) => show({ text, tone, id: Math.random() }));

/** Where notices are shown. */
export function Notices() {
  const [shown, setShown] = useState([]);
  useEffect(() => {
    const show = (one) => {
      setShown((all) => [...all.slice(-3), one]);
      setTimeout(() => setShown((all) => all.filter((other) => other !== one)), 5_000);
    };
    notices.add(show);
    return () => notices.delete(show);
  }, []);
  return html`<div class="notices" role="status" aria-live="polite">${shown.map((one) => html`<p key=${one.id} class="notice ${one.tone}">${one.text}</p>`)}</div>`;
}
