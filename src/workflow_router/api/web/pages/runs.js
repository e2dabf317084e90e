// Owns the list of runs: filters and saved ones, bulk actions, pages. One run is `run.js`.

import { post, query } from "../api.js";
import { JsonField, useJson } from "../form.js";
import { exact, gist, inline, span } from "../format.js";
import { ask, Button, Dialog, Empty, Failure, html, Id, may, May, notify, Skeleton, Status, Table, Time, useAction, useData, useNow, useRef, useState } from "../ui.js";
import { Run } from "./run.js";

const STATUSES = ["pending", "running", "waiting", "suspended", "faulted", "cancelled", "completed"];
const ACTIONS = { faulted: ["retry"], suspended: ["resume", "cancel"], running: ["pause", "cancel"], waiting: ["pause", "cancel"], pending: ["cancel"] };
const PAGE = 50;

/** How long it took, or goes on. */
function Took({ run }) {
  const now = useNow();
  const goes = ["pending", "running", "waiting", "suspended"].includes(run.status);
  return goes ? html`<span class="quiet-text">${span(Math.max(0, now - run.created_ms))} so far</span>` : span(run.updated_ms - run.created_ms);
}

const COLUMNS = [
  { name: "Status", of: (run) => html`<${Status} of=${run.status} />`, kind: "short" },
  { name: "Workflow", of: (run) => html`<a href="#/runs/${run.id}">${run.workflow}</a>`, kind: "name" },
  { name: "Run", of: (run) => html`<${Id} of=${run.id} />`, kind: "short" },
  { name: "About", of: (run) => html`<span class="quiet-text">${inline(run.about, 200)}</span>`, kind: "line" },
  { name: "Took", of: (run) => html`<${Took} run=${run} />`, kind: "number" },
  { name: "Started", of: (run) => html`<${Time} ms=${run.created_ms} />`, kind: "number" },
];

/** Does something to every run of the filter, page by page, and says how far it is. */
function Bulk({ filter, count, reload }) {
  const [done, setDone] = useState(null);
  const stop = useRef(false);
  const [run, busy, error] = useAction(async (action) => {
    let before;
    let acted = 0;
    let failed = 0;
    stop.current = false;
    do {
      const page = await post("/api/runs/bulk", { action, ...filter, before, limit: 100 });
      acted += page.done.length;
      failed += page.refused.length;
      before = page.next;
      setDone({ action, acted, failed });
    } while (before && !stop.current);
    notify(`${action}: ${exact(acted)} done${failed ? `, ${exact(failed)} could not be` : ""}`, failed ? "warn" : "good");
    setDone(null);
    reload();
  });
  const actions = ACTIONS[filter.status] || [];
  if (count === 0 || actions.length === 0) return null;
  return html`<${May} do="runs:write"><div class="row">${done && html`<span role="status">${done.action}: ${exact(done.acted)} so far</span><${Button} onClick=${() => { stop.current = true; }}>Stop<//>`}
    ${!done && actions.map((one) => html`<${Button} key=${one} busy=${busy}
      onClick=${async () => (await ask(`${one[0].toUpperCase() + one.slice(1)} every ${filter.status} run of this filter?`, "Do it", one === "cancel" ? "danger" : "primary")) && run(one)}>${one[0].toUpperCase() + one.slice(1)} all<//>`)}<${Failure} error=${error} /></div><//>`;
}

const SAVED = "runs-filters";
const SAVED_MAX = 20;

/** Filters that were given names, kept in this browser. */
function Saved({ filter }) {
  const [saved, setSaved] = useState(() => JSON.parse(localStorage.getItem(SAVED) || "[]"));
  const keep = (next) => {
    localStorage.setItem(SAVED, JSON.stringify(next));
    setSaved(next);
  };
  const here = query("#/runs", filter);
  const known = saved.some((one) => one.href === here);
  const [name, setName] = useState(null);
  const save = (event) => {
    event.preventDefault();
    keep([...saved.filter((one) => one.name !== name), { name, href: here }].slice(-SAVED_MAX));
    setName(null);
  };
  const proposed = [filter.status, filter.workflow, filter.where].filter(Boolean).join(" ").slice(0, 60);
  return html`<div class="choices keeps" role="group" aria-label="Saved filters">${saved.map((one) => html`<span key=${one.name} class="saved"><a href=${one.href} aria-current=${one.href === here ? "true" : null}>${one.name}</a>
      <button type="button" aria-label="Forget ${one.name}" onClick=${() => keep(saved.filter((other) => other !== one))}>×</button></span>`)}
    ${here !== "#/runs" && !known && name === null && html`<button type="button" onClick=${() => setName(proposed)}>Save this filter</button>`}
    ${name !== null && html`<form class="row" onSubmit=${save}><input aria-label="Name of the filter" required maxlength="60" autofocus value=${name} onInput=${(event) => setName(event.target.value)} /><${Button} type="submit">Save<//></form>`}</div>`;
}

