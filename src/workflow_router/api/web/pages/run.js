// Owns the page of one run: what it does now, its steps in time and as a graph, and its values. What can be
// done with it is `run_actions.js`.

import { exact, span } from "../format.js";
import { Graph } from "../graph.js";
import { Button, Facts, Failure, html, Id, Json, May, Skeleton, Status, Tabs, Time, useData, useEffect, useMemo, useNow, useState } from "../ui.js";
import { Waterfall } from "../waterfall.js";
import { Compare } from "./compare.js";
import { NodeDetail } from "./node.js";
import { Actions, Fork, State } from "./run_actions.js";
import { Streams } from "./streams.js";
import { grown } from "./trace.js";

const GROWS = ["run.", "step.", "dispatch.", "message", "approval."];
const ENDED = ["completed", "faulted", "cancelled"];

/** The question that is open for this run, if one is. */
function useQuestion(run) {
  const found = useData(run && !ENDED.includes(run.status) ? "/api/approvals?status=open&limit=500" : null, ["approval."]);
  return (found.data || []).find((one) => one.run === run?.id);
}

/** What the run does now, said in a sentence. */
function Now({ run, question }) {
  const now = useNow(1_000);
  if (question) {
    return html`<div class="notice wait"><b>Waits for a person</b> since ${span(now - question.created_ms)}: ${question.name}.
      ${question.context?.reasons?.length ? html` Because ${question.context.reasons.join("; ")}.` : ""} <a href="#/approvals/${question.id}">Look and decide</a></div>`;
  }
  if (run.error) return html`<div class="notice bad"><b>${run.error.type || run.status}</b> ${run.error.message || JSON.stringify(run.error)}</div>`;
  if (run.status === "waiting") return html`<div class="notice wait">Waits since ${span(now - run.updated_ms)} for a signal, an event or a time.</div>`;
  return null;
}

/** The steps by when they began; an open question is the last of them and goes on until now. */
function rowsOf(run, question, now) {
  const asked = question && {
    key: question.step_key, name: question.name, kind: "approval", status: "open", open: true, started_ms: question.created_ms, finished_ms: now, attempts: 1, seq: 0,
  };
  return [...run.steps, ...(asked ? [asked] : [])]
    .sort((a, b) => a.started_ms - b.started_ms || a.seq - b.seq)
    .map((one) => ({ ...one, note: one.attempts > 1 ? `${one.attempts} attempts` : "" }));
}

function Timeline({ run, question, chosen, onChoose }) {
  const now = useNow(1_000);
  const rows = rowsOf(run, question, now);
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

/** The picture of a run, with what was chosen of it beside it. */
function Pictures({ run, question, view, onFork }) {
  const [chosen, setChosen] = useState(null);
  const choose = (key) => {
    const step = run.steps.find((one) => one.key === key);
    setChosen(step ? nodeOf(run, step) : question?.step_key === key ? asked(question, run) : null);
  };
  const inGraph = (id, roots) => setChosen({ ...below(roots, id), correlation: run.correlation });
  const key = chosen?.kind === "step" ? chosen.id.slice(run.id.length + 1) : question?.id === chosen?.id ? question?.step_key : null;
  const step = run.steps.find((one) => one.key === key);
  return html`<div class=${view === "Graph" ? "stack" : "split"}><section class="panel">${view === "Graph"
      ? html`<${Causes} run=${run} chosen=${chosen?.id} onChoose=${inGraph} />` : html`<${Timeline} run=${run} question=${question} chosen=${key} onChoose=${choose} />`}</section>
    <${NodeDetail} key=${chosen?.id} node=${chosen} known=${chosen?.kind === "step" || chosen?.id === run.id ? run : undefined} empty="Its result, its attempts and why a call went where it went.">
      ${step && html`<div class="row"><${May} do="runs:write"><${Button} onClick=${() => onFork(step)}>Fork from here<//><//></div>`}<//></div>`;
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

export function Run({ id, parameters }) {
  const { data: run, error, reload } = useData(`/api/runs/${id}`, ["run.", "step.", "dispatch.", "approval.", "wait", "timer."], id);
  const [tab, setTab] = useState("Timeline");
  const [forks, setForks] = useState(null);
  useEffect(() => PARTS.includes(parameters.tab) && setTab(parameters.tab), [parameters.tab]);
  const question = useQuestion(run);
  if (run === null) return error ? html`<${Failure} error=${error} retry=${reload} />` : html`<${Skeleton} />`;
  return html`<div class="head"><p class="crumb"><a href="#/runs">Runs</a> / <a href="#/runs?workflow=${run.workflow}">${run.workflow}</a></p>
      <h1>${run.workflow}</h1><${Status} of=${run.status} /><a class="button" href="#/trace/${run.id}">What caused it, what it caused</a><${Actions} run=${run} reload=${reload} onFork=${() => setForks({ step: null })} />
      <p class="sub">${run.id} · started <${Time} ms=${run.created_ms} /> · ${exact(run.steps.length)} steps · ${span(run.updated_ms - run.created_ms)}</p></div>
    <div class="stack"><${Failure} error=${error} retry=${reload} /><${Now} run=${run} question=${question} />
    <${Tabs} label="Parts of the run" value=${tab} onChange=${setTab} tabs=${PARTS} />
    ${(tab === "Timeline" || tab === "Graph") && html`<${Pictures} run=${run} question=${question} view=${tab} onFork=${(step) => setForks({ step })} />`}
    ${tab === "Values" && html`<${Values} run=${run} />`}
    ${tab === "State" && html`<${State} run=${run} reload=${reload} />`}
    ${tab === "Streams" && html`<${Streams} run=${run.id} />`}
    ${tab === "Compare" && html`<${Compare} run=${run} other=${parameters.with} />`}
    ${tab === "About" && html`<${About} run=${run} />`}
    ${tab === "JSON" && html`<${Json} of=${run} label="The run as JSON" />`}</div>
    ${forks && html`<${Fork} run=${run} first=${forks.step} onClose=${() => setForks(null)} />`}`;
}
