// Owns what is shown of one thing of a run or a trace: what it was given and gave, its attempts, why it was decided so, its
// entries in the audit log, the whole of it as JSON. Each comes from the door that has it, when it is looked at.

import { get, query } from "../api.js";
import { money, span } from "../format.js";
import { Button, Empty, Facts, Failure, html, Id, Json, Skeleton, Status, Tabs, Time, useAction, useData, useEffect, useState } from "../ui.js";
import { Explained } from "./events.js";
import { Streams } from "./streams.js";

const LIVE = ["run.", "step.", "dispatch.", "approval.", "message"];
const PAGES = { event: "events", run: "runs", approval: "approvals", mapping: "mappings" };
const AUDIT_MAX = 1_000;
const WRITES = ["run", "step"]; // what may have written logs and tokens

/** The key of a step: its id is its run's, a colon and the key. */
const keyOf = (node) => node.id.slice(node.id.indexOf(":") + 1);

/** Where a kind of thing is shown in full, and what the API says of it. */
function doorOf(node) {
  switch (node.kind) {
    case "event": return `/api/events/${node.id}`;
    case "mapping": return `/api/events/${node.parent}/explain`;
    case "approval": return `/api/approvals/${node.approval ?? node.id}`;
    case "dispatch": return `/api/dispatches/${node.id}`;
    case "attempt": return `/api/dispatches/${node.parent}`;
    case "run": return `/api/runs/${node.id}`;
    case "step": return node.run ? `/api/runs/${node.run}` : null;
    default: return null;
  }
}

const Attempts = ({ of }) => html`<ul class="reasons">${of.map((one) => html`<li>${one.target} ${one.error ? `failed: ${one.error}` : `answered ${one.status}`} after ${span(one.total_ms ?? 0)}</li>`)}</ul>`;
const Considered = ({ of }) => html`<ul class="reasons">${of.map((one) => html`<li><b>${one.target}</b>${one.picked ? " was picked" : " was not picked"}: ${one.reason}</li>`)}</ul>`;

/** The bodies of a call, where its route keeps them and the caller may read them. */
function Bodies({ dispatch }) {
  const [found, setFound] = useState(null);
  const [load, busy, error] = useAction(() => get(`/api/dispatches/${dispatch}/bodies`), setFound);
  if (!found) return html`<div class="row"><${Button} busy=${busy} onClick=${() => load()}>Show what was sent and answered<//></div><${Failure} error=${error} />`;
  return html`<h3>Sent</h3><${Json} of=${found.request} label="Request" /><h3>Answered</h3><${Json} of=${found.answer} label="Answer" />`;
}

function Call({ of, only }) {
  const attempts = only ? of.attempts.filter((one) => one.target === only) : of.attempts;
  return html`<div class="stack"><h3><a href="#/routes/${of.route}?dispatch=${of.id}">Call through ${of.route}</a> <${Status} of=${of.status} /></h3>
    ${of.explanation ? html`<ul class="reasons">${of.explanation.map((line) => html`<li>${line}</li>`)}</ul>` : html`<${Considered} of=${of.considered} />`}
    <h3>Attempts</h3><${Attempts} of=${attempts} />
    <${Facts} of=${{ "tokens in": of.facts?.input_tokens, "tokens out": of.facts?.output_tokens, cost: of.facts?.cost ? money(of.facts.cost) : null }} />
    ${of.bodies_kept && html`<${Bodies} dispatch=${of.id} />`}</div>`;
}

function Values({ node, of }) {
  if (of === null) return html`<${Skeleton} rows=${3} />`;
  switch (node.kind) {
    case "event": return html`<${Json} of=${of.event.data ?? of.event.data_base64 ?? null} label="Data of the event" />`;
    case "mapping": return html`<${Explained} of=${of} />`;
    case "dispatch": return html`<${Call} of=${of} />`;
    case "attempt": return html`<${Call} of=${of} only=${node.name} />`;
    case "approval": return html`<h3>What is asked</h3><${Json} of=${of.context} label="Context" />${of.decisions.map((one) => html`<div key=${one.by + one.time_ms} class="row">
      <${Status} of=${one.approved ? "approved" : "rejected"} /><b>${one.by}</b> ${one.reason} <${Time} ms=${one.time_ms} /></div>`)}`;
    case "run": return html`<h3>Input</h3><${Json} of=${of.input} label="Input" />${of.error && html`<h3>Error</h3><${Json} of=${of.error} label="Error" />`}
      ${of.output !== null && html`<h3>Output</h3><${Json} of=${of.output} label="Output" />`}`;
    default: return html`<${Step} node=${node} run=${of} />`;
  }
}

/** What a step was called with. Nothing keeps that: the run is replayed for it, so it is asked for once, not at each change. */
function Given({ run, at }) {
  const [found, setFound] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => { get(`/api/runs/${run}/steps/${encodeURIComponent(at)}/input`).then(setFound, setError); }, [run, at]);
  if (error) return html`<h3>Called with</h3><p class="quiet-text">${error.message}</p>`;
  if (!found) return html`<${Skeleton} rows=${1} />`;
  return html`<h3>Called with</h3>${Object.keys(found.arguments).length === 0 ? html`<p class="quiet-text">Nothing.</p>` : html`<${Json} of=${found.arguments} label="Called with" />`}`;
}

