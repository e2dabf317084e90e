// Owns routes: the health of their targets, what limits and budgets have left, and why calls went where they went.

import { call, post, query } from "../api.js";
import { JsonField, useJson } from "../form.js";
import { exact, money, number, span, within } from "../format.js";
import { Button, Dialog, Empty, Facts, Failure, html, Id, Json, may, May, notify, Skeleton, Status, Table, Time, useAction, useData, useState } from "../ui.js";

const CALLS = [
  { name: "Status", of: (one) => html`<${Status} of=${one.status} />`, kind: "short" },
  { name: "Call", of: (one) => html`<a href="#/routes/${one.route}?dispatch=${one.id}" title=${one.id}>${one.route} → ${one.target ?? "none"}</a>`, kind: "name" },
  { name: "Asked by", of: (one) => (one.run ? html`<a href="#/runs/${one.run}">${one.caller}</a>` : one.caller ?? "–"), kind: "name" },
  { name: "Attempts", of: (one) => one.attempts.length, kind: "number" },
  { name: "Tokens", of: (one) => exact((one.facts?.input_tokens ?? 0) + (one.facts?.output_tokens ?? 0)), kind: "number" },
  { name: "Cost", of: (one) => (one.facts?.cost ? money(one.facts.cost) : "–"), kind: "number" },
  { name: "Took", of: (one) => (one.finished_ms ? span(one.finished_ms - one.created_ms) : "–"), kind: "number" },
  { name: "When", of: (one) => html`<${Time} ms=${one.created_ms} />`, kind: "number" },
];

const took = (rank) => (one) => (one.hour ? span(one.hour.took[rank]) : "–");

const TARGETS = [
  { name: "Target", of: (one) => html`<span class="health"><b>${one.name}</b><small>${one.model ?? one.url ?? one.kind}</small></span>` },
  { name: "Health", of: (one) => html`<span class="health"><${Status} of=${one.ready ? "ready" : "failed"} word=${one.ready ? "ready" : one.reason.startsWith("breaker") ? "breaker open" : "not ready"} />${one.reason && html`<small>${one.reason}${one.ready_in_s ? `, again in ${span(one.ready_in_s * 1000)}` : ""}</small>`}</span>`, kind: "wide" },
  { name: "In flight", of: (one) => `${one.in_flight}${one.limit === null ? "" : ` of ${one.limit}`}${one.waiting ? `, ${one.waiting} wait` : ""}`, kind: "number" },
  { name: "Calls", of: (one) => exact(one.hour?.took.count ?? 0), kind: "number" },
  { name: "Failed", of: (one) => (one.hour?.failed ? html`<span class="bad-text">${exact(one.hour.failed)}</span>` : "0"), kind: "number" },
  { name: "p50", of: took("p50_ms"), kind: "number" },
  { name: "p95", of: took("p95_ms"), kind: "number" },
  { name: "p99", of: took("p99_ms"), kind: "number" },
  { name: "Cost", of: (one) => (one.hour?.cost ? money(one.hour.cost) : "–"), kind: "number" },
  { name: "Weight", of: (one) => one.weight, kind: "number" },
];

function Route({ route, hour }) {
  const rows = route.targets.map((one) => ({ ...one, hour: hour?.targets.find((other) => other.route === route.name && other.target === one.name) }));
  return html`<section class="panel"><header><h2><a href="#/routes/${route.name}">${route.name}</a></h2><span class="quiet-text">${route.policy}</span><span class="more quiet-text">the last hour</span></header>
    <${Table} label="Targets of ${route.name}" columns=${TARGETS} rows=${rows} keyOf=${(one) => one.name} /></section>`;
}

/** An amount of a limit in its unit. */
const amount = (unit, value) => (unit === "money" ? money(value) : number(value));

/** Limits and budgets burning down: what is left of each, for everybody it is counted for. */
function Limits() {
  const { data } = useData(may("limits:read") ? "/api/limits" : null, ["dispatch.", "limit."]);
  if (!data?.length) return null;
  return html`<section class="panel"><header><h2>Limits and budgets</h2></header><div class="body budgets">${data.map((one) => {
    const counters = one.counters.length ? [...one.counters].sort((a, b) => b.used - a.used).slice(0, 6) : [{ subject: "", used: 0 }];
    const where = Object.entries(one.where).map(([scope, name]) => `${scope} ${name}`).join(", ");
    return html`<div key=${one.name} class="budget"><div class="row"><b>${one.name}</b><span class="quiet-text">${amount(one.unit, one.amount)} ${one.unit === "money" ? "" : one.unit} ${within(one.window)}${one.per ? `, for each ${one.per}` : ""}${where ? `, of ${where}` : ""}</span></div>
      ${counters.map(({ subject, used }) => {
        const share = Math.min(1, used / (one.amount || 1));
        const left = Math.max(0, one.amount - used);
        return html`<div key=${subject} class="burn"><div class="meter" role="meter" aria-label="${one.name} ${subject}" aria-valuenow=${Math.round(share * 100)} aria-valuemin="0" aria-valuemax="100" aria-valuetext="${amount(one.unit, left)} left">
            <i class=${share >= 1 ? "bad" : share > 0.8 ? "wait" : ""} style=${{ width: `${share * 100}%` }}></i></div><span>${subject ? html`<em>${subject}</em> ` : ""}${amount(one.unit, left)} left</span></div>`;
      })}</div>`;
  })}</div></section>`;
}

