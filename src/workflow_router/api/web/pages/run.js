// Owns the page of one run: what it does now, its steps in time and as a graph, and its values. What can be
// done with it is `run_actions.js`.

import { exact, span } from "../format.js";
import { Graph } from "../graph.js";
import { keep } from "../here.js";
import { Button, Copy, Facts, Failure, html, Id, Json, may, May, Skeleton, Status, Tabs, Time, useData, useMemo, useNow, useState } from "../ui.js";
import { Waterfall } from "../waterfall.js";
import { Compare } from "./compare.js";
import { NodeDetail } from "./node.js";
import { Actions, Fork, Signal, State } from "./run_actions.js";
import { Streams } from "./streams.js";
import { grown } from "./trace.js";

const GROWS = ["run.", "step.", "dispatch.", "message", "approval."];
const ENDED = ["completed", "faulted", "cancelled"];

/** What is open of this run: a question to people, what an interceptor holds, and waits that were opened and have no result. */
function useOpen(run) {
  const going = run !== null && !ENDED.includes(run.status);
  const asks = useData(going && may("approvals:read") ? "/api/approvals?status=open&limit=500" : null, ["approval."]).data;
  const holds = useData(going && may("interceptors:read") ? "/api/holds?limit=500" : null, ["hold", "intercept"]).data;
  const opened = useData(going && may("audit:read") ? `/api/audit?run=${run.id}&kind=wait.opened&limit=1000` : null, ["run.", "wait"], run?.id).data;
  const known = new Set(run?.steps.map((one) => one.key));
  const waits = (going && opened ? opened : []).filter((one) => one.transition && !known.has(one.transition.detail.key) && ["receive", "sleep", "wait"].includes(one.transition.detail.for));
  return {
    question: (asks || []).find((one) => one.run === run?.id),
    hold: (holds || []).find((one) => one.run === run?.id && one.status === "open"),
    waits: waits.map(({ time_ms, transition: { detail } }) => ({ key: detail.key, name: detail.name, kind: detail.for, started_ms: time_ms })),
  };
}

const WAITS_FOR = { receive: "the signal", sleep: "a time:", wait: "an event:" };

/** What the run does now, said in a sentence. */
function Now({ run, open: { question, hold, waits } }) {
  const now = useNow(1_000);
  const since = (ms) => html`since ${span(Math.max(0, now - ms))}`;
  if (question) {
    return html`<div class="notice wait"><b>Waits for a person</b> ${since(question.created_ms)}: ${question.name}.
      ${question.context?.reasons?.length ? html` Because ${question.context.reasons.join("; ")}.` : ""} <a href="#/approvals/${question.id}">Look and decide</a></div>`;
  }
  if (hold) return html`<div class="notice warn"><b>Held</b> ${since(hold.created_ms)} by ${hold.interceptor}, at ${hold.at} of ${hold.subject}. <a href="#/holds/${hold.id}">Look and release</a></div>`;
  if (run.error) return html`<div class="notice bad"><b>${run.error.type || run.status}</b> ${run.error.message || JSON.stringify(run.error)}</div>`;
  if (run.status === "waiting" && waits.length > 0) return html`<div class="notice wait"><b>Waits</b> ${since(waits[0].started_ms)} for ${waits.map((one) => `${WAITS_FOR[one.kind]} ${one.name}`).join(" and ")}.</div>`;
  if (["waiting", "pending"].includes(run.status) && run.waits_for) return html`<div class="notice wait"><b>Waits</b> ${since(run.updated_ms)} for ${run.waits_for}.</div>`;
  return null;
}

/** The steps by when they began; what is open goes on until now. */
function rowsOf(run, { question, hold, waits }, now) {
  const lasts = { status: "waiting", open: true, finished_ms: now, attempts: 1 };
  return [
    ...run.steps,
    ...waits.map((one) => ({ ...lasts, ...one, seq: Infinity })),
    ...(hold ? [{ ...lasts, key: hold.id, name: hold.subject, kind: "intercept", status: "held", started_ms: hold.created_ms, seq: Infinity }] : []),
    ...(question ? [{ ...lasts, key: question.step_key, name: question.name, kind: "approval", status: "open", started_ms: question.created_ms, seq: Infinity }] : []),
  ]
    .sort((a, b) => a.started_ms - b.started_ms || a.seq - b.seq)
    .map((one) => ({ ...one, note: one.attempts > 1 ? `${one.attempts} attempts` : ["completed", "succeeded"].includes(one.status) ? "" : one.status }));
}