function Step({ node, run }) {
  const key = keyOf(node);
  const step = run.steps.find((one) => one.key === key);
  const given = (step?.kind ?? node.kind) === "step" && html`<${Given} run=${run.id} at=${key} />`;
  if (!step) return html`${given}<p class="quiet-text">It has no result yet.</p>`;
  return html`<${Facts} of=${{ kind: step.kind, key: step.key, attempts: step.attempts, took: span(step.finished_ms - step.started_ms) }} />
    ${given}
    ${step.error && html`<h3>Error</h3><${Json} of=${step.error} label="Error" />`}
    ${step.output !== null && html`<h3>Result</h3><${Json} of=${step.output} label="Result" />`}
    ${run.dispatches.filter((one) => one.step_key === key).map((one) => html`<${Call} key=${one.id} of=${one} />`)}`;
}

/** Whether an audit entry tells of a thing. */
function tells(one, node) {
  const told = one.transition;
  if (!told) return false;
  if (node.kind === "step") return told.run === node.run && told.detail?.key === keyOf(node);
  if (node.kind === "mapping" || node.kind === "attempt") return told.subject === node.parent;
  return told.subject === node.id || (node.kind === "delivery" && told.subject === node.parent);
}

function Audit({ node }) {
  const run = node.run ?? (node.kind === "run" ? node.id : undefined);
  const { data, error } = useData(query("/api/audit", { ...(run ? { run } : { correlation: node.correlation }), limit: AUDIT_MAX }), LIVE);
  if (data === null) return html`<${Failure} error=${error} />${!error && html`<${Skeleton} rows=${3} />`}`;
  const entries = data.filter((one) => tells(one, node));
  if (entries.length === 0) return html`<p class="quiet-text">None of the first ${AUDIT_MAX} entries of its run tells of it.</p>`;
  return html`<ul class="feed">${entries.map((one) => html`<li key=${one.position}><a href="#/audit/${one.position}">${one.position}</a> <span>${one.transition.kind}</span>
    <span class="quiet-text">${one.transition.actor ?? ""}</span><${Time} ms=${one.time_ms} /></li>`)}</ul>`;
}

/**
 * @param node `{id, kind, name, status, started_ms, run, parent, correlation}`; of a step the id is its run's, a colon and its key.
 * @param known what the API says of it, where it is there already.
 * @param children what can be done with it.
 */
export function NodeDetail({ node, known, empty, children }) {
  const [part, setPart] = useState("Values");
  const door = node && !known ? doorOf(node) : null;
  const { data, error } = useData(door, LIVE, node?.run ?? null);
  useEffect(() => setPart("Values"), [node?.kind]);
  if (!node) return html`<section class="panel"><${Empty} title="Choose one to see more of it">${empty}<//></section>`;
  const page = PAGES[node.kind];
  const full = page && `#/${page}/${node.kind === "mapping" ? node.name.split("@")[0] : (node.approval ?? node.id)}`;
  const { children: below, key, depth, open, note, correlation, ...plain } = node; // what the picture added is none of the router's
  const of = known ?? data;
  return html`<section class="panel detail"><header><h2>${node.name}</h2><${Status} of=${node.status} />${page && html`<a class="more" href=${full}>Open the ${node.kind}</a>`}</header>
    <${Tabs} label="Parts of ${node.name}" value=${part} onChange=${setPart} tabs=${["Values", ...(WRITES.includes(node.kind) ? ["Streams"] : []), "About", "Audit", "JSON"]} />
    <div class="body stack">
      ${part === "Values" && html`<${Failure} error=${error} />${door === null && !known ? html`<p class="quiet-text">${node.kind === "message" ? html`The topic has it: <a href="#/broker?topic=${node.name}">${node.name}</a>.` : "There is nothing more of it than the picture shows."}</p>` : !error && html`<${Values} node=${node} of=${of} />`}${children}`}
      ${part === "Streams" && html`<${Streams} run=${node.kind === "run" ? node.id : node.run} step=${node.kind === "step" ? keyOf(node) : null} />`}
      ${part === "About" && html`<${Facts} of=${{ kind: node.kind, id: html`<${Id} of=${node.id} href=${full} />`,
        run: node.run && html`<${Id} of=${node.run} href="#/runs/${node.run}" />`, began: html`<${Time} ms=${node.started_ms} />`, "led to": below?.length || null }} />
        <a href="#/holds?at=${node.kind}&subject=${encodeURIComponent(node.name)}">Make an interceptor of it</a>`}
      ${part === "Audit" && html`<${Audit} node=${node} />`}
      ${part === "JSON" && html`<${Json} of=${node.kind === "step" && of ? (of.steps.find((one) => node.id.endsWith(`:${one.key}`)) ?? plain) : (of ?? plain)} label="As JSON" />`}
    </div></section>`;
}
