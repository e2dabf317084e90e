// Owns the inbox of approvals, and one of them: what is asked, why, who has decided, and the form to answer with.

import { post, query } from "../api.js";
import { gist, inline, span, told } from "../format.js";
import { defaults, Fields, objectOf } from "../form.js";
import { signedIn } from "../me.js";
import { Button, Empty, Facts, Failure, html, Id, Json, may, notify, Skeleton, Status, Table, Time, useAction, useData, useNow, useState } from "../ui.js";

const STATUSES = ["open", "approved", "rejected", "expired", "withdrawn"];

const COLUMNS = [
  { name: "Status", of: (one) => html`<${Status} of=${one.status} />`, kind: "short" },
  { name: "Asked", of: (one) => html`<a href="#/approvals/${one.id}">${one.name}</a>`, kind: "name" },
  { name: "About", of: (one) => html`<span class="quiet-text">${gist(one.context, 140)}</span>`, kind: "wide" },
  { name: "Of", of: (one) => one.roles.join(", ") || "anybody", kind: "name" },
  { name: "Votes", of: (one) => `${one.decisions.filter((other) => other.approved).length} of ${one.quorum}`, kind: "number" },
  { name: "Due", of: (one) => (one.due_ms ? html`<${Time} ms=${one.due_ms} />` : "–"), kind: "number" },
];

function List({ parameters }) {
  const status = parameters.status ?? "open";
  const { data, error, reload } = useData(query("/api/approvals", { status, limit: 200 }), ["approval."]);
  return html`<div class="head"><h1>Approvals</h1></div>
    <div class="filters choices" role="group" aria-label="Status">${[...STATUSES, ""].map((one) => html`<button key=${one} type="button" aria-pressed=${one === status}
      onClick=${() => { location.hash = `#/approvals?status=${one}`; }}>${one || "all"}</button>`)}</div>
    <${Failure} error=${error} retry=${reload} />
    <section class="panel">${data === null ? !error && html`<${Skeleton} />`
      : data.length === 0 ? html`<${Empty} title=${status === "open" ? "Nobody is waited for" : "None"}>What a run asks of people appears here.<//>`
      : html`<${Table} label="Approvals" columns=${COLUMNS} rows=${[...data].reverse()} hrefOf=${(one) => `#/approvals/${one.id}`} />`}</section>`;
}

/** The context as lines: what a person reads before deciding. */
function Context({ of }) {
  if (of === null || typeof of !== "object" || Array.isArray(of)) return html`<${Json} of=${of} label="Context" />`;
  const cells = Object.entries(of).map(([name, value]) => [name.replaceAll("_", " "), Array.isArray(value) && value.every((one) => typeof one === "string")
    ? html`<ul class="reasons">${value.map((one) => html`<li>${one}</li>`)}</ul>` : typeof value === "object" ? html`<${Json} of=${value} label=${name} />` : String(value)]);
  return html`<${Facts} of=${Object.fromEntries(cells)} />`;
}

function Decide({ approval, reload }) {
  const [values, setValues] = useState(defaults(approval.form));
  const [by, setBy] = useState(sessionStorage.getItem("person") || "");
  const [reason, setReason] = useState("");
  const [roles, setRoles] = useState(approval.roles);
  const [decide, busy, error] = useAction(
    (approved) => post(`/api/approvals/${approval.id}`, { approved, reason, values, roles, ...(signedIn() ? {} : { by }) }),
    (found) => {
      sessionStorage.setItem("person", by);
      notify(found.status === "open" ? "Counted; more people are needed." : `${found.name} is ${found.status}.`);
      reload();
    },
  );
  const submit = (event) => {
    event.preventDefault();
    void decide(event.submitter.value === "approve");
  };
  const toggle = (role) => setRoles(roles.includes(role) ? roles.filter((one) => one !== role) : [...roles, role]);
  return html`<form onSubmit=${submit}>
    ${!signedIn() && html`<label>Your name<input required maxlength="200" autocomplete="username" value=${by} onInput=${(event) => setBy(event.target.value)} /></label>`}
    ${approval.roles.length > 0 && html`<fieldset class="choices"><legend>You decide as</legend>${approval.roles.map((one) => html`<button key=${one} type="button"
      aria-pressed=${roles.includes(one)} onClick=${() => toggle(one)}>${one}</button>`)}</fieldset>`}
    ${Object.keys(objectOf(approval.form).properties || {}).length > 0 && html`<${Fields} schema=${approval.form} values=${values} onChange=${setValues} />`}
    <label>Reason <small>kept with the decision</small><textarea rows="2" maxlength="2000" value=${reason} onInput=${(event) => setReason(event.target.value)}></textarea></label>
    <${Failure} error=${error} />
    <div class="row"><${Button} type="submit" kind="danger" value="reject" busy=${busy}>Reject<//><${Button} type="submit" kind="primary" value="approve" busy=${busy}>Approve<//></div></form>`;
}

function One({ id }) {
  const { data: approval, error, reload } = useData(`/api/approvals/${id}`, ["approval."]);
  const run = useData(approval?.run ? `/api/runs/${approval.run}` : null, ["run."]).data;
  const now = useNow(1_000);
  if (approval === null) return error ? html`<${Failure} error=${error} retry=${reload} />` : html`<${Skeleton} />`;
  const yes = approval.decisions.filter((one) => one.approved).length;
  return html`<div class="head"><p class="crumb"><a href="#/approvals">Approvals</a></p><h1>${approval.name}</h1><${Status} of=${approval.status} />
      <p class="sub">asked <${Time} ms=${approval.created_ms} /> by run <${Id} of=${approval.run} href="#/runs/${approval.run}" />${approval.due_ms && approval.status === "open"
        ? html` · ${approval.due_ms > now ? `expires in ${span(approval.due_ms - now)}` : "expired"}` : ""}</p></div>
    <div class="split asked">
      <section class="panel"><header><h2>What is asked</h2></header><div class="body"><${Context} of=${approval.context} /></div></section>
      <div class="stack">
        <section class="panel"><header><h2>${approval.status === "open" ? "Your decision" : "Decided"}</h2></header><div class="body">${approval.status === "open" && may("approvals:decide")
          ? html`<${Decide} approval=${approval} reload=${reload} />` : html`<${Status} of=${approval.status} />`}</div></section>
        <section class="panel"><header><h2>Who has decided</h2><span class="more">${yes} of ${approval.quorum}</span></header>${approval.decisions.length === 0
          ? html`<p class="body quiet-text">Nobody yet${approval.roles.length ? `; asked are: ${approval.roles.join(", ")}` : ""}.</p>`
          : html`<ul class="feed">${approval.decisions.map((one) => html`<li key=${one.by + one.time_ms}><${Status} of=${one.approved ? "approved" : "rejected"} /><b>${one.by}</b><span class="said">${[one.reason, told(one.values)].filter(Boolean).join(" · ")}</span><${Time} ms=${one.time_ms} /></li>`)}</ul>`}</section>
      </div>
      ${run && html`<section class="panel"><header><h2>${run.status === "waiting" ? "The run that waits" : "The run that asked"}</h2><${Status} of=${run.status} /><a class="more" href="#/runs/${run.id}">Open the run</a></header><div class="body stack">
        ${run.error && html`<p class="notice bad">${run.error.message ?? inline(run.error, 400)}</p>`}<${Json} of=${run.output ?? run.input} label=${run.output === null ? "Input of the run" : "Output of the run"} /></div></section>`}
    </div>`;
}

export const Approvals = ({ rest, parameters }) => (rest[0] ? html`<${One} id=${rest[0]} />` : html`<${List} parameters=${parameters} />`);
