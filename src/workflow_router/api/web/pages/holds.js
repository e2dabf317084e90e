// Owns interceptors, and the transitions that they hold: looked at, edited, released or denied.

import { call, post } from "../api.js";
import { JsonField, useJson } from "../form.js";
import { inline, span } from "../format.js";
import { keep } from "../here.js";
import { ask, Button, Dialog, Empty, Facts, Failure, html, Id, Json, may, May, notify, Skeleton, Status, Table, Time, useAction, useData, useNow, useState } from "../ui.js";

// What may be ruled of each transition by a form; what else a rule can say is written in it.
const OFFERS = {
  "event.accepting": ["observe", "deny", "hold", "ask"], "mapping.acting": ["observe", "deny"], "run.starting": ["observe", "deny", "hold", "ask"],
  "step.starting": ["observe", "deny", "hold", "ask"], "dispatch.starting": ["observe", "deny", "hold", "ask"], "attempt.starting": ["observe", "deny"],
  "message.publishing": ["observe", "deny", "hold", "ask"], "message.delivering": ["observe", "deny"],
};
const POINTS = Object.keys(OFFERS);
const AT = { event: "event.accepting", mapping: "mapping.acting", run: "run.starting", step: "step.starting", dispatch: "dispatch.starting", attempt: "attempt.starting", message: "message.publishing", delivery: "message.delivering" };
const VERDICTS = { observe: "observe: let it happen, and note it", deny: "deny: refuse it", hold: "hold: a breakpoint, until somebody releases it", ask: "ask: an approval decides" };

const verdictOf = (rule) => (rule.call ? `${rule.call}()` : (rule.verdict ?? "observe"));

const COLUMNS = [
  { name: "Interceptor", of: (one) => html`<a href="#/holds?interceptor=${encodeURIComponent(one.name)}">${one.name}</a>`, kind: "name" },
  { name: "Stage", of: (one) => html`<${Status} of=${one.stage} />`, kind: "short" },
  { name: "At", of: (one) => inline(one.interceptor.at, 60) },
  { name: "On", of: (one) => html`<code>${inline(one.interceptor.on ?? "anything", 90)}</code>`, kind: "wide" },
  { name: "Verdict", of: (one) => verdictOf(one.interceptor) },
];

const HELD = [
  { name: "Held", of: (one) => html`<a href="#/holds/${one.id}">${one.at}</a>` },
  { name: "Of", of: (one) => one.subject },
  { name: "By", of: (one) => one.interceptor },
  { name: "Run", of: (one) => (one.run ? html`<${Id} of=${one.run} href="#/runs/${one.run}" />` : "–") },
  { name: "Fields", of: (one) => html`<code>${inline(one.fields, 110)}</code>`, kind: "wide" },
  { name: "Since", of: (one) => html`<${Time} ms=${one.created_ms} />`, kind: "number" },
];

function Settle({ held, reload }) {
  const field = useJson(held.fields);
  const [reason, setReason] = useState("");
  const named = field.problem === null && field.value !== null && typeof field.value === "object" && !Array.isArray(field.value);
  const changed = named ? Object.fromEntries(Object.entries(field.value).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(held.fields[name]))) : {};
  const [settle, busy, error] = useAction(
    (verb) => post(`/api/holds/${held.id}/${verb}`, verb === "release" ? { reason, fields: changed } : { reason }),
    (found) => {
      notify(`It is ${found.status}.`);
      reload();
    },
  );
  const others = Object.keys(changed);
  return html`<div class="stack"><${JsonField} label="Fields" hint="what is changed here is what happens" of=${field} rows=${10} />
    <label>Reason <small>kept with the decision</small><input value=${reason} maxlength="2000" onInput=${(event) => setReason(event.target.value)} /></label><${Failure} error=${error} />
    <div class="row end">${others.length > 0 && html`<span class="quiet-text" role="status">changed: ${others.join(", ")}</span><span class="grow"></span>`}<${Button} kind="danger" busy=${busy} onClick=${() => settle("deny")}>Deny<//>
      <${Button} kind="primary" busy=${busy} disabled=${!named} onClick=${() => settle("release")}>Release<//></div></div>`;
}

function One({ id }) {
  const { data: held, error, reload } = useData(`/api/holds/${id}`, ["hold", "intercept"]);
  const now = useNow(1_000);
  if (held === null) return error ? html`<${Failure} error=${error} retry=${reload} />` : html`<${Skeleton} />`;
  return html`<div class="head"><p class="crumb"><a href="#/holds">Interceptors</a></p><h1>${held.at}: ${held.subject}</h1><${Status} of=${held.status === "open" ? "held" : held.status} />
      <p class="sub">held by ${held.interceptor} version ${held.version}${held.due_ms && held.status === "open" ? `; in ${span(Math.max(0, held.due_ms - now))}: ${held.on_due}` : ""}</p></div>
    <div class="split"><section class="panel"><header><h2>${held.status === "open" ? "Release or deny" : "Fields"}</h2></header><div class="body">${held.status === "open" && may("holds:decide") ? html`<${Settle} held=${held} reload=${reload} />` : html`<${Json} of=${held.fields} label="Fields" />`}</div></section>
      <section class="panel"><header><h2>About</h2></header><div class="body"><${Facts} of=${{ run: held.run && html`<${Id} of=${held.run} href="#/runs/${held.run}" />`, cause: held.correlation && html`<${Id} of=${held.correlation} href="#/trace/${held.correlation}" />`,
        since: html`<${Time} ms=${held.created_ms} />`, "settled by": held.settled_by, reason: held.reason }} /></div></section></div>`;
}

