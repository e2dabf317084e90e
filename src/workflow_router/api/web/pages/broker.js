// Owns topics and subscriptions: lag, age, what comes next, dead letters and sending them again, moving a place.

import { post } from "../api.js";
import { JsonField, useJson } from "../form.js";
import { exact, inline, number, span } from "../format.js";
import { keep } from "../here.js";
import { Button, Dialog, Empty, Facts, Failure, html, Id, Json, May, notify, Skeleton, Status, Table, Tabs, Time, useAction, useData, useState } from "../ui.js";

const state = (one) => (one.stuck ? "stuck" : one.progress.dead > 0 ? "dead" : one.progress.lag > 0 ? "pending" : "ready");
const WORDS = { dead: "dead letters", pending: "messages wait" };
const goesTo = (one) => (one.start ? `starts ${one.start}` : one.signal ? `signals ${one.signal}` : one.route ? `calls ${one.route}` : one.handler ? `handler ${one.handler}` : "is pulled");

const SUBSCRIPTIONS = [
  { name: "State", of: (one) => html`<${Status} of=${state(one)} word=${WORDS[state(one)]} />`, kind: "short" },
  { name: "Subscription", of: (one) => html`<a href="#/broker/${one.name}">${one.name}</a>`, kind: "name" },
  { name: "Topic", of: (one) => one.topic, kind: "name" },
  { name: "Goes to", of: goesTo, kind: "name" },
  { name: "Lag", of: (one) => number(one.progress.lag), kind: "number" },
  { name: "Oldest", of: (one) => (one.progress.age_ms ? span(one.progress.age_ms) : "–"), kind: "number" },
  { name: "Leased", of: (one) => number(one.progress.leased), kind: "number" },
  { name: "Dead", of: (one) => number(one.progress.dead), kind: "number" },
  { name: "Taken", of: (one) => number(one.progress.acknowledged), kind: "number" },
];

const TOPICS = [
  { name: "Topic", of: (one) => html`<a href="#/broker?topic=${one.name}">${one.name}</a>`, kind: "name" },
  { name: "Published", of: (one) => exact(one.counts.published ?? 0), kind: "number" },
  { name: "Readers", of: (one) => one.subscriptions.join(", ") || "nobody" },
  { name: "Kept for", of: (one) => (one.rule.keep_s ? span(one.rule.keep_s * 1000) : "ever") },
  { name: "At most", of: (one) => (one.rule.max_messages ? `${number(one.rule.max_messages)}, then ${one.rule.when_full}` : "no bound") },
];

const MESSAGES = [
  { name: "Message", of: (one) => html`<${Id} of=${one.message_id ?? one.id} />`, kind: "short" },
  { name: "Key", of: (one) => one.key ?? "–", kind: "name" },
  { name: "Body", of: (one) => html`<code>${inline(one.body, 160)}</code>`, kind: "wide" },
  { name: "Published", of: (one) => html`<${Time} ms=${one.published_ms} />`, kind: "number" },
];

function Messages({ path, label }) {
  const { data, error } = useData(path, ["message", "delivery."]);
  const rows = Array.isArray(data) ? data : data?.messages;
  return html`<${Failure} error=${error} />${rows && (rows.length === 0 ? html`<${Empty} title="Nothing here">Messages appear as they are published.<//>` : html`<${Table} label=${label} columns=${MESSAGES} rows=${rows} keyOf=${(one) => one.message_id ?? one.id} />`)}`;
}

