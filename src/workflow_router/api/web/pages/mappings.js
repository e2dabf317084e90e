// Owns mappings: those in force, what they connect, their versions; trying an event. Changing one is `mapping_edit.js`.

import { get, post } from "../api.js";
import { Coverage } from "../coverage.js";
import { JsonField, useJson } from "../form.js";
import { inline } from "../format.js";
import { keep } from "../here.js";
import { Button, Dialog, Empty, Failure, html, Json, may, May, notify, Skeleton, Status, Table, Tabs, Time, useAction, useData, useEffect, useState } from "../ui.js";
import { Explained } from "./events.js";
import { Difference, difference, Edit, EXAMPLE } from "./mapping_edit.js";

const does = (rule) => ["start", "publish", "signal", "dispatch", "emit"].filter((verb) => rule[verb]).map((verb) => `${verb} ${inline(rule[verb], 60)}`).join(", ")
  || `${(rule.targets || []).length} targets`;

const COLUMNS = [
  { name: "Mapping", of: (one) => html`<a href="#/mappings/${one.name}">${one.name}</a>`, kind: "name" },
  { name: "Stage", of: (one) => html`<${Status} of=${one.stage} />`, kind: "short" },
  { name: "Takes", of: (one) => html`<code>${inline(one.rule.on ?? one.rule.filters, 110)}</code>`, kind: "wide" },
  { name: "Does", of: (one) => does(one.rule), kind: "name" },
  { name: "Version", of: (one) => one.version, kind: "number" },
  { name: "From", of: (one) => one.origin },
];

/** Says what would be done with an event, pasted or picked, and does nothing. */
function Try({ event, onClose }) {
  const field = useJson(EXAMPLE);
  const [found, setFound] = useState(null);
  const latest = useData("/api/events?limit=30").data;
  const [run, busy, error] = useAction(() => post("/api/mappings/try", { event: field.value }), setFound);
  const pick = async (id) => id && field.setText(JSON.stringify((await get(`/api/events/${id}`)).event, null, 2));
  useEffect(() => void pick(event), [event]);
  const submit = (happened) => {
    happened.preventDefault();
    void run();
  };
  return html`<${Dialog} title="Try an event" onClose=${onClose}><form onSubmit=${submit}>
      ${latest?.events.length > 0 && html`<label>One that came<select onChange=${(chosen) => void pick(chosen.target.value)}><option value="">pick, or paste below</option>
        ${latest.events.map((one) => html`<option key=${one.id} value=${one.id}>${one.type} ${one.subject ?? ""}</option>`)}</select></label>`}
      <${JsonField} label="CloudEvent" hint="nothing is done with it; it only says what would be" of=${field} rows=${10} />
      <${Failure} error=${error} /><div class="row"><${Button} type="submit" kind="primary" busy=${busy} disabled=${field.problem !== null}>Try<//></div></form>
    ${found && html`<${Explained} of=${found.explained} /><${Json} of=${found.effects} label="Effects it would have" />`}<//>`;
}

