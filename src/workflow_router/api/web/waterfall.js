// Owns the picture of a run in time: a row per step, its bar where it was. Only the rows in sight are drawn, so that runs of
// 10,000 steps stay usable.

import { span } from "./format.js";
import { Empty, html, useNow, useRef, useState } from "./ui.js";

const ROW = 36;
const AROUND = 12;
const KINDS = { step: "S", dispatch: "D", approval: "A", publish: "M", sleep: "T", receive: "W", wait: "W", child: "R", run: "R" };
const WAITS = ["approval", "sleep", "receive", "wait", "event"];

const tone = (step) => (step.status === "faulted" ? "bad" : step.open ? "busy" : WAITS.some((kind) => step.kind.startsWith(kind)) ? "wait" : "");

/** The steps by when they began; an open question is the last of them and goes on until now. */
function rows(run, question, now) {
  const found = [...run.steps].sort((a, b) => a.started_ms - b.started_ms || a.seq - b.seq);
  if (question) {
    found.push({ key: question.step_key, name: question.name, kind: "approval", status: "open", open: true, started_ms: question.created_ms, finished_ms: now, attempts: 1 });
  }
  return found;
}

export function Waterfall({ run, question, chosen, onChoose }) {
  const now = useNow(1_000);
  const [top, setTop] = useState(0);
  const frame = useRef(null);
  const all = rows(run, question, now);
  if (all.length === 0) return html`<${Empty} title="No steps yet">A step appears here when it is committed.<//>`;
  const begun = Math.min(run.created_ms, all[0].started_ms);
  const end = Math.max(...all.map((one) => one.finished_ms), begun + 1);
  const share = (ms) => ((ms - begun) / (end - begun)) * 100;
  const first = Math.max(0, Math.floor(top / ROW) - AROUND);
  const shown = all.slice(first, first + Math.ceil((frame.current?.clientHeight || 640) / ROW) + 2 * AROUND);
  return html`<div class="waterfall">
    <div class="scale" aria-hidden="true"><span>0</span><span>${span((end - begun) / 2)}</span><span>${span(end - begun)}</span></div>
    <div class="rows" ref=${frame} onScroll=${(event) => setTop(event.currentTarget.scrollTop)}>
      <div style=${{ height: `${first * ROW}px` }}></div>
      ${shown.map((one) => {
        const left = share(one.started_ms);
        const width = share(one.finished_ms) - left;
        const took = span(one.finished_ms - one.started_ms);
        const beside = left + width < 78 ? { left: `${left + width}%` } : { right: `${100 - left}%` };
        return html`<button type="button" key=${one.key} class="step" aria-pressed=${one.key === chosen} onClick=${() => onChoose(one.key)}>
          <span class="name"><span class="kind" title=${one.kind} aria-hidden="true">${KINDS[one.kind] || one.kind[0].toUpperCase()}</span><b title=${one.name}>${one.name}</b>
            <em>${one.attempts > 1 ? `${one.attempts} attempts` : ""}</em><span class="visually-hidden">${one.kind}, ${one.status}, ${took}</span></span>
          <span class="lane" aria-hidden="true"><i class="bar ${tone(one)}" style=${{ left: `${left}%`, width: `${width}%` }}></i><span class="took" style=${beside}>${took}</span></span>
        </button>`;
      })}
      <div style=${{ height: `${(all.length - first - shown.length) * ROW}px` }}></div>
    </div></div>`;
}