function Timeline({ run, open, chosen, onChoose }) {
  const now = useNow(1_000);
  const rows = useMemo(() => rowsOf(run, open, now), ENDED.includes(run.status) ? [run] : [run, open, now]);
  const begun = rows.reduce((first, one) => Math.min(first, one.started_ms), run.created_ms);
  return html`<${Waterfall} rows=${rows} begun=${begun} chosen=${chosen} onChoose=${onChoose} empty="No steps yet" />`;
}

/** What the graph and the panel beside it call a step of the run. */
const nodeOf = (run, step) => ({ id: `${run.id}:${step.key}`, kind: "step", name: step.name, status: step.status, started_ms: step.started_ms, run: run.id, correlation: run.correlation });

const asked = (question, run) => ({ id: question.id, kind: "approval", name: question.name, status: "open", started_ms: question.created_ms, run: run.id, correlation: run.correlation });

/** The tree below one node of a trace. */
function below(roots, id) {
  for (const one of roots) {
    const found = one.id === id ? one : below(one.children, id);
    if (found) return found;
  }
  return null;
}

function Causes({ run, chosen, onChoose }) {
  const { data, error } = useData(`/api/trace/${run.id}?limit=10000`, GROWS, run.id);
  const roots = useMemo(() => {
    const found = data && below(grown(data.roots), run.id);
    return found ? [found] : [];
  }, [data, run.id]);
  if (data === null) return error ? html`<${Failure} error=${error} />` : html`<${Skeleton} />`;
  return html`<${Graph} roots=${roots} chosen=${chosen} onChoose=${(id) => onChoose(id, roots)} empty="Nothing of it is in the journal" />`;
}

/** What somebody looks for who opens a run: what failed, else what is asked. */
function first(run, question) {
  const failed = run.status === "faulted" && run.steps.findLast((one) => one.error);
  return failed ? nodeOf(run, failed) : question ? asked(question, run) : null;
}