/** Its versions, newest first: who made them, what was other, and going back to one. */
function Versions({ mapping, reload }) {
  const { data } = useData(`/api/mappings/${mapping.name}/versions`, ["mapping."]);
  const [open, setOpen] = useState(null);
  const [change, busy, error] = useAction((body) => post(`/api/mappings/${mapping.name}/change`, { override: mapping.origin !== "api", ...body }), () => {
    notify("Changed.");
    reload();
  });
  const text = (at) => (data[at]?.rule ? JSON.stringify(data[at].rule, null, 2) : "");
  return html`<${Failure} error=${error} /><section class="panel"><header><h2>Versions</h2></header>${data && html`<ul class="feed">${[...data.keys()].reverse().map((at) => {
    const one = data[at];
    return html`<li key=${one.version} class="version"><div class="row"><b>${one.version}</b><${Status} of=${one.stage} /><span>${one.author}</span><${Time} ms=${one.created_ms} /></div>
      <div class="row"><button type="button" class="link" aria-expanded=${open === at} onClick=${() => setOpen(open === at ? null : at)}>${at === 0 ? "Rule" : "What was other"}</button>
        ${one.version !== mapping.version && one.rule && html`<${May} do="mappings:write"><${Button} busy=${busy} onClick=${() => change({ action: "rollback", version: one.version })}>Roll back to it<//><//>`}</div>
      ${open === at && html`<${Difference} lines=${difference(at === 0 ? text(0) : text(at - 1), text(at))} />`}</li>`;
  })}</ul>`}</section>`;
}

/** A version that is tried beside the one in force. */
function Tried({ one, mapping, reload }) {
  const [change, busy, error] = useAction((body) => post(`/api/mappings/${mapping.name}/change`, { override: mapping.origin !== "api", ...body }), reload);
  return html`<div class="notice wait row"><span>Version ${one.version} is tried as <b>${one.stage}</b>${one.rule.share ? ` for ${Math.round(one.rule.share * 100)} % of events` : ""}.</span><span class="grow"></span>
    <${May} do="mappings:write"><${Button} busy=${busy} onClick=${() => change({ action: "stage", stage: "live" })}>Make it live<//>
    <${Button} busy=${busy} onClick=${() => change({ action: "rollback", version: mapping.version })}>Take it back<//><//><${Failure} error=${error} /></div>`;
}

/** A new mapping: a name first, then its rule as any other is changed. */
function New({ onClose }) {
  const workflows = useData(may("runs:read") ? "/api/workflows" : null).data;
  const [name, setName] = useState(null);
  const [text, setText] = useState("");
  const submit = (event) => {
    event.preventDefault();
    setName(text.trim());
  };
  const done = () => {
    onClose();
    location.hash = `#/mappings/${encodeURIComponent(name)}`;
  };
  if (name !== null) {
    const rule = { name, on: { type: ["com.example.hello"] }, start: workflows?.[0]?.name ?? "workflow", input: "${ event.data }" };
    return html`<div class="head"><p class="crumb"><a href="#/mappings">Mappings</a></p><h1>${name}</h1><${Status} of="pending" word="new" /></div><${Edit} mapping=${{ name, rule, origin: "api", version: 0 }} last=${undefined} onDone=${done} onLeave=${onClose} />`;
  }
  return html`<${Dialog} title="New mapping" onClose=${onClose}><form onSubmit=${submit}><label>Name <small>such as big-orders</small><input required maxlength="200" pattern="[A-Za-z0-9][A-Za-z0-9._\-]*" value=${text} onInput=${(event) => setText(event.target.value)} /></label>
    <div class="row"><${Button} type="submit" kind="primary">Write its rule<//></div></form><//>`;
}

function One({ mapping, tried, reload }) {
  const [edits, setEdits] = useState(false);
  const [change, busy, error] = useAction((action) => post(`/api/mappings/${mapping.name}/change`, { action, override: mapping.origin !== "api" }), reload);
  const rests = mapping.stage === "disabled" || mapping.rule.disabled;
  const done = () => {
    setEdits(false);
    reload();
  };
  return html`<div class="head"><p class="crumb"><a href="#/mappings">Mappings</a></p><h1>${mapping.name}</h1><${Status} of=${rests ? "disabled" : mapping.stage} />
      <div class="actions"><a class="button" href="#/events?mapping=${mapping.name}">Events it matched</a><${May} do="mappings:write"><${Button} busy=${busy} onClick=${() => change(rests ? "enable" : "disable")}>${rests ? "Enable" : "Disable"}<//>
        ${!edits && html`<${Button} kind="primary" onClick=${() => setEdits(true)}>Change<//>`}<//></div>
      <p class="sub">version ${mapping.version}, from ${mapping.origin}: ${does(mapping.rule)}</p></div>
    <div class="stack"><${Failure} error=${error} />${mapping.problem && html`<p class="notice bad">${mapping.problem}</p>`}
    ${tried.map((one) => html`<${Tried} key=${one.version} one=${one} mapping=${mapping} reload=${reload} />`)}
    ${edits ? html`<${Edit} mapping=${mapping} last=${Math.max(mapping.version, ...tried.map((one) => one.version))} onDone=${done} />`
      : html`<div class="even"><section class="panel"><header><h2>Rule</h2></header><div class="body"><${Json} of=${mapping.rule} label="Rule" /></div></section><div class="stack"><${Versions} mapping=${mapping} reload=${reload} /></div></div>`}</div>`;
}

function Map() {
  const { data, error } = useData("/api/mappings/graph", ["mapping."]);
  return data === null ? html`<${Failure} error=${error} />${!error && html`<${Skeleton} />`}` : html`<${Coverage} relations=${data} />`;
}

function Lint() {
  const { data } = useData("/api/mappings/lint");
  if (data === null) return html`<${Skeleton} />`;
  return html`<section class="panel">${data.findings.length === 0 ? html`<${Empty} title="Nothing to mend">${data.mappings} mappings were held against ${data.events} recent events.<//>`
    : html`<ul class="feed">${data.findings.map((one) => html`<li><b>${one.mapping ?? ""}</b> ${one.message ?? inline(one, 400)}</li>`)}</ul>`}</section>`;
}

const VIEWS = ["In force", "What leads to what", "Lint"];

export function Mappings({ rest, parameters }) {
  const { data, error, reload } = useData("/api/mappings", ["mapping."]);
  const tab = VIEWS.includes(parameters.view) ? parameters.view : VIEWS[0];
  const [tries, setTries] = useState(parameters.try !== undefined);
  const [makes, setMakes] = useState(false);
  const named = (data || []).filter((other) => other.name === rest[0]);
  const one = named.find((other) => !["shadow", "canary"].includes(other.stage)) ?? named[0];
  if (rest[0] && data !== null) return one ? html`<${One} mapping=${one} tried=${named.filter((other) => other !== one)} reload=${reload} />` : html`<${Empty} title="There is no mapping ${rest[0]}"><a href="#/mappings">All mappings</a><//>`;
  if (makes) return html`<${New} onClose=${() => setMakes(false)} />`;
  return html`<div class="head"><h1>Mappings</h1><div class="actions"><${Button} onClick=${() => setTries(true)}>Try an event<//><${May} do="mappings:write"><${Button} kind="primary" onClick=${() => setMakes(true)}>New mapping<//><//></div></div><${Failure} error=${error} retry=${reload} />
    <div class="stack"><${Tabs} label="Views of mappings" value=${tab} onChange=${(chosen) => keep({ view: chosen === VIEWS[0] ? "" : chosen })} tabs=${VIEWS} />
    ${tab === "In force" && html`<section class="panel">${data === null ? !error && html`<${Skeleton} />` : data.length === 0 ? html`<${Empty} title="No mappings">Write one here, declare them in router.yaml, or use wr mappings put.<//>`
      : html`<${Table} label="Mappings" columns=${COLUMNS} rows=${data} keyOf=${(other) => `${other.name}@${other.version}`} hrefOf=${(other) => `#/mappings/${other.name}`} />`}</section>`}
    ${tab === "What leads to what" && html`<${Map} />`}${tab === "Lint" && html`<${Lint} />`}</div>
    ${tries && html`<${Try} event=${parameters.try} onClose=${() => { setTries(false); keep({ try: "" }); }} />`}`;
}
