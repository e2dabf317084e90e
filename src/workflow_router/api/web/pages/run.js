// Owns the page of one run: what it does now, its steps in time, its calls and their reasons, its values, and what can be done.

import { post } from "../api.js";
import { exact, span } from "../format.js";
import { Button, Empty, Facts, Failure, html, Id, Json, notify, Skeleton, Status, Tabs, Time, useAction, useData, useNow, useState } from "../ui.js";
import { Waterfall } from "../waterfall.js";

const ENDED = ["completed", "faulted", "cancelled"];

/** The question that is open for this run, if one is. */
function useQuestion(run) {
  const found = useData(run && !ENDED.includes(run.status) ? "/api/approvals?status=open&limit=500" : null, ["approval."]);
  return (found.data || []).find((one) => one.run === run?.id);
}

function Actions({ run, reload }) {
  const [act, busy, error] = useAction(
    async (verb, body) => [verb, await post(`/api/runs/${run.id}/${verb}`, body)],
    ([verb, found]) => {
      notify(`${verb}: done`);
      if (found?.id && found.id !== run.id) location.hash = `#/runs/${found.id}`;
      else reload();
    },
  );
  const button = (verb, label, kind = "") => html`<${Button} key=${verb} kind=${kind} busy=${busy} onClick=${() => act(verb, {})}>${label}<//>`;
  return html`<div class="actions">
    ${run.status === "faulted" && button("retry", "Retry from the failed step", "primary")}
    ${run.status === "suspended" && button("resume", "Resume", "primary")}
    ${["running", "waiting"].includes(run.status) && button("pause", "Pause")}
    ${!ENDED.includes(run.status) && html`<${Button} kind="danger" busy=${busy} onClick=${() => confirm("Cancel this run?") && act("cancel", {})}>Cancel<//>`}
    <${Failure} error=${error} /></div>`;
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

function Detail({ step, dispatches }) {
  if (!step) return html`<section class="panel"><${Empty} title="Choose a step">Its result, its attempts and why a call went where it went.<//></section>`;
  const calls = dispatches.filter((one) => one.step_key === step.key);
  return html`<section class="panel"><header><h2>${step.name}</h2><${Status} of=${step.status} /></header><div class="body stack">
    <${Facts} of=${{ kind: step.kind, key: step.key, attempts: step.attempts, began: html`<${Time} ms=${step.started_ms} />`, took: span(step.finished_ms - step.started_ms) }} />
    ${step.error && html`<${Json} of=${step.error} label="Error" />`}
    ${step.output !== null && html`<${Json} of=${step.output} label="Result" />`}
    ${calls.map((one) => html`<div key=${one.id} class="stack"><h3><a href="#/routes/${one.route}?dispatch=${one.id}">Call through ${one.route}</a> <${Status} of=${one.status} /></h3>
      <ul class="reasons">${one.considered.map((other) => html`<li><b>${other.target}</b>${other.picked ? " was picked" : " was not picked"}: ${other.reason}</li>`)}
        ${one.attempts.map((other) => html`<li>${other.target} ${other.error ? `failed: ${other.error}` : `answered ${other.status}`} after ${span(other.total_ms ?? 0)}</li>`)}</ul></div>`)}
  </div></section>`;
}

export function Run({ id, parameters }) {
  const { data: run, error, reload } = useData(`/api/runs/${id}`, ["run.", "step.", "dispatch.", "approval.", "wait", "timer."], id);
  const [tab, setTab] = useState(parameters.tab || "Timeline");
  const [chosen, setChosen] = useState(null);
  const question = useQuestion(run);
  if (run === null) return error ? html`<${Failure} error=${error} retry=${reload} />` : html`<${Skeleton} />`;
  const step = run.steps.find((one) => one.key === chosen);
  return html`<div class="head"><p class="crumb"><a href="#/runs">Runs</a> / <a href="#/runs?workflow=${run.workflow}">${run.workflow}</a></p>
      <h1>${run.workflow}</h1><${Status} of=${run.status} /><a class="button" href="#/trace/${run.id}">What caused it, what it caused</a><${Actions} run=${run} reload=${reload} />
      <p class="sub">${run.id} · started <${Time} ms=${run.created_ms} /> · ${exact(run.steps.length)} steps · ${span(run.updated_ms - run.created_ms)}</p></div>
    <div class="stack"><${Failure} error=${error} retry=${reload} /><${Now} run=${run} question=${question} />
    <${Tabs} label="Parts of the run" value=${tab} onChange=${setTab} tabs=${["Timeline", "Values", "About", "JSON"]} />
    ${tab === "Timeline" && html`<div class="split"><section class="panel"><${Timeline} run=${run} question=${question} chosen=${chosen} onChoose=${setChosen} /></section>
      <${Detail} step=${step} dispatches=${run.dispatches} /></div>`}
    ${tab === "Values" && html`<div class="even"><section class="panel"><header><h2>Input</h2></header><div class="body"><${Json} of=${run.input} label="Input" /></div></section>
      <section class="panel"><header><h2>Output</h2></header><div class="body">${run.output === null && !ENDED.includes(run.status) ? html`<p class="quiet-text">It has not ended.</p>` : html`<${Json} of=${run.output} label="Output" />`}</div></section></div>`}
    ${tab === "About" && html`<section class="panel"><div class="body"><${Facts} of=${{
      workflow: run.workflow, version: run.version, status: run.status, cause: run.cause && html`<${Id} of=${run.cause} href="#/audit?correlation=${run.correlation}" />`,
      correlation: run.correlation && html`<${Id} of=${run.correlation} href="#/audit?correlation=${run.correlation}" />`, started: html`<${Time} ms=${run.created_ms} />`, changed: html`<${Time} ms=${run.updated_ms} />`,
    }} /></div></section>`}
    ${tab === "JSON" && html`<${Json} of=${run} label="The run as JSON" />`}</div>`;
}
