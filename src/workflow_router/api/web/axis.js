// Owns the axis of time under a picture: where a moment lies between 0 and 100, with long waits folded so that what was done
// in between can be seen. Refuses to draw.

const FOLD_AT = 4; // waits are folded where all is this many times as long as what was done
const MOST = 12; // gaps; where there are more, nothing is folded
const SHARE = 0.5; // a folded gap takes at most this part of what was done

/** Times of work, joined where they touch. */
function joined(spans) {
  const found = [];
  for (const [from, to] of [...spans].sort((a, b) => a[0] - b[0])) {
    const last = found.at(-1);
    if (last && from <= last[1]) last[1] = Math.max(last[1], to);
    else found.push([from, to]);
  }
  return found;
}

/**
 * @param spans `[from, to]` in ms, of what was done rather than waited for.
 * @returns {{place, time, gaps, foldable}} `place(ms)` in per cent, `time(percent)` in ms, and the folded gaps `{left, width, ms}`.
 */
export function axisOf(begun, end, spans, folds = true) {
  const whole = Math.max(1, end - begun);
  const busy = joined(spans);
  const work = Math.max(1, busy.reduce((sum, [from, to]) => sum + to - from, 0));
  const edges = [begun, ...busy.flat(), end];
  const longest = work * SHARE;
  const long = [];
  for (let at = 0; at < edges.length; at += 2) if (edges[at + 1] - edges[at] > longest * 2) long.push([edges[at], edges[at + 1]]);
  const foldable = busy.length > 0 && long.length > 0 && long.length <= MOST && whole > FOLD_AT * work;
  const parts = []; // {from, to, length}
  let at = begun;
  for (const [from, to] of foldable && folds ? long : []) {
    if (from > at) parts.push({ from: at, to: from, length: from - at });
    parts.push({ from, to, length: longest / Math.sqrt(long.length), gap: true });
    at = to;
  }
  if (at < end || parts.length === 0) parts.push({ from: at, to: Math.max(end, at + 1), length: Math.max(end - at, 1) });
  const total = parts.reduce((sum, one) => sum + one.length, 0);
  let left = 0;
  for (const one of parts) {
    one.left = left;
    one.width = (one.length / total) * 100;
    left += one.width;
  }
  const place = (ms) => {
    const one = parts.find((part) => ms <= part.to) ?? parts.at(-1);
    return Math.min(100, Math.max(0, one.left + ((ms - one.from) / (one.to - one.from)) * one.width));
  };
  const time = (percent) => {
    const one = parts.find((part) => percent <= part.left + part.width) ?? parts.at(-1);
    return one.from + ((percent - one.left) / (one.width || 1)) * (one.to - one.from);
  };
  return { place, time, foldable, gaps: parts.filter((one) => one.gap).map(({ left: x, width, from, to }) => ({ left: x, width, ms: to - from })) };
}
