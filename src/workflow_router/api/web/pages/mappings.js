// Owns mappings: those in force, what they connect, their versions; trying an event; changing one, checked as it is typed.

import { call, post } from "../api.js";
import { inline } from "../format.js";
import { Button, Dialog, Empty, Failure, html, Json, notify, Skeleton, Status, Table, Tabs, Time, useAction, useData, useEffect, useState } from "../ui.js";
import { Explained } from "./events.js";

const EXAMPLE = { id: "1", source: "/try", type: "com.example.type", specversion: "1.0", data: {} };
const does = (rule) => ["start", "publish", "signal", "dispatch", "emit"].filter((verb) => rule[verb]).map((verb) => `${verb} ${inline(rule[verb], 60)}`).join(", ")
  || `${(rule.targets || []).length} targets`;

const COLUMNS = [
  { name: "Mapping", of: (one) => html`<a href="#/mappings/${one.name}">${one.name}</a>` },
  { name: "Stage", of: (one) => html`<${Status} of=${one.stage} />`, kind: "short" },
  { name: "Takes", of: (one) => html`<code>${inline(one.rule.on ?? one.rule.filters, 110)}</code>`, kind: "wide" },
  { name: "Does", of: (one) => does(one.rule) },
  { name: "Version", of: (one) => one.version, kind: "number" },
  { name: "From", of: (one) => one.origin },
];

function Try({ first, onClose }) {
  const [text, setText] = useState(JSON.stringify(first || EXAMPLE, null, 2));
  const [found, setFound] = useState(null);
  const [run, busy, error] = useAction(async () => post("/api/mappings/try", { event: JSON.parse(text) }), setFound);
  const submit = (event) => {
    event.preventDefault();
    void run();
  };
  return html`<${Dialog} title="Try an event" onClose=${onClose}><form onSubmit=${submit}>
      <label>CloudEvent <small>nothing is done with it; it only says what would be</small><textarea rows="10" spellcheck=${false} value=${text} onInput=${(event) => setText(event.target.value)}></textarea></label>
      <${Failure} error=${error} /><div class="row"><${Button} type="submit" kind="primary" busy=${busy}>Try<//></div></form>
    ${found && html`<${Explained} of=${found.explained} /><${Json} of=${found.effects} label="Effects it would have" />`}<//>`;
}

/** Keeps the last answer to a draft: what the router says of it, a moment after the last key. */
function useCheck(text) {
  const [verdict, setVerdict] = useState({ rule: null, problem: null });
  useEffect(() => {
    const timer = setTimeout(async () => {
      try {
        const rule = JSON.parse(text);
        await post("/api/mappings/try", { event: EXAMPLE, mappings: [rule] });
        setVerdict({ rule, problem: null });
      } catch (error) {
        setVerdict({ rule: null, problem: `${error.message} ${error.remedy ?? ""}` });
      }
    }, 250);
    return () => clearTimeout(timer);
  }, [text]);
  return verdict;
}

function Edit({ mapping, onClose }) {
  const [text, setText] = useState(JSON.stringify(mapping.rule, null, 2));
  const [found, setFound] = useState(null);
  const verdict = useCheck(text);
  const save = (stage) => call("PUT", `/api/mappings/${mapping.name}`, {
    rule: { ...verdict.rule, stage }, override: mapping.origin === "project", expected: mapping.origin === "project" ? undefined : mapping.version,
  });
  const [put, busy, error] = useAction(save, () => {
    notify(`${mapping.name} is in force.`);
    onClose();
  });
  const [test, testing, failed] = useAction(() => backtest(verdict.rule), setFound);
  return html`<${Dialog} title="Change ${mapping.name}" onClose=${onClose}>
    <label>Rule <small>as in router.yaml, as JSON</small><textarea rows="16" spellcheck=${false} value=${text} onInput=${(event) => setText(event.target.value)}></textarea></label>
    ${verdict.problem ? html`<p class="notice bad" role="alert">${verdict.problem}</p>` : html`<p class="notice good" role="status">It is well formed.</p>`}
    <${Failure} error=${error || failed} />
    <div class="row"><${Button} disabled=${!verdict.rule} busy=${testing} onClick=${() => test()}>Backtest over the archive<//></div>
    ${found && html`<${Json} of=${found} label="What would be different" />`}
    <div class="row">${["shadow", "canary", "live"].map((stage) => html`<${Button} key=${stage} kind=${stage === "live" ? "primary" : ""} disabled=${!verdict.rule} busy=${busy} onClick=${() => put(stage)}>Publish as ${stage}<//>`)}</div><//>`;
}

/** The last line of the backtest's stream has the differences. */
async function backtest(rule) {
  const key = sessionStorage.getItem("router-key");
  const answer = await fetch("/api/mappings/backtest", { method: "POST", body: JSON.stringify({ mappings: [rule] }), headers: key ? { authorization: `Bearer ${key}` } : {} });
  const lines = (await answer.text()).split("\n").filter((line) => line.startsWith("data: "));
  if (!answer.ok || lines.length === 0) throw new Error("The backtest was refused.");
  return JSON.parse(lines.at(-1).slice(6));
}

