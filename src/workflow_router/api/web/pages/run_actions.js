// Owns what can be done with a run: retry, pause, resume, cancel; fork it from a step with other values; edit its state.

import { call, post } from "../api.js";
import { JsonField, useJson } from "../form.js";
import { ask, Button, Dialog, Empty, Failure, html, May, notify, Skeleton, Time, useAction, useData, useEffect, useState } from "../ui.js";

const ENDED = ["completed", "faulted", "cancelled", "continued"];

export function Actions({ run, reload, onFork }) {
  const [act, busy, error] = useAction(
    async (verb) => [verb, await post(`/api/runs/${run.id}/${verb}`)],
    ([verb, found]) => {
      notify(`${verb}: done`);
      if (found?.id && found.id !== run.id) location.hash = `#/runs/${found.id}`;
      else reload();
    },
  );
  const button = (verb, label, kind = "") => html`<${Button} key=${verb} kind=${kind} busy=${busy} onClick=${() => act(verb)}>${label}<//>`;
  return html`<div class="actions"><a class="button" href="#/trace/${run.id}">Trace its cause</a><${May} do="runs:write">
    ${run.status === "faulted" && button("retry", "Retry from the failed step", "primary")}
    ${run.status === "suspended" && button("resume", "Resume", "primary")}
    ${["running", "waiting"].includes(run.status) && button("pause", "Pause")}
    <${Button} onClick=${onFork}>Fork…<//>
    ${!ENDED.includes(run.status) && html`<${Button} kind="danger" busy=${busy} onClick=${async () => (await ask("Cancel this run?", "Cancel the run")) && act("cancel")}>Cancel<//>`}<//>
    <${Failure} error=${error} /></div>`;
}

/** Starts a new run with the history of this one up to a step, with another input or another result of a step before it. */
export function Fork({ run, first, onClose }) {
  const steps = [...run.steps].sort((a, b) => a.seq - b.seq);
  const [before, setBefore] = useState(first?.key ?? steps[0]?.key ?? "");
  const [edited, setEdited] = useState("");
  const input = useJson(run.input);
  const result = useJson(null);
  const kept = steps.slice(0, before === "" ? steps.length : steps.findIndex((one) => one.key === before));
  const choose = (event) => {
    setEdited(event.target.value);
    result.setText(JSON.stringify(steps.find((one) => one.key === event.target.value)?.output ?? null, null, 2));
  };
  const [fork, busy, error] = useAction(
    () => post(`/api/runs/${run.id}/fork`, {
      before: before || undefined, edits: edited ? { [edited]: result.value } : {}, ...(JSON.stringify(input.value) === JSON.stringify(run.input) ? {} : { input: input.value }),
    }),
    (found) => {
      notify("The fork has started.");
      onClose();
      location.hash = `#/runs/${found.id}?with=${run.id}`;
    },
  );
  const submit = (event) => {
    event.preventDefault();
    void fork();
  };
  const name = (one) => `${one.seq}. ${one.name} (${one.key})`;
  return html`<${Dialog} title="Fork ${run.workflow}" onClose=${onClose}><form onSubmit=${submit}>
    <p class="quiet-text">A new run begins with the results of this one up to a step, and does the rest anew. This run stays as it is.</p>
    <label>First step that is done anew<select value=${before} onChange=${(event) => { setBefore(event.target.value); setEdited(""); }}>
      ${steps.map((one) => html`<option key=${one.key} value=${one.key}>${name(one)}</option>`)}<option value="">none: all results are taken over</option></select></label>
    <${JsonField} label="Input" hint="of the new run" of=${input} rows=${6} />
    ${kept.length > 0 && html`<label>Other result of a step before it<select value=${edited} onChange=${choose}><option value="">none</option>
      ${kept.map((one) => html`<option key=${one.key} value=${one.key}>${name(one)}</option>`)}</select></label>`}
    ${edited && html`<${JsonField} label="Its result" of=${result} rows=${4} />`}
    <${Failure} error=${error} /><div class="row"><${Button} type="submit" kind="primary" busy=${busy} disabled=${input.problem || (edited && result.problem)}>Fork<//></div></form><//>`;
}

/** Gives a run the signal that it waits for. */
export function Signal({ run, name, onClose }) {
  const field = useJson({});
  const [send, busy, error] = useAction(() => post(`/api/runs/${run.id}/signals/${encodeURIComponent(name)}`, { value: field.value }), () => {
    notify(`The signal ${name} is sent.`);
    onClose();
  });
  const submit = (event) => {
    event.preventDefault();
    void send();
  };
  return html`<${Dialog} title="Send the signal ${name}" onClose=${onClose}><form onSubmit=${submit}><${JsonField} label="Value" hint="what the run gets" of=${field} rows=${6} />
    <${Failure} error=${error} /><div class="row"><${Button} type="submit" kind="primary" busy=${busy} disabled=${field.problem !== null}>Send<//></div></form><//>`;
}

function Edit({ run, state: newest, onDone }) {
  const [state, setState] = useState(newest); // what is edited; another one that the run publishes meanwhile waits until it is wanted
  const field = useJson(state);
  const untouched = field.text === JSON.stringify(state, null, 2) || JSON.stringify(field.value) === JSON.stringify(newest);
  const moved = JSON.stringify(newest) !== JSON.stringify(state);
  const take = () => {
    setState(newest);
    field.setText(JSON.stringify(newest, null, 2));
  };
  useEffect(() => {
    if (moved && untouched) take();
  }, [moved, untouched]);
  const goes = ["suspended", "faulted"].includes(run.status);
  const named = field.value !== null && typeof field.value === "object" && !Array.isArray(field.value);
  const changed = () => Object.fromEntries(Object.entries(field.value).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(state?.[name])));
  const [save, busy, error] = useAction((resume) => call("PATCH", `/api/runs/${run.id}/state`, { set: changed(), resume }), (found) => {
    notify("The state is edited.");
    if (found.run === run.id) onDone();
    else location.hash = `#/runs/${found.run}`;
  });
  const cannot = !named || Object.keys(changed()).length === 0;
  return html`<${JsonField} label="State" hint="names that are changed here are set; the run gets them where it publishes its state next" of=${field} rows=${12} />
    ${!named && field.problem === null && html`<p class="notice warn">A state is an object: names and their values.</p>`}
    ${moved && !untouched && html`<p class="notice wait">The run has published another state meanwhile. <button type="button" class="link" onClick=${take}>Take that one</button></p>`}<${Failure} error=${error} />
    <div class="row"><${Button} busy=${busy} disabled=${cannot} onClick=${() => save(false)}>Set<//>
      ${goes && html`<${Button} kind="primary" busy=${busy} disabled=${cannot} onClick=${() => save(true)}>${run.status === "faulted" ? "Set and retry" : "Set and resume"}<//>`}</div>`;
}

/** What the run published of itself, to be looked at and edited. */
export function State({ run, reload }) {
  const found = useData(`/api/runs/${run.id}/state`, ["run.", "step."], run.id);
  if (found.data === null) return html`<${Failure} error=${found.error} /><${Skeleton} rows=${3} />`;
  const { state, updated_ms } = found.data;
  if (updated_ms === null) return html`<section class="panel"><${Empty} title="It has not published a state">A workflow does with <code>router.publish_state(…)</code>.<//></section>`;
  const done = () => {
    found.reload();
    reload();
  };
  return html`<section class="panel"><header><h2>State</h2><span class="more quiet-text">published <${Time} ms=${updated_ms} /></span></header>
    <div class="body stack"><${Edit} run=${run} state=${state} onDone=${done} /></div></section>`;
}
