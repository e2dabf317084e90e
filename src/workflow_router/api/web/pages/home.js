// Owns the first page: what needs a person now, how much goes through, what happened last; and, in an empty router, how to begin.

import { ago, clock, exact, gist, inline, number, span } from "../format.js";
import { Chart } from "../chart.js";
import { listen } from "../live.js";
import { Copy, Empty, Failure, html, Id, may, Skeleton, Status, Time, useData, useEffect, useMe, useNow, useState } from "../ui.js";

const LATEST = 14;

/** What needs a person now, gathered from what the API lists: `{tone, what, name, why, href, ms}`, where `what` is the word for its tone, if that is another. */
function needs({ approvals, holds, faulted, suspended, subscriptions, routes, limits }) {
  return [
    ...(approvals || []).map((one) => ({ tone: "open", what: "approval", name: one.name, why: gist(one.context), href: `#/approvals/${one.id}`, ms: one.created_ms })),
    ...(holds || []).map((one) => ({ tone: "held", name: one.subject, why: `${one.at}, held by ${one.interceptor}`, href: `#/holds/${one.id}`, ms: one.created_ms })),
    ...(suspended?.runs || []).map((one) => ({ tone: "suspended", name: one.workflow, why: inline(one.error?.message ?? one.error ?? "", 160), href: `#/runs/${one.id}`, ms: one.updated_ms })),
    ...(faulted?.runs || []).map((one) => ({ tone: "faulted", name: one.workflow, why: inline(one.error?.message ?? one.error ?? "", 160), href: `#/runs/${one.id}`, ms: one.updated_ms })),
    ...(subscriptions || []).filter((one) => one.progress.dead > 0).map((one) => ({
      tone: "dead", what: "dead letters", name: one.name, why: one.progress.dead === 1 ? "1 message failed too often" : `${exact(one.progress.dead)} messages failed too often`, href: `#/broker/${one.name}?tab=Dead+letters`,
    })),
    ...(subscriptions || []).filter((one) => one.stuck).map((one) => ({ tone: "stuck", name: one.name, why: "messages wait and nobody takes them", href: `#/broker/${one.name}` })),
    ...(routes || []).flatMap((route) => route.targets.filter((one) => !one.ready).map((one) => ({
      tone: "failed", what: "not healthy", name: `${route.name} → ${one.name}`, why: one.reason, href: `#/routes/${route.name}`,
    }))),
    ...(limits || []).filter((one) => one.counters.some((counter) => counter.used >= one.amount)).map((one) => ({ tone: "spent", what: "limit spent", name: one.name, why: "nothing is left of it", href: "#/routes" })),
  ];
}

const Tile = ({ value, name, href, tone = "" }) =>
  html`<a class="tile ${value ? tone : ""}" href=${href}><b title=${exact(value)}>${number(value)}</b><span>${name}</span></a>`;

const sum = (rows, field) => Object.values(rows || {}).reduce((total, one) => total + (one[field] || 0), 0);

const total = (one, points) => exact(points.reduce((count, point) => count + one.of(point), 0));

/** Throughput and latency by minute. */
function LastHour({ hour }) {
  const { minutes, calls, runs } = hour;
  const took = calls ?? runs;
  const ends = [
    { name: "runs completed", tone: "good", of: (one) => one.completed },
    { name: "faulted", tone: "bad", of: (one) => one.faulted },
  ];
  const rank = (field) => (one) => one.took?.[field] ?? null;
  const times = [
    { name: "half within", tone: "accent", of: rank("p50_ms"), field: "p50_ms" },
    { name: "95 % within", tone: "wait", of: rank("p95_ms"), field: "p95_ms" },
  ];
  return html`<div class="even">
    <section class="panel"><div class="body"><${Chart} label="Throughput" points=${minutes} bars=${ends} lines=${[{ name: "events", tone: "accent", of: (one) => one.events }]} sum=${total} say=${(value) => exact(value)} /></div></section>
    <section class="panel"><div class="body"><${Chart} label=${calls || !runs ? "Calls took" : "Runs took"} points=${minutes} lines=${times} sum=${(one) => (took ? span(took[one.field]) : "–")} say=${span} /></div></section></div>`;
}

const RULES = { mapping: "mappings/", route: "routes/", interceptor: "holds?interceptor=", topic: "broker?topic=", subscription: "broker/" };

/** What was changed about the rules, and by whom. */
function Changed({ rules }) {
  if (rules.length === 0) return null;
  const page = (one) => RULES[one.kind.split(".")[0]];
  return html`<section class="panel"><header><h2>Changed lately</h2></header><ul class="feed">${rules.slice(0, 8).map((one) => html`<li key=${one.position}>
    <span>${one.kind.replace(".", " ").replaceAll("_", " ")}</span> <a href=${page(one) && !one.kind.endsWith("deleted") ? `#/${page(one)}${encodeURIComponent(one.subject)}` : `#/audit/${one.position}`}>${one.subject}</a>
    <span class="quiet-text">${one.actor ? `by ${one.actor}` : ""}</span><${Time} ms=${one.time_ms} /></li>`)}</ul></section>`;
}

const OF = { run: "runs", event: "events", approval: "approvals", hold: "holds" };

