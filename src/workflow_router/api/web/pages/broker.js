// Owns topics and subscriptions: lag, age, what comes next, dead letters and sending them again, moving a place.

import { post } from "../api.js";
import { exact, inline, number, span } from "../format.js";
import { Button, Empty, Facts, Failure, html, Id, Json, notify, Skeleton, Status, Table, Tabs, Time, useAction, useData, useState } from "../ui.js";

const state = (one) => (one.stuck ? "stuck" : one.progress.dead > 0 ? "dead" : one.progress.lag > 0 ? "pending" : "ready");
const goesTo = (one) => (one.start ? `starts ${one.start}` : one.signal ? `signals ${one.signal}` : one.route ? `calls ${one.route}` : one.handler ? `handler ${one.handler}` : "is pulled");

const SUBSCRIPTIONS = [
  { name: "State", of: (one) => html`<${Status} of=${state(one)} />`, kind: "short" },
  { name: "Subscription", of: (one) => html`<a href="#/broker/${one.name}">${one.name}</a>` },
  { name: "Topic", of: (one) => one.topic },
  { name: "Goes to", of: goesTo },
  { name: "Lag", of: (one) => number(one.progress.lag), kind: "number" },
  { name: "Oldest", of: (one) => (one.progress.age_ms ? span(one.progress.age_ms) : "–"), kind: "number" },
  { name: "Leased", of: (one) => number(one.progress.leased), kind: "number" },
  { name: "Dead", of: (one) => number(one.progress.dead), kind: "number" },
  { name: "Taken", of: (one) => number(one.progress.acknowledged), kind: "number" },
];

const TOPICS = [
  { name: "Topic", of: (one) => html`<a href="#/broker?topic=${one.name}">${one.name}</a>` },
  { name: "Published", of: (one) => exact(one.counts.published ?? 0), kind: "number" },
  { name: "Readers", of: (one) => one.subscriptions.join(", ") || "nobody" },
  { name: "Kept for", of: (one) => (one.rule.keep_s ? span(one.rule.keep_s * 1000) : "ever") },
  { name: "At most", of: (one) => (one.rule.max_messages ? `${number(one.rule.max_messages)}, then ${one.rule.when_full}` : "no bound") },
];

const MESSAGES = [
  { name: "Message", of: (one) => html`<${Id} of=${one.message_id ?? one.id} />`, kind: "short" },
  { name: "Key", of: (one) => one.key ?? "–" },
  { name: "Body", of: (one) => html`<code>${inline(one.body, 160)}</code>`, kind: "wide" },
  { name: "Published", of: (one) => html`<${Time} ms=${one.published_ms} />`, kind: "number" },
];

function Messages({ path, label }) {
  const { data, error } = useData(path, ["message", "delivery."]);
  const rows = Array.isArray(data) ? data : data?.messages;
  return html`<${Failure} error=${error} />${rows && (rows.length === 0 ? html`<${Empty} title="None" />` : html`<${Table} label=${label} columns=${MESSAGES} rows=${rows} keyOf=${(one) => one.message_id ?? one.id} />`)}`;
}

function Dead({ name, onDone }) {
  const { data, reload } = useData(`/api/subscriptions/${name}/dead-letters`, ["message", "delivery."]);
  const [redrive, busy, error] = useAction((body) => post(`/api/subscriptions/${name}/redrive`, body), (found) => {
    notify(`Sent again: ${inline(found)}`);
    reload();
    onDone();
  });
  if (!data) return html`<${Skeleton} />`;
  const rows = Array.isArray(data) ? data : data.messages;
  const columns = [...MESSAGES, { name: "Error", of: (one) => inline(one.error, 140), kind: "wide" }, { name: "", of: (one) => html`<${Button} busy=${busy} onClick=${() => redrive({ message_id: one.message_id })}>Send again<//>` }];
  return html`<${Failure} error=${error} />${rows.length === 0 ? html`<${Empty} title="No dead letters" />` : html`<div class="body row"><${Button} kind="primary" busy=${busy} onClick=${() => redrive({})}>Send all again<//></div>
    <${Table} label="Dead letters" columns=${columns} rows=${rows} keyOf=${(one) => one.message_id} />`}`;
}

function One({ name }) {
  const { data, error, reload } = useData("/api/subscriptions", ["message", "delivery.", "subscription."]);
  const [tab, setTab] = useState("What comes next");
  const [seek, busy, failed] = useAction((to) => post(`/api/subscriptions/${name}/seek`, to), () => {
    notify("Moved.");
    reload();
  });
  const one = data?.find((other) => other.name === name);
  if (!one) return data ? html`<${Empty} title="There is no subscription ${name}"><a href="#/broker">All</a><//>` : html`<${Skeleton} />`;
  return html`<div class="head"><p class="crumb"><a href="#/broker">Messages</a> / ${one.topic}</p><h1>${name}</h1><${Status} of=${state(one)} />
      <div class="actions"><${Button} busy=${busy} onClick=${() => confirm("Deliver everything from the beginning again?") && seek({ to: "beginning" })}>Seek to the beginning<//></div><p class="sub">${goesTo(one)}</p></div>
    <div class="stack"><${Failure} error=${error || failed} /><div class="tiles">${[["lag", "messages wait"], ["leased", "leased"], ["dead", "dead letters"], ["acknowledged", "taken"]].map(([field, words]) => html`<div key=${field} class="tile ${field === "dead" && one.progress.dead ? "bad" : ""}"><b>${number(one.progress[field])}</b><span>${words}</span></div>`)}</div>
      <${Tabs} label="Parts of the subscription" value=${tab} onChange=${setTab} tabs=${["What comes next", "Dead letters", "About"]} />
      <section class="panel">${tab === "What comes next" && html`<${Messages} label="What comes next" path=${`/api/subscriptions/${name}/messages?limit=50`} />`}
        ${tab === "Dead letters" && html`<${Dead} name=${name} onDone=${reload} />`}
        ${tab === "About" && html`<div class="body"><${Facts} of=${{ topic: one.topic, "goes to": goesTo(one), filter: one.filter && html`<${Json} of=${one.filter} />`, "deliveries at most": one.max_deliveries, lease: span(one.lease_ms), "on failure": one.on_failure }} /></div>`}</section></div>`;
}

export function Broker({ rest, parameters }) {
  const topics = useData("/api/topics", ["message", "topic."]);
  const subscriptions = useData("/api/subscriptions", ["message", "delivery.", "subscription."]);
  if (rest[0]) return html`<${One} name=${rest[0]} />`;
  return html`<div class="head"><h1>Messages</h1></div><div class="stack"><${Failure} error=${topics.error || subscriptions.error} retry=${topics.reload} />
    ${topics.data === null ? html`<${Skeleton} />` : topics.data.length === 0 ? html`<section class="panel"><${Empty} title="No topics">Declare them in router.yaml under topics.<//></section>` : html`
      <section class="panel"><header><h2>Subscriptions</h2></header><${Table} label="Subscriptions" columns=${SUBSCRIPTIONS} rows=${subscriptions.data || []} keyOf=${(one) => one.name} hrefOf=${(one) => `#/broker/${one.name}`} /></section>
      <section class="panel"><header><h2>Topics</h2></header><${Table} label="Topics" columns=${TOPICS} rows=${topics.data} keyOf=${(one) => one.name} /></section>`}
    ${parameters.topic && html`<section class="panel"><header><h2>Messages of ${parameters.topic}</h2></header><${Messages} key=${parameters.topic} label="Messages" path=${`/api/topics/${parameters.topic}/messages?limit=50`} /></section>`}</div>`;
}