/** A dead letter in full: what failed when; sent again as it is, or with another body as a new message. */
function Letter({ name, letter, onClose, onDone }) {
  const field = useJson(letter.body);
  const same = field.problem === null && JSON.stringify(field.value) === JSON.stringify(letter.body);
  const again = async () => {
    if (same) return post(`/api/subscriptions/${name}/redrive`, { message_id: letter.message_id });
    return post(`/api/topics/${letter.topic}/messages`, { body: field.value, key: letter.key ?? undefined, headers: letter.headers });
  };
  const [send, busy, error] = useAction(again, () => {
    notify(same ? "It is sent again." : "It is published with the other body; the dead letter stays.");
    onDone();
    onClose();
  });
  return html`<${Dialog} title="Dead letter" onClose=${onClose}><${Facts} of=${{ message: html`<${Id} of=${letter.message_id} href="#/trace/${letter.message_id}" />`, key: letter.key, attempts: letter.attempt, published: html`<${Time} ms=${letter.published_ms} />`, error: letter.error }} />
    ${letter.history?.length > 0 && html`<h3>What failed</h3><ul class="reasons">${letter.history.map((one, at) => html`<li key=${at}>${inline(one.error ?? one, 400)}${one.time_ms ? html` <${Time} ms=${one.time_ms} />` : ""}</li>`)}</ul>`}
    <${May} do="broker:write"><${JsonField} label="Body" hint=${same ? "change it to publish it anew to the topic, for all its subscriptions" : "it will be a new message of the topic"} of=${field} rows=${9} /><${Failure} error=${error} />
    <div class="row end"><${Button} kind="primary" busy=${busy} disabled=${field.problem !== null} onClick=${() => send()}>${same ? "Send again" : "Publish the edited one"}<//></div><//><//>`;
}

function Dead({ name, onDone }) {
  const { data, error: failed, reload } = useData(`/api/subscriptions/${name}/dead-letters`, ["message", "delivery."]);
  const [open, setOpen] = useState(null);
  const done = (found) => {
    if (found) notify(`${exact(found.redriven)} sent again.`);
    reload();
    onDone();
  };
  const [redrive, busy, error] = useAction((body) => post(`/api/subscriptions/${name}/redrive`, body), done);
  if (!data) return html`<${Failure} error=${failed} />${!failed && html`<${Skeleton} />`}`;
  const columns = [
    ...MESSAGES, { name: "Reason", of: (one) => html`<span class="bad-text">${inline(one.error, 140)}</span>`, kind: "wide" },
    { name: "", of: (one) => html`<div class="row end"><${Button} onClick=${() => setOpen(one)}>Look<//><${May} do="broker:write"><${Button} busy=${busy} onClick=${() => redrive({ message_id: one.message_id })}>Send again<//><//></div>` },
  ];
  return html`<${Failure} error=${error} />${data.length === 0 ? html`<${Empty} title="No dead letters">What failed too often comes here, and waits for you.<//>`
    : html`<${May} do="broker:write"><div class="body row"><${Button} kind="primary" busy=${busy} onClick=${() => redrive({})}>Send all again<//><${Button} busy=${busy} onClick=${() => redrive({ per_s: 10 })}>Send all again, ten a second<//></div><//>
    <${Table} label="Dead letters" columns=${columns} rows=${data} keyOf=${(one) => one.message_id} />`}
    ${open && html`<${Letter} name=${name} letter=${open} onClose=${() => setOpen(null)} onDone=${() => done(null)} />`}`;
}

/** Moves a subscription: to what is kept first, to now, or to a time. */
function Seek({ name, onClose }) {
  const [to, setTo] = useState("beginning");
  const [at, setAt] = useState("");
  const [seek, busy, error] = useAction(() => post(`/api/subscriptions/${name}/seek`, { to: to === "time" ? new Date(at).getTime() : to }), (found) => {
    notify(`Moved. ${exact(found.lag)} messages are to come.`);
    onClose();
  });
  const submit = (event) => {
    event.preventDefault();
    void seek();
  };
  const choice = (value, label, about) => html`<label class="inline"><input type="radio" name="to" checked=${to === value} onChange=${() => setTo(value)} />${label} <small>${about}</small></label>`;
  return html`<${Dialog} title="Move ${name}" onClose=${onClose}><form onSubmit=${submit}><fieldset class="stack"><legend class="visually-hidden">Where to</legend>
      ${choice("beginning", "The beginning", "all that the topic keeps is delivered again")}${choice("time", "A time", "what was published from then on is delivered again")}${choice("now", "Now", "what waits is dropped")}</fieldset>
    ${to === "time" && html`<label>From<input type="datetime-local" step="1" required value=${at} onInput=${(event) => setAt(event.target.value)} /></label>`}
    <${Failure} error=${error} /><div class="row"><${Button} type="submit" kind=${to === "now" ? "danger" : "primary"} busy=${busy}>Move<//></div></form><//>`;
}