/** Makes an interceptor, of anything or of a transition that was seen. */
function Make({ seen, onClose }) {
  const [draft, setDraft] = useState({ name: "", at: AT[seen.at] ?? "step.starting", subject: seen.subject ?? "", verdict: "hold" });
  const offered = OFFERS[draft.at];
  const verdict = offered.includes(draft.verdict) ? draft.verdict : offered[0];
  const [make, busy, error] = useAction(
    () => call("PUT", `/api/interceptors/${encodeURIComponent(draft.name)}`, { at: draft.at, verdict, ...(draft.subject ? { on: { subject: [draft.subject] } } : {}) }),
    () => {
      notify(`${draft.name} is in force.`);
      onClose();
    },
  );
  const submit = (event) => {
    event.preventDefault();
    void make();
  };
  const set = (name) => (event) => setDraft({ ...draft, [name]: event.target.value });
  const choice = (name, value, of, words = {}) => html`<label>${name[0].toUpperCase() + name.slice(1)}<select value=${value} onChange=${set(name)}>${of.map((one) => html`<option key=${one} value=${one}>${words[one] ?? one}</option>`)}</select></label>`;
  return html`<${Dialog} title="New interceptor" onClose=${onClose}><form onSubmit=${submit}><label>Name<input required maxlength="200" pattern="[^/]+" value=${draft.name} onInput=${set("name")} /></label>${choice("at", draft.at, POINTS)}
    <label>Subject <small>the event's type, or the name of the workflow, step, route or topic; empty for all</small><input value=${draft.subject} onInput=${set("subject")} /></label>${choice("verdict", verdict, offered, VERDICTS)}
    <${Failure} error=${error} /><div class="row"><${Button} type="submit" kind="primary" busy=${busy}>Put in force<//></div></form><//>`;
}

/** An interceptor in full: changed in place, or deleted. */
function Rule({ one, onClose }) {
  const field = useJson(one.interceptor);
  const path = `/api/interceptors/${encodeURIComponent(one.name)}`;
  const [act, busy, error] = useAction((verb) => call(verb, path, verb === "PUT" ? field.value : undefined), (found) => {
    notify(found.stage === "deleted" ? `${one.name} is deleted.` : `${one.name} is in force as version ${found.version}.`);
    onClose();
  });
  const drop = async () => (await ask(one.author === "project" ? `Undo what was changed of ${one.name}?` : `Delete ${one.name}?`, "Delete it")) && act("DELETE");
  return html`<${Dialog} title=${one.name} onClose=${onClose}><${Facts} of=${{ stage: html`<${Status} of=${one.stage} />`, version: one.version, from: one.author }} />
    ${one.problem && html`<p class="notice bad">${one.problem}</p>`}
    ${!may("interceptors:write") ? html`<${Json} of=${one.interceptor} label="Rule" />` : html`<${JsonField} label="Rule" hint="as in router.yaml, as JSON: at, on, when, verdict" of=${field} rows=${10} /><${Failure} error=${error} />
    <div class="row end">${one.version > 0 && html`<${Button} kind="danger" busy=${busy} onClick=${drop}>Delete<//><span class="grow"></span>`}<${Button} kind="primary" busy=${busy} disabled=${field.problem !== null || field.text === JSON.stringify(one.interceptor, null, 2)} onClick=${() => act("PUT")}>Put in force<//></div>`}<//>`;
}

export function Holds({ rest, parameters }) {
  const rules = useData(rest[0] ? null : "/api/interceptors", ["interceptor."]);
  const holds = useData(rest[0] ? null : "/api/holds", ["hold", "intercept", "run.", "step."]);
  const [makes, setMakes] = useState(parameters.at !== undefined);
  const [turn, busy, error] = useAction((one) => post(`/api/interceptors/${one.name}/${one.stage === "disabled" ? "enable" : "disable"}`), () => rules.reload());
  if (rest[0]) return html`<${One} id=${rest[0]} />`;
  const columns = [...COLUMNS, { name: "", of: (one) => html`<${May} do="interceptors:write"><${Button} busy=${busy} onClick=${() => turn(one)}>${one.stage === "disabled" ? "Enable" : "Disable"}<//><//>` }];
  const close = () => {
    setMakes(false);
    keep({ at: "", subject: "", interceptor: "" });
    rules.reload();
  };
  const shown = rules.data?.find((one) => one.name === parameters.interceptor);
  return html`<div class="head"><h1>Interceptors</h1><div class="actions"><${May} do="interceptors:write"><${Button} kind="primary" onClick=${() => setMakes(true)}>New interceptor<//><//></div></div><div class="stack"><${Failure} error=${error || rules.error} />
    <section class="panel"><header><h2>Held now</h2></header>${!holds.data ? html`<${Skeleton} rows=${2} />` : holds.data.length === 0 ? html`<${Empty} title="Nothing is held">A breakpoint is an interceptor whose verdict is hold.<//>`
      : html`<${Table} label="Held transitions" columns=${HELD} rows=${holds.data} hrefOf=${(one) => `#/holds/${one.id}`} />`}</section>
    <section class="panel"><header><h2>In order</h2></header>${!rules.data ? html`<${Skeleton} rows=${2} />` : rules.data.length === 0 ? html`<${Empty} title="No interceptors">They rule over what is about to happen: events, runs, steps, calls, messages.<//>`
      : html`<${Table} label="Interceptors" columns=${columns} rows=${rules.data} keyOf=${(one) => one.name} hrefOf=${(one) => `#/holds?interceptor=${encodeURIComponent(one.name)}`} />`}</section></div>
    ${shown && html`<${Rule} key=${shown.name} one=${shown} onClose=${close} />`}${makes && html`<${Make} seen=${parameters} onClose=${close} />`}`;
}
