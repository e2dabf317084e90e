// Owns routes: the health of their targets, what limits and budgets have left, and why calls went where they went.

import { call, post, query } from "../api.js";
import { exact, inline, money, span } from "../format.js";
import { Button, Dialog, Empty, Facts, Failure, html, Id, Json, notify, Skeleton, Status, Table, Time, useAction, useData, useState } from "../ui.js";

const CALLS = [
  { name: "Status", of: (one) => html`<${Status} of=${one.status} />`, kind: "short" },
  { name: "Call", of: (one) => html`<${Id} of=${one.id} href="#/routes/${one.route}?dispatch=${one.id}" />`, kind: "short" },
  { name: "Route", of: (one) => one.route },
  { name: "Target", of: (one) => one.target ?? "–" },
  { name: "Asked by", of: (one) => (one.run ? html`<a href="#/runs/${one.run}">${one.caller}</a>` : one.caller ?? "–") },
  { name: "Attempts", of: (one) => one.attempts.length, kind: "number" },
  { name: "Tokens", of: (one) => exact((one.facts?.input_tokens ?? 0) + (one.facts?.output_tokens ?? 0)), kind: "number" },
  { name: "Cost", of: (one) => (one.facts?.cost ? money(one.facts.cost) : "–"), kind: "number" },
  { name: "Took", of: (one) => (one.finished_ms ? span(one.finished_ms - one.created_ms) : "–"), kind: "number" },
  { name: "When", of: (one) => html`<${Time} ms=${one.created_ms} />`, kind: "number" },
];

const targets = (counts) => [
  { name: "Target", of: (one) => html`<b>${one.name}</b> <span class="quiet-text">${one.model ?? one.url ?? one.kind}</span>` },
  { name: "Health", of: (one) => html`<${Status} of=${one.ready ? "ready" : "failed"} /> ${one.reason}`, kind: "short" },
  { name: "In flight", of: (one) => (one.limit === null ? one.in_flight : `${one.in_flight} of ${one.limit}`), kind: "number" },
  { name: "Answered", of: (one) => exact(counts?.[one.name]?.succeeded ?? 0), kind: "number" },
  { name: "Failed", of: (one) => exact(counts?.[one.name]?.failed ?? 0), kind: "number" },
  { name: "Weight", of: (one) => one.weight, kind: "number" },
];

function Route({ route, counts }) {
  return html`<section class="panel"><header><h2><a href="#/routes/${route.name}">${route.name}</a></h2><span class="quiet-text">${route.policy}</span></header>
    <${Table} label="Targets of ${route.name}" columns=${targets(counts)} rows=${route.targets} keyOf=${(one) => one.name} /></section>`;
}

function Limits() {
  const { data } = useData("/api/limits", ["dispatch.", "limit."]);
  if (!data?.length) return null;
  return html`<section class="panel"><header><h2>Limits and budgets</h2></header><div class="body stack">${data.map((one) => {
    const used = one.used ?? 0;
    const share = Math.min(1, used / (one.limit || one.max || 1));
    return html`<div key=${one.name + (one.scope ?? "")}><div class="row"><b>${one.name}</b><span class="quiet-text">${inline(one, 160)}</span></div>
      <div class="meter" role="meter" aria-label=${one.name} aria-valuenow=${Math.round(share * 100)} aria-valuemin="0" aria-valuemax="100"><i class=${share >= 1 ? "bad" : share > 0.8 ? "wait" : ""} style=${{ width: `${share * 100}%` }}></i></div></div>`;
  })}</div></section>`;
}

function Why({ id, onClose }) {
  const { data, error } = useData(`/api/dispatches/${id}`, ["dispatch."]);
  return html`<${Dialog} title="Why this target" onClose=${onClose}><${Failure} error=${error} />${data && html`<div class="stack">
    <ul class="reasons">${data.explanation.map((line) => html`<li>${line}</li>`)}</ul>
    <${Facts} of=${{ status: html`<${Status} of=${data.status} />`, route: data.route, target: data.target, run: data.run && html`<${Id} of=${data.run} href="#/runs/${data.run}" />`, caller: data.caller, cost: data.facts?.cost && money(data.facts.cost), began: html`<${Time} ms=${data.created_ms} />` }} />
    <${Json} of=${data} label="The record" /></div>`}<//>`;
}

