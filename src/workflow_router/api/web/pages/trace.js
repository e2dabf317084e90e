// Owns the one picture of a cause: from any id the whole tree of what its root led to, on a time axis and as a graph, live while
// it grows.

import { exact } from "../format.js";
import { Graph } from "../graph.js";
import { keep } from "../here.js";
import { Button, Failure, html, Skeleton, Tabs, useData, useMemo, useNow, useState } from "../ui.js";
import { Waterfall } from "../waterfall.js";
import { NodeDetail } from "./node.js";

const GROWS = ["event.", "mapping.", "run.", "step.", "dispatch.", "message", "delivery.", "approval."];
const ENDED = ["completed", "faulted", "cancelled", "succeeded", "failed", "approved", "rejected", "acknowledged", "continued"];

/** The tree with what goes on now, children by when they began. */
export const grown = (nodes) => [...nodes].sort((a, b) => a.started_ms - b.started_ms).map((one) => ({
  ...one, open: one.finished_ms === null && ["running", "waiting", "open", "asked", "pending", "intended", "started"].includes(one.status), children: grown(one.children),
}));

/** The tree as rows, each after its parent. */
const rowsOf = (nodes, now, depth = 0) => nodes.flatMap((one) => [
  { ...one, key: one.id, depth, finished_ms: one.finished_ms ?? (one.open ? now : one.started_ms), note: ENDED.includes(one.status) ? "" : one.status },
  ...rowsOf(one.children, now, depth + 1),
]);

const grows = (nodes) => nodes.some((one) => one.open || grows(one.children));

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

function One({ id, parameters }) {
  const { data, error, reload } = useData(`/api/trace/${encodeURIComponent(id)}`, GROWS);
  const [chosen, setChosen] = useState(id);
  const view = parameters.view === "graph" ? "Graph" : "Timeline";
  const now = useNow(1_000);
  const roots = useMemo(() => grown(data?.roots ?? []), [data]);
  const rows = useMemo(() => rowsOf(roots, now), grows(roots) ? [roots, now] : [roots]);
  if (data === null) return error ? html`<div class="head"><h1>Trace</h1></div><${Failure} error=${error} retry=${reload} />` : html`<${Skeleton} />`;
  const begun = rows.reduce((first, one) => Math.min(first, one.started_ms), Infinity);
  const node = rows.find((one) => one.id === chosen);
  return html`<div class="head"><p class="crumb"><a href="#/trace">Trace</a></p><h1>${data.roots[0]?.name ?? "Trace"}</h1>
      <p class="sub">${exact(data.count)} of one cause${data.cut ? "; the rest is left out" : ""}</p></div>
    <div class="stack"><${Tabs} label="Views of the cause" value=${view} onChange=${(one) => keep({ view: one === "Graph" ? "graph" : "" })} tabs=${["Timeline", "Graph"]} />
    <div class=${view === "Graph" ? "stack" : "split"}><section class="panel">${view === "Graph" ? html`<${Graph} roots=${roots} chosen=${chosen} onChoose=${setChosen} empty="Nothing yet" />`
      : html`<${Waterfall} rows=${rows} begun=${begun} chosen=${chosen} onChoose=${setChosen} empty="Nothing yet" />`}</section>
      <${NodeDetail} key=${chosen} node=${node && { ...node, correlation: data.correlation }} empty="What it was given and gave, its attempts, why it was decided so." /></div></div>`;
}

export const Trace = ({ rest, parameters }) => (rest[0] ? html`<${One} key=${rest[0]} id=${rest[0]} parameters=${parameters} />` : html`<${Ask} />`);
