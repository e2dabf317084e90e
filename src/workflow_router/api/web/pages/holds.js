// Owns interceptors, and the transitions that they hold: looked at, edited, released or denied.

import { call, post } from "../api.js";
import { inline, span } from "../format.js";
import { Button, Dialog, Empty, Facts, Failure, html, Id, Json, may, May, notify, Skeleton, Status, Table, Time, useAction, useData, useNow, useState } from "../ui.js";

const POINTS = ["event.accepting", "mapping.acting", "run.starting", "step.starting", "dispatch.starting", "message.publishing"];
const AT = { event: POINTS[0], mapping: POINTS[1], run: POINTS[2], step: POINTS[3], dispatch: POINTS[4], attempt: POINTS[4], message: POINTS[5], delivery: POINTS[5] };
const VERDICTS = ["observe", "deny", "hold"];

const COLUMNS = [
  { name: "Interceptor", of: (one) => html`<b>${one.name}</b>` },
  { name: "Stage", of: (one) => html`<${Status} of=${one.stage} />`, kind: "short" },
  { name: "At", of: (one) => inline(one.interceptor.at, 60) },
  { name: "On", of: (one) => html`<code>${inline(one.interceptor.on ?? "anything", 90)}</code>`, kind: "wide" },
  { name: "Verdict", of: (one) => one.interceptor.verdict ?? "in Python" },
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
  const [text, setText] = useState(JSON.stringify(held.fields, null, 2));
  const [reason, setReason] = useState("");
  const changed = () => {
    const now = JSON.parse(text);
    return Object.fromEntries(Object.entries(now).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(held.fields[name])));
  };
  const [settle, busy, error] = useAction(
    (verb) => post(`/api/holds/${held.id}/${verb}`, verb === "release" ? { reason, fields: changed() } : { reason }),
    (found) => {
      notify(`It is ${found.status}.`);
      reload();
    },
  );
  return html`<div class="stack"><label>Fields <small>what is changed here is what happens</small><textarea rows="10" spellcheck=${false} value=${text} onInput=${(event) => setText(event.target.value)}></textarea></label>
    <label>Reason<input value=${reason} maxlength="2000" onInput=${(event) => setReason(event.target.value)} /></label><${Failure} error=${error} />
    <div class="row"><${Button} kind="danger" busy=${busy} onClick=${() => settle("deny")}>Deny<//><${Button} kind="primary" busy=${busy} onClick=${() => settle("release")}>Release<//></div></div>`;
}

function One({ id }) {
  const { data: held, error, reload } = useData(`/api/holds/${id}`, ["hold", "intercept"]);
  const now = useNow(1_000);
  if (held === null) return error ? html`<${Failure} error=${error} retry=${reload} />` : html`<${Skeleton} />`;
  return html`<div class="head"><p class="crumb"><a href="#/holds">Interceptors</a></p><h1>${held.at}: ${held.subject}</h1><${Status} of=${held.status} />
      <p class="sub">held by ${held.interceptor} version ${held.version}${held.due_ms && held.status === "open" ? `; in ${span(Math.max(0, held.due_ms - now))}: ${held.on_due}` : ""}</p></div>
    <div class="split"><section class="panel"><header><h2>${held.status === "open" ? "Release or deny" : "Fields"}</h2></header><div class="body">${held.status === "open" && may("holds:decide") ? html`<${Settle} held=${held} reload=${reload} />` : html`<${Json} of=${held.fields} label="Fields" />`}</div></section>
      <section class="panel"><header><h2>About</h2></header><div class="body"><${Facts} of=${{ run: held.run && html`<${Id} of=${held.run} href="#/runs/${held.run}" />`, cause: held.correlation && html`<${Id} of=${held.correlation} href="#/trace/${held.correlation}" />`,
        since: html`<${Time} ms=${held.created_ms} />`, "settled by": held.settled_by, reason: held.reason }} /></div></section></div>`;
}

/** Makes an interceptor, of anything or of a transition that was seen. */
function Make({ seen, onClose }) {
  const [draft, setDraft] = useState({ name: "", at: AT[seen.at] ?? POINTS[3], subject: seen.subject ?? "", verdict: "hold" });
  const [make, busy, error] = useAction(
    () => call("PUT", `/api/interceptors/${encodeURIComponent(draft.name)}`, { at: draft.at, verdict: draft.verdict, ...(draft.subject ? { on: { subject: [draft.subject] } } : {}) }),
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
  const choice = (name, of) => html`<label>${name}<select value=${draft[name]} onChange=${set(name)}>${of.map((one) => html`<option key=${one} value=${one}>${one}</option>`)}</select></label>`;
  return html`<${Dialog} title="New interceptor" onClose=${onClose}><form onSubmit=${submit}><label>name<input required value=${draft.name} onInput=${set("name")} /></label>${choice("at", POINTS)}
    <label>subject <small>the event's type, or the name of the workflow, step, route or topic; empty for all</small><input value=${draft.subject} onInput=${set("subject")} /></label>${choice("verdict", VERDICTS)}
    <${Failure} error=${error} /><div class="row"><${Button} type="submit" kind="primary" busy=${busy}>Put in force<//></div></form><//>`;
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
    rules.reload();
  };
  return html`<div class="head"><h1>Interceptors</h1><div class="actions"><${May} do="interceptors:write"><${Button} kind="primary" onClick=${() => setMakes(true)}>New interceptor<//><//></div></div><div class="stack"><${Failure} error=${error || rules.error} />
    <section class="panel"><header><h2>Held now</h2></header>${!holds.data ? html`<${Skeleton} rows=${2} />` : holds.data.length === 0 ? html`<${Empty} title="Nothing is held">A breakpoint is an interceptor whose verdict is hold.<//>`
      : html`<${Table} label="Held transitions" columns=${HELD} rows=${holds.data} hrefOf=${(one) => `#/holds/${one.id}`} />`}</section>
    <section class="panel"><header><h2>In order</h2></header>${!rules.data ? html`<${Skeleton} rows=${2} />` : rules.data.length === 0 ? html`<${Empty} title="No interceptors">They rule over what is about to happen: events, runs, steps, calls, messages.<//>`
      : html`<${Table} label="Interceptors" columns=${columns} rows=${rules.data} keyOf=${(one) => one.name} />`}</section></div>${makes && html`<${Make} seen=${parameters} onClose=${close} />`}`;
}