function Weights({ route, onClose }) {
  const [weights, setWeights] = useState(Object.fromEntries(route.targets.map((one) => [one.name, one.weight])));
  const [save, busy, error] = useAction(() => post(`/api/routes/${route.name}/weights`, { weights }), () => {
    notify("The weights are in force.");
    onClose();
  });
  const submit = (event) => {
    event.preventDefault();
    void save();
  };
  return html`<${Dialog} title="Weights of ${route.name}" onClose=${onClose}><form onSubmit=${submit}>${route.targets.map((one) => html`<label key=${one.name}>${one.name}
    <input type="number" min="0" step="any" required value=${weights[one.name]} onInput=${(event) => setWeights({ ...weights, [one.name]: Number(event.target.value) })} /></label>`)}
    <${Failure} error=${error} /><div class="row"><${Button} type="submit" kind="primary" busy=${busy}>Put in force<//></div></form><//>`;
}

function TryIt({ route, onClose }) {
  const [text, setText] = useState(JSON.stringify({ model: route.name, messages: [{ role: "user", content: "Say hello." }] }, null, 2));
  const [found, setFound] = useState(null);
  const [send, busy, error] = useAction(() => call("POST", "/v1/chat/completions", JSON.parse(text)), setFound);
  return html`<${Dialog} title="Try ${route.name}" onClose=${onClose}><p class="quiet-text">This calls the target for real, and counts against budgets.</p>
    <label>Request<textarea rows="9" spellcheck=${false} value=${text} onInput=${(event) => setText(event.target.value)}></textarea></label><${Failure} error=${error} />
    <div class="row"><${Button} kind="primary" busy=${busy} onClick=${() => send()}>Send<//></div>${found && html`<${Json} of=${found} label="Answer" />`}<//>`;
}

export function Routes({ rest, parameters }) {
  const name = rest[0];
  const { data, error, reload } = useData("/api/routes", ["dispatch.failed", "target.", "route."]);
  const state = useData("/api/state", ["dispatch."]).data;
  const calls = useData(query("/api/dispatches", { limit: 60 }), ["dispatch."]).data;
  const [opens, setOpens] = useState("");
  const route = data?.find((one) => one.name === name);
  const close = () => {
    setOpens("");
    reload();
  };
  if (data === null) return error ? html`<${Failure} error=${error} retry=${reload} />` : html`<${Skeleton} />`;
  const shown = (calls || []).filter((one) => !name || one.route === name);
  return html`<div class="head">${name && html`<p class="crumb"><a href="#/routes">Routes</a></p>`}<h1>${name || "Routes"}</h1>
      ${route && html`<div class="actions"><${Button} onClick=${() => setOpens("weights")}>Change weights<//><${Button} kind="primary" onClick=${() => setOpens("try")}>Try a request<//></div>`}</div>
    <div class="stack">${data.length === 0 && html`<section class="panel"><${Empty} title="No routes">Declare them in router.yaml under routes.<//></section>`}
      <div class="even">${data.filter((one) => !name || one.name === name).map((one) => html`<${Route} key=${one.name} route=${one} counts=${state?.dispatches} />`)}</div>
      <${Limits} />
      <section class="panel"><header><h2>Latest calls</h2></header>${shown.length === 0 ? html`<p class="body quiet-text">None yet.</p>`
        : html`<${Table} label="Latest calls" columns=${CALLS} rows=${shown} hrefOf=${(one) => `#/routes/${one.route}?dispatch=${one.id}`} />`}</section></div>
    ${opens === "weights" && html`<${Weights} route=${route} onClose=${close} />`}${opens === "try" && html`<${TryIt} route=${route} onClose=${close} />`}
    ${parameters.dispatch && html`<${Why} key=${parameters.dispatch} id=${parameters.dispatch} onClose=${() => { location.hash = name ? `#/routes/${name}` : "#/routes"; }} />`}`;
}