/** Where more of a transition is shown. */
function shown(one) {
  const page = OF[one.kind.split(".")[0]];
  if (page) return `#/${page}/${one.subject}`;
  return one.run ? `#/runs/${one.run}` : `#/audit/${one.position}`;
}

function Feed() {
  const [latest, setLatest] = useState([]);
  const now = useNow(5_000);
  const head = useData(may("audit:read") ? "/api/audit/head" : null).data;
  const before = useData(head && `/api/audit?after=${Math.max(0, head.position - LATEST)}&limit=${LATEST}`).data;
  const told = (line) => ({ ...line.transition, position: line.position, time_ms: line.time_ms });
  useEffect(() => listen((digest) => digest && setLatest((all) => [...digest.latest.map(told).reverse(), ...all].slice(0, LATEST))), []);
  const seen = new Set(latest.map((one) => one.position));
  const all = [...latest, ...(before || []).filter((one) => one.transition && !seen.has(one.position)).map(told).reverse()].slice(0, LATEST);
  return html`<section class="panel"><header><h2>As it happens</h2><a class="more" href="#/audit">Audit log</a></header>
    ${all.length === 0
      ? html`<p class="body quiet-text">Transitions appear here while they are committed.</p>`
      : html`<ul class="feed">${all.map((one) => html`<li key=${one.position}>
          <span>${one.kind}</span> <${Id} of=${one.subject} href=${shown(one)} /><time title=${clock(one.time_ms)}>${ago(one.time_ms, now)}</time></li>`)}</ul>`}
  </section>`;
}

function Begin() {
  const command = `curl -X POST ${location.origin}/events -H 'content-type: application/json' \\
  -H 'ce-specversion: 1.0' -H 'ce-id: 1' -H 'ce-source: /hello' -H 'ce-type: com.example.hello' \\
  -d '{"name": "Ada"}'`;
  return html`<section class="panel"><${Empty} title="Nothing has come in yet">
    <p>Send the first event. It appears here as it arrives.</p>
    <div class="json"><${Copy} text=${command} /><pre>${command}</pre></div><//></section>`;
}

export function Home() {
  useMe();
  const state = useData("/api/state", ["event.", "run.", "dispatch.", "message", "approval."]);
  const hour = useData("/api/state/hour", ["event.", "run.", "dispatch.", "mapping.", "route.", "interceptor."]).data;
  const where = (scope, path) => (may(scope) ? path : null);
  const found = {
    approvals: useData(where("approvals:read", "/api/approvals?status=open&limit=20"), ["approval."]).data,
    holds: useData(where("interceptors:read", "/api/holds?limit=20"), ["hold."]).data,
    limits: useData(where("limits:read", "/api/limits"), ["limit."]).data,
    faulted: useData(where("runs:read", "/api/runs?status=faulted&limit=8"), ["run.faulted"]).data,
    suspended: useData(where("runs:read", "/api/runs?status=suspended&limit=8"), ["run."]).data,
    subscriptions: useData(where("broker:read", "/api/subscriptions"), ["message.dead", "message.redriven", "delivery."]).data,
    routes: useData(where("routes:read", "/api/routes"), ["dispatch.failed", "target."]).data,
  };
  if (state.data === null) return state.error ? html`<${Failure} error=${state.error} retry=${state.reload} />` : html`<${Skeleton} />`;
  const { runs, events, dispatches, messages } = state.data;
  const wanted = needs(found);
  return html`<div class="head"><h1>Home</h1></div><div class="stack">
    <div class="tiles">
      <${Tile} value=${found.approvals?.length || 0} name="open approvals" href="#/approvals" tone="wait" />
      <${Tile} value=${sum(runs, "running") + sum(runs, "waiting") + sum(runs, "pending")} name="runs under way" href="#/runs?status=running" />
      <${Tile} value=${sum(runs, "faulted") + sum(runs, "suspended")} name="runs in trouble" href=${sum(runs, "faulted") ? "#/runs?status=faulted" : "#/runs?status=suspended"} tone="bad" />
      <${Tile} value=${sum(runs, "completed")} name="runs completed" href="#/runs?status=completed" />
      <${Tile} value=${events.accepted} name="events accepted" href="#/events" />
      <${Tile} value=${sum(dispatches, "succeeded")} name="calls answered" href="#/routes" />
      <${Tile} value=${sum(messages, "published")} name="messages sent" href="#/broker" />
    </div>
    ${events.accepted === 0 && sum(runs, "completed") === 0 && html`<${Begin} />`}
    <section class="panel"><header><h2>Needs a person</h2></header>
      ${wanted.length === 0
        ? html`<p class="body well">All is well: nobody is waited for, and nothing has failed.</p>`
        : html`<div class="need">${wanted.map((one) => html`<a key=${one.href + one.tone} href=${one.href}>
            <${Status} of=${one.tone} word=${one.what} /><b>${one.name}</b><span class="why">${one.why}</span>${one.ms && html`<${Time} ms=${one.ms} />`}</a>`)}</div>`}
    </section>
    ${hour && events.accepted + sum(runs, "completed") > 0 && html`<${LastHour} hour=${hour} />`}
    <div class="even">${hour && html`<${Changed} rules=${hour.rules} />`}<${Feed} /></div>
  </div>`;
}