/** Starts a run by hand. */
function Start({ workflows, first, onClose }) {
  const [workflow, setWorkflow] = useState(first || workflows[0]?.name || "");
  const field = useJson(null);
  const [start, busy, error] = useAction(() => post("/api/runs", { workflow, input: field.value }), ({ id }) => {
    onClose();
    location.hash = `#/runs/${id}`;
  });
  const submit = (event) => {
    event.preventDefault();
    void start();
  };
  const about = workflows.find((one) => one.name === workflow)?.description;
  return html`<${Dialog} title="Start a run" onClose=${onClose}><form onSubmit=${submit}>
    <label>Workflow<select required value=${workflow} onChange=${(event) => setWorkflow(event.target.value)}>${workflows.map((one) => html`<option key=${one.name} value=${one.name}>${one.name}</option>`)}</select>${about && html`<small>${about}</small>`}</label>
    <${JsonField} label="Input" hint="JSON, such as a text in quotes or an object" of=${field} rows=${8} /><${Failure} error=${error} />
    <div class="row"><${Button} type="submit" kind="primary" busy=${busy} disabled=${field.problem !== null || !workflow}>Start<//></div></form><//>`;
}

/** What runs that wait wait for: a question to people, or an interceptor that holds them. Asked for where one waits. */
function useWaits(runs) {
  const some = runs.some((run) => run.status === "waiting");
  const asked = useData(some && may("approvals:read") ? "/api/approvals?status=open&limit=500" : null, ["approval."]).data;
  const held = useData(some && may("interceptors:read") ? "/api/holds?limit=500" : null, ["hold", "intercept"]).data;
  const words = new Map((held || []).map((one) => [one.run, `held by ${one.interceptor}, at ${one.at} of ${one.subject}`]));
  for (const one of asked || []) words.set(one.run, `${one.name}: ${gist(one.context)}`);
  return words;
}

function List({ parameters }) {
  const { workflow = "", status = "", where = "", before = "" } = parameters;
  const path = query("/api/runs", { workflow, status, where, before, limit: PAGE });
  const { data, error, reload } = useData(path, before ? [] : ["run."]);
  const workflows = useData("/api/workflows");
  const [written, setWritten] = useState(where);
  const [starts, setStarts] = useState(false);
  const waits = useWaits(data?.runs || []);
  const go = (more) => {
    location.hash = query("#/runs", { workflow, status, where, ...more });
  };
  return html`<div class="head"><h1>Runs</h1><div class="actions"><${Bulk} filter=${{ workflow: workflow || undefined, status: status || undefined, where: where || undefined }} count=${data?.runs.length || 0} reload=${reload} /><${May} do="runs:write"><${Button} kind="primary" onClick=${() => setStarts(true)}>Start a run<//><//></div></div>
    <div class="filters">
      <label>Workflow <select value=${workflow} onChange=${(event) => go({ workflow: event.target.value, before: "" })}>
        <option value="">all</option>${(workflows.data || []).map((one) => html`<option key=${one.name} value=${one.name}>${one.name}</option>`)}</select></label>
      <label>Status <select value=${status} onChange=${(event) => go({ status: event.target.value, before: "" })}>
        <option value="">all</option>${STATUSES.map((one) => html`<option key=${one} value=${one}>${one}</option>`)}</select></label>
      <label class="grow">Attributes <input type="search" placeholder="customer=ada and amount>100" value=${written}
        onInput=${(event) => setWritten(event.target.value)} onChange=${() => go({ where: written.trim(), before: "" })} /></label>
    </div>
    <${Saved} filter=${{ workflow, status, where }} />
    <${Failure} error=${error} retry=${reload} />
    <section class="panel">${data === null
      ? !error && html`<${Skeleton} rows=${8} />`
      : data.runs.length === 0
        ? html`<${Empty} title="No runs">${workflow || status || where ? html`<a href="#/runs">Show all runs</a>` : "A mapping, a schedule or a call starts them."}<//>`
        : html`<${Table} label="Runs" columns=${COLUMNS} rows=${data.runs.map((run) => ({ ...run, about: run.error?.message ?? run.error ?? waits.get(run.id) ?? run.waits_for ?? "" }))} hrefOf=${(run) => `#/runs/${run.id}`} />`}
    </section>
    <div class="row pages">${before && html`<a href=${query("#/runs", { workflow, status, where })}>← Newest</a>`}
      ${data?.next && html`<a href=${query("#/runs", { workflow, status, where, before: data.next })}>Older →</a>`}</div>
    ${starts && html`<${Start} workflows=${workflows.data || []} first=${workflow} onClose=${() => setStarts(false)} />`}`;
}

export const Runs = ({ rest, parameters }) => (rest[0] ? html`<${Run} id=${rest[0]} parameters=${parameters} />` : html`<${List} parameters=${parameters} />`);
