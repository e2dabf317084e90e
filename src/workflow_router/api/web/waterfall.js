// Owns the picture of things in time: a row for each, its bar where it was, deeper ones further in. Only the rows in sight are
// drawn, so that 10,000 of them stay usable. Refuses to know what they are.

import { axisOf } from "./axis.js";
import { span } from "./format.js";
import { Kind } from "./icons.js";
import { Empty, html, useMemo, useRef, useState } from "./ui.js";

const ROW = 36;
const AROUND = 12;
const WAITS = ["approval", "sleep", "timer", "receive", "wait", "intercept"];
const HOLDERS = ["event", "mapping", "run", "message", "child"]; // they last while what they led to does
const BAD = ["faulted", "failed", "dead", "rejected", "refused"];

const ALONE = ["receive", "sleep", "timer", "wait", "intercept", "stream"]; // steps that have nothing below them which says more

const waits = (one) => WAITS.some((kind) => (one.kind === "step" && one.detail?.kind ? one.detail.kind : one.kind).startsWith(kind));

/** The kind that a thing is drawn as. */
export const kindOf = (one) => (one.kind === "step" && ALONE.includes(one.detail?.kind) ? one.detail.kind : one.kind);

/** The colour of a bar: what failed, what still goes on, what only waited, and the rest. */
export function toneOf(one) {
  const { status, open } = one;
  if (BAD.includes(status)) return "bad";
  if (open && (waits(one) || ["waiting", "open", "asked"].includes(status))) return "wait";
  if (open) return "busy";
  return waits(one) ? "wait" : "";
}

/** Where the words of a bar stand: in it, after it, or before it. */
function beside(left, width) {
  if (width > 18) return { inside: true, style: { right: `${100 - left - width}%` } };
  return { inside: false, style: left + width < 80 ? { left: `${left + width}%` } : { right: `${100 - left}%` } };
}

/**
 * @param rows `{key, name, kind, status, note, depth, started_ms, finished_ms, open}`, in the order in which they are drawn.
 * @param begun where the axis begins, ms.
 */
export function Waterfall({ rows, begun, chosen, onChoose, empty }) {
  const [top, setTop] = useState(0);
  const [folds, setFolds] = useState(true);
  const frame = useRef(null);
  const end = rows.reduce((latest, one) => Math.max(latest, one.finished_ms), begun + 1);
  const axis = useMemo(() => axisOf(begun, end, rows.filter((one) => !HOLDERS.includes(one.kind) && !waits(one) && toneOf(one) !== "wait").map((one) => [one.started_ms, one.finished_ms]), folds), [rows, begun, end, folds]);
  if (rows.length === 0) return html`<${Empty} title=${empty}>It appears here when it is committed.<//>`;
  const first = Math.max(0, Math.floor(top / ROW) - AROUND);
  const shown = rows.slice(first, first + Math.ceil((frame.current?.clientHeight || 640) / ROW) + 2 * AROUND);
  const gaps = axis.gaps.map((one) => html`<i key=${one.left} class="gap" style=${{ left: `${one.left}%`, width: `${one.width}%` }}></i>`);
  return html`<div class="waterfall">
    <div class="scale"><span class="switch">${axis.foldable && html`<button type="button" class="link" aria-pressed=${folds} title="Long waits take little room, so that what was done in between can be seen" onClick=${() => setFolds(!folds)}>${folds ? "Waits folded" : "Fold waits"}</button>`}</span>
      <span class="marks" aria-hidden="true"><span>0</span>${axis.gaps.length > 0 ? axis.gaps.filter((one) => one.left + one.width / 2 < 80).map((one) => html`<em key=${one.left} style=${{ left: `${one.left + one.width / 2}%` }}>${span(one.ms)}</em>`) : html`<span>${span(axis.time(50) - begun)}</span>`}<span>${span(end - begun)}</span></span></div>
    <div class="rows" ref=${frame} onScroll=${(event) => setTop(event.currentTarget.scrollTop)}>
      <div style=${{ height: `${first * ROW}px` }}></div>
      ${shown.map((one) => {
        const left = axis.place(one.started_ms);
        const width = axis.place(one.finished_ms) - left;
        const took = one.finished_ms > one.started_ms ? span(one.finished_ms - one.started_ms) : "";
        const { inside, style } = beside(left, width);
        return html`<button type="button" key=${one.key} class="step" aria-pressed=${one.key === chosen} onClick=${() => onChoose(one.key)}>
          <span class="name" style=${{ paddingLeft: `${Math.min(one.depth || 0, 12) * 16}px` }}><${Kind} of=${kindOf(one)} />
            <b title=${one.name}>${one.name}</b><em>${one.note || ""}</em><span class="visually-hidden">${one.kind}, ${one.status}, ${took}</span></span>
          <span class="lane" aria-hidden="true">${gaps}<i class="bar ${toneOf(one)}" style=${{ left: `${left}%`, width: `${width}%` }}></i><span class="took ${inside ? "inside" : ""}" style=${style}>${took}</span></span>
        </button>`;
      })}
      <div style=${{ height: `${(rows.length - first - shown.length) * ROW}px` }}></div>
    </div></div>`;
}
