// Owns the list of runs: filters, bulk actions, pages. One run is `run.js`.

import { post, query } from "../api.js";
import { inline, span } from "../format.js";
import { Button, Empty, Failure, html, Id, notify, Skeleton, Status, Table, Time, useAction, useCallback, useData, useState } from "../ui.js";
import { Run } from "./run.js";

const STATUSES = ["pending", "running", "waiting", "suspended", "faulted", "cancelled", "completed"];
const ACTIONS = { faulted: ["retry"], suspended: ["resume", "cancel"], running: ["pause", "cancel"], waiting: ["pause", "cancel"], pending: ["cancel"] };
const PAGE = 50;

const COLUMNS = [
  { name: "Status", of: (run) => html`<${Status} of=${run.status} />`, kind: "short" },
  { name: "Workflow", of: (run) => html`<a href="#/runs/${run.id}">${run.workflow}</a>` },
  { name: "Run", of: (run) => html`<${Id} of=${run.id} />`, kind: "short" },
  { name: "About", of: (run) => html`<span class="quiet-text">${inline(run.error?.message ?? run.error ?? run.waits_for ?? "", 110)}</span>`, kind: "wide" },
  { name: "Took", of: (run) => span(run.updated_ms - run.created_ms), kind: "number" },
  { name: "Started", of: (run) => html`<${Time} ms=${run.created_ms} />`, kind: "number" },
];

function Bulk({ filter, count, reload }) {
  const act = useCallback(async (action) => {
    const found = await post("/api/runs/bulk", { action, ...filter });
    notify(`${action}: ${inline(found)}`);
    reload();
  }, [filter, reload]);
  const [run, busy, error] = useAction(act);
  const actions = ACTIONS[filter.status] || [];
  return count > 0 && actions.length > 0 && html`<div class="row">${actions.map((one) => html`<${Button} key=${one} busy=${busy}
    onClick=${() => confirm(`${one} all ${filter.status} runs that are listed by this filter?`) && run(one)}>${one} all<//>`)}<${Failure} error=${error} /></div>`;
}

function List({ parameters }) {
  const { workflow = "", status = "", where = "", before = "" } = parameters;
  const path = query("/api/runs", { workflow, status, where, before, limit: PAGE });
  const { data, error, reload } = useData(path, before ? [] : ["run."]);
  const workflows = useData("/api/workflows");
  const [written, setWritten] = useState(where);
  const go = (more) => {
    location.hash = query("#/runs", { workflow, status, where, ...more });
  };
  return html`<div class="head"><h1>Runs</h1><div class="actions"><${Bulk} filter=${{ workflow: workflow || undefined, status: status || undefined }} count=${data?.runs.length || 0} reload=${reload} /></div></div>
    <div class="filters">
      <label>Workflow <select value=${workflow} onChange=${(event) => go({ workflow: event.target.value, before: "" })}>
        <option value="">all</option>${(workflows.data || []).map((one) => html`<option key=${one.name} value=${one.name}>${one.name}</option>`)}</select></label>
      <label>Status <select value=${status} onChange=${(event) => go({ status: event.target.value, before: "" })}>
        <option value="">all</option>${STATUSES.map((one) => html`<option key=${one} value=${one}>${one}</option>`)}</select></label>
      <label class="grow">Attributes <input type="search" placeholder="customer=ada and amount>100" value=${written}
        onInput=${(event) => setWritten(event.target.value)} onKeyDown=${(event) => event.key === "Enter" && go({ where: written, before: "" })} /></label>
    </div>
    <${Failure} error=${error} retry=${reload} />
    <section class="panel">${data === null
      ? !error && html`<${Skeleton} rows=${8} />`
      : data.runs.length === 0
        ? html`<${Empty} title="No runs">${workflow || status || where ? html`<a href="#/runs">Show all runs</a>` : "A mapping, a schedule or a call starts them."}<//>`
        : html`<${Table} label="Runs" columns=${COLUMNS} rows=${data.runs} hrefOf=${(run) => `#/runs/${run.id}`} />`}
    </section>
    <div class="row">${before && html`<a href=${query("#/runs", { workflow, status, where })}>← Newest</a>`}
      ${data?.next && html`<a href=${query("#/runs", { workflow, status, where, before: data.next })}>Older →</a>`}</div>`;
}

export const Runs = ({ rest, parameters }) => (rest[0] ? html`<${Run} id=${rest[0]} parameters=${parameters} />` : html`<${List} parameters=${parameters} />`);