function Versions({ mapping, reload }) {
  const { data } = useData(`/api/mappings/${mapping.name}/versions`, ["mapping."]);
  const [change, busy, error] = useAction((body) => post(`/api/mappings/${mapping.name}/change`, { override: mapping.origin === "project", ...body }), () => {
    notify("Changed.");
    reload();
  });
  const columns = [
    { name: "Version", of: (one) => one.version, kind: "number" }, { name: "Stage", of: (one) => html`<${Status} of=${one.stage} />` }, { name: "Author", of: (one) => one.author },
    { name: "Made", of: (one) => html`<${Time} ms=${one.created_ms} />` },
    { name: "", of: (one) => one.version !== mapping.version && html`<${Button} busy=${busy} onClick=${() => change({ action: "rollback", version: one.version })}>Roll back to it<//>` },
  ];
  return html`<${Failure} error=${error} /><section class="panel">${data && html`<${Table} label="Versions" columns=${columns} rows=${[...data].reverse()} keyOf=${(one) => one.version} />`}</section>`;
}

function One({ mapping, reload }) {
  const [edits, setEdits] = useState(false);
  const [change, busy, error] = useAction((action) => post(`/api/mappings/${mapping.name}/change`, { action, override: mapping.origin === "project" }), reload);
  const rests = mapping.stage === "disabled" || mapping.rule.disabled;
  return html`<div class="head"><p class="crumb"><a href="#/mappings">Mappings</a></p><h1>${mapping.name}</h1><${Status} of=${mapping.stage} />
      <div class="actions"><${Button} busy=${busy} onClick=${() => change(rests ? "enable" : "disable")}>${rests ? "Enable" : "Disable"}<//><${Button} kind="primary" onClick=${() => setEdits(true)}>Change<//></div>
      <p class="sub">version ${mapping.version}, from ${mapping.origin}: ${does(mapping.rule)}</p></div>
    <${Failure} error=${error} />${mapping.problem && html`<p class="notice bad">${mapping.problem}</p>`}
    <div class="even"><section class="panel"><header><h2>Rule</h2></header><div class="body"><${Json} of=${mapping.rule} label="Rule" /></div></section><div class="stack"><${Versions} mapping=${mapping} reload=${reload} /></div></div>
    ${edits && html`<${Edit} mapping=${mapping} onClose=${() => { setEdits(false); reload(); }} />`}`;
}

/** Event types on the left, what they lead to on the right. */
function Graph() {
  const { data } = useData("/api/mappings/graph", ["mapping."]);
  const columns = [
    { name: "Event types", of: (one) => one.types.map((type) => html`<div key=${type}><code>${type}</code></div>`) },
    { name: "Mapping", of: (one) => html`→ <a href="#/mappings/${one.mapping.split("@")[0]}">${one.mapping}</a>` },
    { name: "Leads to", of: (one) => one.targets.map((other) => html`<div key=${other.name}>→ ${other.does} <b>${other.name}</b></div>`) },
  ];
  return html`<section class="panel">${data === null ? html`<${Skeleton} />` : html`<${Table} label="What leads to what" columns=${columns} rows=${data} keyOf=${(one) => one.mapping} />`}</section>`;
}

function Lint() {
  const { data } = useData("/api/mappings/lint");
  if (data === null) return html`<${Skeleton} />`;
  return html`<section class="panel">${data.findings.length === 0 ? html`<${Empty} title="Nothing to mend">${data.mappings} mappings were held against ${data.events} recent events.<//>`
    : html`<ul class="feed">${data.findings.map((one) => html`<li><b>${one.mapping ?? ""}</b> ${one.message ?? inline(one, 400)}</li>`)}</ul>`}</section>`;
}

export function Mappings({ rest, parameters }) {
  const { data, error, reload } = useData("/api/mappings", ["mapping."]);
  const [tab, setTab] = useState("In force");
  const [tries, setTries] = useState(parameters.try !== undefined);
  const one = data?.find((other) => other.name === rest[0]);
  if (rest[0] && data !== null) return one ? html`<${One} mapping=${one} reload=${reload} />` : html`<${Empty} title="There is no mapping ${rest[0]}"><a href="#/mappings">All mappings</a><//>`;
  return html`<div class="head"><h1>Mappings</h1><div class="actions"><${Button} kind="primary" onClick=${() => setTries(true)}>Try an event<//></div></div><${Failure} error=${error} retry=${reload} />
    <div class="stack"><${Tabs} label="Views of mappings" value=${tab} onChange=${setTab} tabs=${["In force", "What leads to what", "Lint"]} />
    ${tab === "In force" && html`<section class="panel">${data === null ? !error && html`<${Skeleton} />` : data.length === 0 ? html`<${Empty} title="No mappings">Declare them in router.yaml, or with wr mappings put.<//>`
      : html`<${Table} label="Mappings" columns=${COLUMNS} rows=${data} keyOf=${(other) => other.name} hrefOf=${(other) => `#/mappings/${other.name}`} />`}</section>`}
    ${tab === "What leads to what" && html`<${Graph} />`}${tab === "Lint" && html`<${Lint} />`}</div>
    ${tries && html`<${Try} onClose=${() => setTries(false)} />`}`;
}
