// Owns comparing a run with another of its workflow: their steps side by side, what is the same folded away.

import { query } from "../api.js";
import { inline, span } from "../format.js";
import { Empty, Failure, html, Id, Json, Skeleton, Status, useData, useState } from "../ui.js";

const OTHERS = 60;
const WORDS = { same: ["good", "same"], changed: ["wait", "changed"], only_first: ["warn", "only here"], only_second: ["warn", "only there"] };

const Side = ({ of }) => (of === null ? html`<p class="quiet-text">It has no such step.</p>` : html`<div class="stack"><div class="row"><${Status} of=${of.status} /><span class="quiet-text">${span(of.finished_ms - of.started_ms)}</span></div>
  <${Json} of=${of.error ?? of.output} label="What it gave" /></div>`);

function Step({ one }) {
  const [open, setOpen] = useState(one.what !== "same");
  const [tone, words] = WORDS[one.what];
  const step = one.first ?? one.second;
  return html`<li class="pair"><button type="button" class="fold" aria-expanded=${open} onClick=${() => setOpen(!open)}><b>${step.name}</b> <span class="quiet-text">${one.key}</span>
      <span class="status ${tone}"><i aria-hidden="true"></i>${words}</span></button>
    ${open && html`<div class="sides"><${Side} of=${one.first} /><${Side} of=${one.second} /></div>`}</li>`;
}

function Steps({ run, other }) {
  const { data, error } = useData(`/api/runs/${run.id}/diff/${encodeURIComponent(other)}`, ["run.", "step."], run.id);
  const [all, setAll] = useState(false);
  const second = useData(`/api/runs/${encodeURIComponent(other)}`, ["run."], other).data;
  if (data === null) return html`<${Failure} error=${error} />${!error && html`<${Skeleton} />`}`;
  const differ = data.filter((one) => one.what !== "same");
  const shown = (all ? data : differ).slice(0, 200);
  return html`<section class="panel"><header><h2>${differ.length === 0 ? "No step differs" : `${differ.length} of ${data.length} steps differ`}</h2>
      <button type="button" class="link more" onClick=${() => setAll(!all)}>${all ? "Only what differs" : "Show all"}</button></header>
    <div class="sides names"><span>This run <${Id} of=${run.id} /> <${Status} of=${run.status} /></span><span>The other <${Id} of=${other} href="#/runs/${other}" /> ${second && html`<${Status} of=${second.status} />`}</span></div>
    <ul>${second && JSON.stringify(second.input) !== JSON.stringify(run.input) && html`<li class="pair"><p class="fold"><b>Input</b> <span class="status wait"><i aria-hidden="true"></i>changed</span></p>
      <div class="sides"><${Json} of=${run.input} label="Input here" /><${Json} of=${second.input} label="Input there" /></div></li>`}
    ${shown.map((one) => html`<${Step} key=${one.key + all} one=${one} />`)}</ul></section>`;
}

export function Compare({ run, other: given }) {
  const [other, setOther] = useState(given || "");
  const { data } = useData(query("/api/runs", { workflow: run.workflow, limit: OTHERS }));
  const runs = (data?.runs || []).filter((one) => one.id !== run.id);
  const listed = runs.some((one) => one.id === other);
  return html`<div class="stack"><div class="filters"><label class="grow">Compare with<select value=${other} onChange=${(event) => setOther(event.target.value)}>
      <option value="">choose a run of ${run.workflow}</option>${other && !listed && html`<option value=${other}>${other}</option>`}
      ${runs.map((one) => html`<option key=${one.id} value=${one.id}>${one.status}, ${inline(one.id.slice(-8))}, ${new Date(one.created_ms).toLocaleString()}</option>`)}</select></label></div>
    ${other ? html`<${Steps} key=${other} run=${run} other=${other} />` : html`<section class="panel"><${Empty} title="Choose another run">Such as the one that this was forked from.<//></section>`}</div>`;
}
