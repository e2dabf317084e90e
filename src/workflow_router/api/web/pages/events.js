// Owns the list of accepted events, and one of them: what it was, which mappings it matched, which came near and why not.

import { post, query } from "../api.js";
import { inline } from "../format.js";
import { ask, Button, Empty, Facts, Failure, html, Id, Json, May, notify, Skeleton, Status, Table, Time, useAction, useData } from "../ui.js";

const PAGE = 50;

const COLUMNS = [
  { name: "Type", of: (one) => html`<a href="#/events/${one.id}">${one.type}</a>`, kind: "name" },
  { name: "Source", of: (one) => html`<span class="quiet-text" title=${one.source}>${one.source.replace(/^https?:\/\//, "")}</span>`, kind: "name" },
  { name: "Subject", of: (one) => one.subject ?? "–", kind: "name" },
  { name: "Matched", of: (one) => one.matched.map((name) => html`<a key=${name} href="#/mappings/${name.split("@")[0]}">${name}</a> `).concat(one.matched.length ? [] : [html`<span class="quiet-text">nothing</span>`]), kind: "name" },
  { name: "Came", of: (one) => html`<${Time} ms=${one.received_ms} />`, kind: "number" },
];

function List({ parameters }) {
  const { before = "", type = "", text = "", mapping } = parameters;
  const filter = { type, text, ...(mapping === undefined ? {} : { mapping }) };
  const path = `${query("/api/events", { type, text, before, limit: PAGE })}${mapping === undefined ? "" : `&mapping=${encodeURIComponent(mapping)}`}`;
  const { data, error, reload } = useData(path, before ? [] : ["event."]);
  const mappings = useData("/api/mappings", ["mapping."]).data;
  const href = (more) => {
    const all = { ...filter, ...more };
    const kept = Object.entries(all).filter(([name, value]) => value !== undefined && (value !== "" || name === "mapping"));
    return kept.length ? `#/events?${new URLSearchParams(kept)}` : "#/events";
  };
  const go = (more) => {
    location.hash = href(more);
  };
  const field = (name, placeholder, label) => html`<label class="grow">${label}<input type="search" placeholder=${placeholder} value=${filter[name]}
    onChange=${(event) => go({ [name]: event.target.value.trim() })} /></label>`;
  const names = [...new Set((mappings || []).map((one) => one.name))];
  const filtered = type || text || mapping !== undefined;
  return html`<div class="head"><h1>Events</h1><div class="actions"><a class="button" href="#/mappings?try=">Try an event</a></div></div>
    <div class="filters">${field("type", "com.example.order", "Type begins with")}${field("text", "order-7", "Subject, source or attribute has")}
      <label>Matched<select value=${mapping === undefined ? "*" : mapping} onChange=${(event) => go({ mapping: event.target.value === "*" ? undefined : event.target.value })}>
        <option value="*">whatever</option><option value="">nothing</option>${names.map((one) => html`<option key=${one} value=${one}>${one}</option>`)}</select></label></div>
    <${Failure} error=${error} retry=${reload} />
    <section class="panel">${data === null ? !error && html`<${Skeleton} rows=${8} />`
      : data.events.length === 0 ? html`<${Empty} title=${filtered ? "None of the latest fits" : "No events yet"}>${filtered ? html`<a href="#/events">Show all events</a>` : "They come in at POST /events, as signed webhooks, from topics and schedules."}<//>`
      : html`<${Table} label="Events" columns=${COLUMNS} rows=${data.events} hrefOf=${(one) => `#/events/${one.id}`} />`}</section>
    <div class="row pages">${before && html`<a href=${href({})}>← Newest</a>`}${data?.next && html`<a href=${href({ before: data.next })}>Older →</a>`}</div>`;
}

/** Why mappings matched, and which came near and what kept them from it. */
export function Explained({ of }) {
  const near = of.near || [];
  return html`<div class="stack">
    ${of.matched.length === 0 && html`<p class="quiet-text">No mapping matched.</p>`}
    ${of.matched.map((name) => html`<div key=${name} class="row"><${Status} of="live" /><a href="#/mappings/${name.split("@")[0]}">${name}</a> matched</div>`)}
    ${(of.shadow || []).map((name) => html`<div key=${name} class="row"><${Status} of="shadow" />${name} would have matched</div>`)}
    ${Object.entries(of.failed || {}).map(([name, why]) => html`<div key=${name} class="notice bad"><b>${name}</b> failed: ${inline(why, 400)}</div>`)}
    ${near.map((one) => html`<div key=${one.mapping} class="notice"><b>${one.mapping ?? one.name}</b> came near: ${inline(one.reasons ?? one.why ?? one, 500)}</div>`)}
    <p class="quiet-text">${of.considered} of ${of.of} mappings were looked at closely.</p></div>`;
}

function One({ id }) {
  const { data: event, error, reload } = useData(`/api/events/${id}`);
  const explained = useData(`/api/events/${id}/explain`).data;
  const [replay, busy, failed] = useAction(() => post("/api/events/replay", { events: [id] }), () => notify("Taken in again."));
  if (event === null) return error ? html`<${Failure} error=${error} retry=${reload} />` : html`<${Skeleton} />`;
  const { data, ...attributes } = event.event;
  return html`<div class="head"><p class="crumb"><a href="#/events">Events</a></p><h1>${event.event.type}</h1>
      <div class="actions"><a class="button" href="#/trace/${event.id}">What it caused</a><a class="button" href="#/mappings?try=${event.id}">Try it</a>
        <${May} do="events:write"><${Button} busy=${busy} onClick=${async () => (await ask("Take this event in again, with all its effects?", "Take it in again", "primary")) && replay()}>Replay<//><//></div>
      <p class="sub"><${Id} of=${event.id} /> · came <${Time} ms=${event.received_ms} /></p></div><${Failure} error=${failed} />
    <div class="split"><section class="panel"><header><h2>Data</h2></header><div class="body"><${Json} of=${data ?? event.event.data_base64 ?? null} label="Data of the event" /></div></section>
      <div class="stack"><section class="panel"><header><h2>Mappings</h2></header><div class="body">${explained && html`<${Explained} of=${explained} />`}</div></section>
      <section class="panel"><header><h2>Attributes</h2></header><div class="body"><${Facts} of=${attributes} /></div></section></div></div>`;
}

export const Events = ({ rest, parameters }) => (rest[0] ? html`<${One} id=${rest[0]} />` : html`<${List} parameters=${parameters} />`);