const PARTS = ["What comes next", "Dead letters", "About"];

function One({ name, parameters }) {
  const { data, error, reload } = useData("/api/subscriptions", ["message", "delivery.", "subscription."]);
  const tab = PARTS.includes(parameters.tab) ? parameters.tab : PARTS[0];
  const [moves, setMoves] = useState(false);
  const one = data?.find((other) => other.name === name);
  if (!one) return data ? html`<${Empty} title="There is no subscription ${name}"><a href="#/broker">All</a><//>` : html`<${Skeleton} />`;
  return html`<div class="head"><p class="crumb"><a href="#/broker">Messages</a> / ${one.topic}</p><h1>${name}</h1><${Status} of=${state(one)} word=${WORDS[state(one)]} />
      <div class="actions"><${May} do="broker:write"><${Button} onClick=${() => setMoves(true)}>Move…<//><//></div><p class="sub">${goesTo(one)}</p></div>
    <div class="stack"><${Failure} error=${error} /><div class="tiles">${[["lag", "messages wait"], ["leased", "leased"], ["dead", "dead letters"], ["acknowledged", "taken"]].map(([field, words]) => html`<div key=${field} class="tile ${field === "dead" && one.progress.dead ? "bad" : ""}"><b>${number(one.progress[field])}</b><span>${words}</span></div>`)}</div>
      <${Tabs} label="Parts of the subscription" value=${tab} onChange=${(chosen) => keep({ tab: chosen === PARTS[0] ? "" : chosen })} tabs=${PARTS} />
      <section class="panel">${tab === "What comes next" && html`<${Messages} label="What comes next" path=${`/api/subscriptions/${name}/messages?limit=50`} />`}
        ${tab === "Dead letters" && html`<${Dead} name=${name} onDone=${reload} />`}
        ${tab === "About" && html`<div class="body"><${Facts} of=${{ topic: one.topic, "goes to": goesTo(one), filter: one.filter && html`<${Json} of=${one.filter} />`, "deliveries at most": one.max_deliveries, lease: span(one.lease_ms), "on failure": one.on_failure }} /></div>`}</section></div>
    ${moves && html`<${Seek} name=${name} onClose=${() => { setMoves(false); reload(); }} />`}`;
}

export function Broker({ rest, parameters }) {
  const topics = useData("/api/topics", ["message", "topic."]);
  const subscriptions = useData("/api/subscriptions", ["message", "delivery.", "subscription."]);
  if (rest[0]) return html`<${One} name=${rest[0]} parameters=${parameters} />`;
  return html`<div class="head"><h1>Messages</h1></div><div class="stack"><${Failure} error=${topics.error || subscriptions.error} retry=${topics.reload} />
    ${topics.data === null ? html`<${Skeleton} />` : topics.data.length === 0 ? html`<section class="panel"><${Empty} title="No topics">Declare them in router.yaml under topics.<//></section>` : html`
      <section class="panel"><header><h2>Subscriptions</h2></header><${Table} label="Subscriptions" columns=${SUBSCRIPTIONS} rows=${subscriptions.data || []} keyOf=${(one) => one.name} hrefOf=${(one) => `#/broker/${one.name}`} /></section>
      <section class="panel"><header><h2>Topics</h2></header><${Table} label="Topics" columns=${TOPICS} rows=${topics.data} keyOf=${(one) => one.name} /></section>`}
    ${parameters.topic && html`<section class="panel"><header><h2>Messages of ${parameters.topic}</h2><a class="more" href="#/broker">Close</a></header><${Messages} key=${parameters.topic} label="Messages" path=${`/api/topics/${parameters.topic}/messages?limit=50`} /></section>`}</div>`;
}