/** The picture of a run, with what was chosen of it beside it. */
function Pictures({ run, open, view, onFork }) {
  const { question } = open;
  const [sends, setSends] = useState(null);
  const [picked, setPicked] = useState(null);
  const chosen = picked ?? first(run, question);
  const choose = (key) => {
    const step = run.steps.find((one) => one.key === key);
    if (step) setPicked(nodeOf(run, step));
    else if (question?.step_key === key) setPicked(asked(question, run));
    else if (open.hold?.id === key) location.hash = `#/holds/${key}`;
    else setPicked({ ...nodeOf(run, open.waits.find((one) => one.key === key)), status: "waiting" });
  };
  const inGraph = (id, roots) => setPicked({ ...below(roots, id), correlation: run.correlation });
  const key = chosen?.kind === "step" ? chosen.id.slice(run.id.length + 1) : question?.id === chosen?.id ? question?.step_key : null;
  const step = run.steps.find((one) => one.key === key);
  const signal = open.waits.find((one) => one.key === key && one.kind === "receive");
  return html`<div class=${view === "Graph" ? "stack" : "split"}><section class="panel">${view === "Graph"
      ? html`<${Causes} run=${run} chosen=${chosen?.id} onChoose=${inGraph} />` : html`<${Timeline} run=${run} open=${open} chosen=${key} onChoose=${choose} />`}</section>
    <${NodeDetail} key=${chosen?.id} node=${chosen} known=${chosen?.kind === "step" || chosen?.id === run.id ? run : undefined} empty="Its result, its attempts and why a call went where it went.">
      ${step && html`<div class="row"><${May} do="runs:write"><${Button} onClick=${() => onFork(step)}>Fork from here<//><//></div>`}
      ${signal && html`<div class="row"><${May} do="runs:write"><${Button} kind="primary" onClick=${() => setSends(signal.name)}>Send the signal…<//><//></div>`}<//>
    ${sends && html`<${Signal} run=${run} name=${sends} onClose=${() => setSends(null)} />`}</div>`;
}

function Values({ run }) {
  return html`<div class="even"><section class="panel"><header><h2>Input</h2></header><div class="body"><${Json} of=${run.input} label="Input" /></div></section>
    <section class="panel"><header><h2>Output</h2></header><div class="body">${run.output === null && !ENDED.includes(run.status) ? html`<p class="quiet-text">It has not ended.</p>` : html`<${Json} of=${run.output} label="Output" />`}</div></section></div>`;
}

function About({ run }) {
  const cause = (id) => id && html`<${Id} of=${id} href="#/trace/${id}" />`;
  const { chain } = run;
  return html`<section class="panel"><div class="body"><${Facts} of=${{
    workflow: run.workflow, version: run.version, status: run.status, "waits for": run.waits_for, cause: cause(run.cause), correlation: cause(run.correlation), started: html`<${Time} ms=${run.created_ms} />`,
    changed: html`<${Time} ms=${run.updated_ms} />`, archived: run.archived, "goes on as": chain?.continued_as && html`<${Id} of=${chain.continued_as} href="#/runs/${chain.continued_as}" />`,
    "went on from": chain?.continued_from && html`<${Id} of=${chain.continued_from} href="#/runs/${chain.continued_from}" />` }} /></div></section>`;
}

const PARTS = ["Timeline", "Graph", "Values", "State", "Streams", "Compare", "About", "JSON"];

/** Its id, and how long it took or takes. */
function Sub({ run }) {
  const now = useNow(1_000);
  const ended = [...ENDED, "continued"].includes(run.status);
  const steps = `${exact(run.steps.length)} ${run.steps.length === 1 ? "step" : "steps"}`;
  return html`<p class="sub"><code>${run.id}</code><${Copy} text=${run.id} /> · started <${Time} ms=${run.created_ms} /> · ${steps} · ${ended ? `took ${span(run.updated_ms - run.created_ms)}` : `goes on for ${span(Math.max(0, now - run.created_ms))}`}</p>`;
}

export function Run({ id, parameters }) {
  const { data: run, error, reload } = useData(`/api/runs/${id}`, ["run.", "step.", "dispatch.", "approval.", "wait", "timer."], id);
  const tab = PARTS.includes(parameters.tab) ? parameters.tab : PARTS[0];
  const [forks, setForks] = useState(null);
  const open = useOpen(run);
  if (run === null) return error ? html`<${Failure} error=${error} retry=${reload} />` : html`<${Skeleton} />`;
  return html`<div class="head"><p class="crumb"><a href="#/runs">Runs</a> / <a href="#/runs?workflow=${run.workflow}">${run.workflow}</a></p>
      <h1>${run.workflow}</h1><${Status} of=${run.status} /><${Actions} run=${run} reload=${reload} onFork=${() => setForks({ step: null })} />
      <${Sub} run=${run} /></div>
    <div class="stack"><${Failure} error=${error} retry=${reload} /><${Now} run=${run} open=${open} />
    <${Tabs} label="Parts of the run" value=${tab} onChange=${(one) => keep({ tab: one === PARTS[0] ? "" : one })} tabs=${PARTS} />
    ${(tab === "Timeline" || tab === "Graph") && html`<${Pictures} run=${run} open=${open} view=${tab} onFork=${(step) => setForks({ step })} />`}
    ${tab === "Values" && html`<${Values} run=${run} />`}
    ${tab === "State" && html`<${State} run=${run} reload=${reload} />`}
    ${tab === "Streams" && html`<${Streams} run=${run.id} />`}
    ${tab === "Compare" && html`<${Compare} run=${run} other=${parameters.with} />`}
    ${tab === "About" && html`<${About} run=${run} />`}
    ${tab === "JSON" && html`<${Json} of=${run} label="The run as JSON" />`}</div>
    ${forks && html`<${Fork} run=${run} first=${forks.step} onClose=${() => setForks(null)} />`}`;
}
