// Owns the one picture of a cause: from any id the whole tree of what its root led to, on a time axis, live while it grows.

import { exact } from "../format.js";
import { Button, Empty, Facts, Failure, html, Id, Json, Skeleton, Status, Time, useData, useNow, useState } from "../ui.js";
import { Waterfall } from "../waterfall.js";

const GROWS = ["event.", "mapping.", "run.", "step.", "dispatch.", "message", "delivery.", "approval."];
const ENDED = ["completed", "faulted", "cancelled", "succeeded", "failed", "approved", "rejected", "acknowledged", "continued"];
const PAGES = { event: "events", run: "runs", approval: "approvals", mapping: "mappings" };

/** The tree as rows, each after its parent, siblings by when they began. */
function rowsOf(nodes, now, depth = 0) {
  return [...nodes].sort((a, b) => a.started_ms - b.started_ms).flatMap((one) => {
    const open = one.finished_ms === null && ["running", "waiting", "open", "pending", "intended"].includes(one.status);
    const row = { ...one, key: one.id, depth, open, finished_ms: one.finished_ms ?? (open ? now : one.started_ms), note: ENDED.includes(one.status) ? "" : one.status };
    return [row, ...rowsOf(one.children, now, depth + 1)];
  });
}

function Detail({ node }) {
  if (!node) return html`<section class="panel"><${Empty} title="Choose a line">What it was, and where to look further.<//></section>`;
  const page = PAGES[node.kind];
  const run = node.kind === "run" ? null : node.run;
  const { children, key, depth, open, note, ...plain } = node; // what the picture added is none of the router's
  return html`<section class="panel"><header><h2>${node.name}</h2><${Status} of=${node.status} /></header><div class="body stack">
    <${Facts} of=${{ kind: node.kind, id: html`<${Id} of=${node.id} href=${page && `#/${page}/${node.kind === "mapping" ? node.name : node.id}`} />`, run: run && html`<${Id} of=${run} href="#/runs/${run}" />`,
      began: html`<${Time} ms=${node.started_ms} />`, "led to": children.length ? `${exact(children.length)} more` : null }} />
    ${node.kind === "dispatch" && html`<a href="#/routes?dispatch=${node.id}">Why this target</a>`}
    <${Json} of=${plain} label="The node" /></div></section>`;
}

function Ask() {
  const [id, setId] = useState("");
  const submit = (event) => {
    event.preventDefault();
    location.hash = `#/trace/${encodeURIComponent(id.trim())}`;
  };
  return html`<div class="head"><h1>Trace</h1></div><section class="panel"><div class="body"><form onSubmit=${submit}>
    <label>Id of an event, run, message, call or approval<input required value=${id} onInput=${(event) => setId(event.target.value)} /></label>
    <div class="row"><${Button} type="submit" kind="primary">Show what it belongs to<//></div></form></div></section>`;
}

function One({ id }) {
  const { data, error, reload } = useData(`/api/trace/${encodeURIComponent(id)}`, GROWS);
  const [chosen, setChosen] = useState(id);
  const now = useNow(1_000);
  if (data === null) return error ? html`<div class="head"><h1>Trace</h1></div><${Failure} error=${error} retry=${reload} />` : html`<${Skeleton} />`;
  const rows = rowsOf(data.roots, now);
  const begun = rows.reduce((first, one) => Math.min(first, one.started_ms), Infinity);
  return html`<div class="head"><p class="crumb"><a href="#/trace">Trace</a></p><h1>${data.roots[0]?.name ?? "Trace"}</h1>
      <p class="sub">${exact(data.count)} of one cause${data.cut ? "; the rest is left out" : ""}</p></div>
    <div class="split"><section class="panel"><${Waterfall} rows=${rows} begun=${begun} chosen=${chosen} onChoose=${setChosen} empty="Nothing yet" /></section>
      <${Detail} node=${rows.find((one) => one.id === chosen)} /></div>`;
}

export const Trace = ({ rest }) => (rest[0] ? html`<${One} id=${rest[0]} />` : html`<${Ask} />`);
