// Owns the picture of things in time: a row for each, its bar where it was, deeper ones further in. Only the rows in sight are
// drawn, so that 10,000 of them stay usable. Refuses to know what they are.

import { span } from "./format.js";
import { Empty, html, useRef, useState } from "./ui.js";

const ROW = 36;
const AROUND = 12;
/** The letter of a kind of thing. */
export const LETTERS = { step: "S", dispatch: "D", attempt: "·", approval: "A", publish: "M", message: "M", sleep: "T", receive: "W", wait: "W", child: "R", run: "R", event: "E", mapping: "P", delivery: "L", answer: "Y" };
const WAITS = ["approval", "sleep", "receive", "wait"];
const BAD = ["faulted", "failed", "dead", "rejected", "refused"];

/** The colour of a bar: what failed, what still goes on, what only waited, and the rest. */
export function toneOf({ kind, status, open }) {
  if (BAD.includes(status)) return "bad";
  if (open && ["waiting", "open", "asked"].includes(status)) return "wait";
  if (open) return "busy";
  return WAITS.some((one) => kind.startsWith(one)) ? "wait" : "";
}

/**
 * @param rows `{key, name, kind, status, note, depth, started_ms, finished_ms, open}`, in the order in which they are drawn.
 * @param begun where the axis begins, ms.
 */
export function Waterfall({ rows, begun, chosen, onChoose, empty }) {
  const [top, setTop] = useState(0);
  const frame = useRef(null);
  if (rows.length === 0) return html`<${Empty} title=${empty}>It appears here when it is committed.<//>`;
  const end = rows.reduce((latest, one) => Math.max(latest, one.finished_ms), begun + 1);
  const share = (ms) => (Math.max(0, ms - begun) / (end - begun)) * 100;
  const first = Math.max(0, Math.floor(top / ROW) - AROUND);
  const shown = rows.slice(first, first + Math.ceil((frame.current?.clientHeight || 640) / ROW) + 2 * AROUND);
  return html`<div class="waterfall">
    <div class="scale" aria-hidden="true"><span>0</span><span>${span((end - begun) / 2)}</span><span>${span(end - begun)}</span></div>
    <div class="rows" ref=${frame} onScroll=${(event) => setTop(event.currentTarget.scrollTop)}>
      <div style=${{ height: `${first * ROW}px` }}></div>
      ${shown.map((one) => {
        const left = share(one.started_ms);
        const width = share(one.finished_ms) - left;
        const took = one.finished_ms > one.started_ms ? span(one.finished_ms - one.started_ms) : "";
        const inside = left + width >= 82 && left <= 14;
        const beside = inside ? { right: `${100 - left - width}%` } : left + width < 82 ? { left: `${left + width}%` } : { right: `${100 - left}%` };
        return html`<button type="button" key=${one.key} class="step" aria-pressed=${one.key === chosen} onClick=${() => onChoose(one.key)}>
          <span class="name" style=${{ paddingLeft: `${Math.min(one.depth || 0, 12) * 16}px` }}><span class="kind" title=${one.kind} aria-hidden="true">${LETTERS[one.kind] || one.kind[0].toUpperCase()}</span>
            <b title=${one.name}>${one.name}</b><em>${one.note || ""}</em><span class="visually-hidden">${one.kind}, ${one.status}, ${took}</span></span>
          <span class="lane" aria-hidden="true"><i class="bar ${toneOf(one)}" style=${{ left: `${left}%`, width: `${width}%` }}></i><span class="took ${inside ? "inside" : ""}" style=${beside}>${took}</span></span>
        </button>`;
      })}
      <div style=${{ height: `${(rows.length - first - shown.length) * ROW}px` }}></div>
    </div></div>`;
}