function Why({ id, onClose }) {
  const { data, error } = useData(`/api/dispatches/${id}`, ["dispatch."]);
  return html`<${Dialog} title="Why this target" onClose=${onClose}><${Failure} error=${error} />${data && html`<div class="stack">
    <ul class="reasons">${data.explanation.map((line) => html`<li>${line}</li>`)}</ul>
    <${Facts} of=${{ status: html`<${Status} of=${data.status} />`, route: data.route, target: data.target, run: data.run && html`<${Id} of=${data.run} href="#/runs/${data.run}" />`, caller: data.caller, cost: data.facts?.cost && money(data.facts.cost), began: html`<${Time} ms=${data.created_ms} />` }} />
    <${Json} of=${data} label="The record" /></div>`}<//>`;
}

/** How calls are shared out: moved with sliders, in force at once. */
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
  const sum = Object.values(weights).reduce((all, one) => all + one, 0);
  const top = Math.max(10, ...route.targets.map((one) => one.weight));
  return html`<${Dialog} title="Weights of ${route.name}" onClose=${onClose}><form onSubmit=${submit}>
    ${route.policy !== "weighted" && html`<p class="notice wait">The policy of this route is ${route.policy}: weights count only where it is weighted.</p>`}
    ${route.targets.map((one) => {
      const set = (event) => setWeights({ ...weights, [one.name]: Number(event.target.value) });
      return html`<div key=${one.name} class="weight"><label>${one.name}<input type="number" min="0" step="any" required value=${weights[one.name]} onInput=${set} /></label>
        <input type="range" min="0" max=${top} step=${top / 100} aria-label="Weight of ${one.name}" value=${weights[one.name]} onInput=${set} /><b>${sum ? Math.round((weights[one.name] / sum) * 100) : 0} %</b></div>`;
    })}
    <${Failure} error=${error} /><div class="row"><${Button} type="submit" kind="primary" busy=${busy}>Put in force<//></div></form><//>`;
}

const CHATS = ["openai", "anthropic"];

/** One call through the route, for real. */
function TryIt({ route, onClose }) {
  const chats = route.targets.some((one) => CHATS.includes(one.kind));
  const field = useJson(chats ? { model: route.name, messages: [{ role: "user", content: "Say hello." }] } : {});
  const [method, setMethod] = useState("POST");
  const [path, setPath] = useState("");
  const [found, setFound] = useState(null);
  const [send, busy, error] = useAction(() => {
    const begun = performance.now();
    const answered = chats ? post("/v1/chat/completions", field.value) : call(method, `/dispatch/${route.name}/${path}`, method === "GET" ? undefined : field.value);
    return answered.then((answer) => ({ answer, took: performance.now() - begun }));
  }, setFound);
  const submit = (event) => {
    event.preventDefault();
    void send();
  };
  return html`<${Dialog} title="Try ${route.name}" onClose=${onClose}><form onSubmit=${submit}><p class="quiet-text">This calls the target for real, and counts against budgets.</p>
    ${!chats && html`<div class="filters"><label>Method<select value=${method} onChange=${(event) => setMethod(event.target.value)}>${["GET", "POST", "PUT", "DELETE"].map((one) => html`<option key=${one} value=${one}>${one}</option>`)}</select></label>
      <label class="grow">Path<input value=${path} onInput=${(event) => setPath(event.target.value)} /></label></div>`}
    ${(chats || method !== "GET") && html`<${JsonField} label="Request" of=${field} rows=${9} />`}<${Failure} error=${error} />
    <div class="row"><${Button} type="submit" kind="primary" busy=${busy} disabled=${field.problem !== null}>Send<//></div></form>
    ${found && html`<p role="status" class="quiet-text">Answered in ${span(found.took)}. <a href="#/routes/${route.name}" onClick=${onClose}>See why this target in the latest calls.</a></p><${Json} of=${found.answer} label="Answer" />`}<//>`;
}

export function Routes({ rest, parameters }) {
  const name = rest[0];
  const { data, error, reload } = useData("/api/routes", ["dispatch.failed", "target.", "route."]);
  const hour = useData("/api/state/hour", ["dispatch."]).data;
  const calls = useData(may("dispatches:read") ? query("/api/dispatches", { limit: 60 }) : null, ["dispatch."]).data;
  const [opens, setOpens] = useState("");
  const route = data?.find((one) => one.name === name);
  const close = () => {
    setOpens("");
    reload();
  };
  if (data === null) return error ? html`<${Failure} error=${error} retry=${reload} />` : html`<${Skeleton} />`;
  const shown = (calls || []).filter((one) => !name || one.route === name);
  return html`<div class="head">${name && html`<p class="crumb"><a href="#/routes">Routes</a></p>`}<h1>${name || "Routes"}</h1>
      ${route && html`<div class="actions"><${May} do="routes:write"><${Button} onClick=${() => setOpens("weights")}>Change weights<//><//><${May} do="dispatch"><${Button} kind="primary" onClick=${() => setOpens("try")}>Try a request<//><//></div>`}</div>
    <div class="stack">${data.length === 0 && html`<section class="panel"><${Empty} title="No routes">Declare them in router.yaml under routes.<//></section>`}
      <div class="stack">${data.filter((one) => !name || one.name === name).map((one) => html`<${Route} key=${one.name} route=${one} hour=${hour} />`)}</div>
      <${Limits} />
      <section class="panel"><header><h2>Latest calls</h2></header>${shown.length === 0 ? html`<p class="body quiet-text">None yet.</p>`
        : html`<${Table} label="Latest calls" columns=${CALLS} rows=${shown} hrefOf=${(one) => `#/routes/${one.route}?dispatch=${one.id}`} />`}</section></div>
    ${opens === "weights" && html`<${Weights} route=${route} onClose=${close} />`}${opens === "try" && html`<${TryIt} route=${route} onClose=${close} />`}
    ${parameters.dispatch && html`<${Why} key=${parameters.dispatch} id=${parameters.dispatch} onClose=${() => { location.hash = name ? `#/routes/${name}` : "#/routes"; }} />`}`;
}
