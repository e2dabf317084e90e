// Owns the audit log: search, all entries of one cause, one entry's proof, checked here in the browser.

import { get, query } from "../api.js";
import { exact, told } from "../format.js";
import { Button, Dialog, Empty, Facts, Failure, html, Id, Json, notify, Skeleton, Table, Time, useAction, useData, useState } from "../ui.js";
import { foldsTo, onlyGrew, readCheckpoint } from "../proof.js";

const PAGE = 100;
const EXPORT_PAGE = 1_000;
const EXPORT_MAX = 200_000; // a browser holds no more of them well; `wr audit export` writes all

const COLUMNS = [
  { name: "Entry", of: (one) => html`<a href="#/audit/${one.position}">${one.position}</a>`, kind: "short" },
  { name: "What", of: (one) => one.transition?.kind ?? html`<span class="quiet-text">redacted</span>` },
  { name: "Of", of: (one) => one.transition && html`<${Id} of=${one.transition.subject} href=${one.transition.run ? `#/runs/${one.transition.run}` : null} />` },
  { name: "Who", of: (one) => one.transition?.actor ?? "–" },
  { name: "Details", of: (one) => html`<span class="quiet-text" title=${told(one.transition?.detail)}>${told(one.transition?.detail)}</span>`, kind: "line" },
  { name: "When", of: (one) => html`<${Time} ms=${one.time_ms} />`, kind: "number" },
];

/** Asks for the entry's proof and folds it up to the root, with the browser's own SHA-256. */
function Proof({ entry }) {
  const [found, setFound] = useState(null);
  const [prove, busy, error] = useAction(async () => {
    const proof = await get(`/api/audit/${entry.position}/proof`);
    return { proof, holds: await foldsTo(proof) };
  }, setFound);
  return html`<section class="panel"><header><h2>Proof</h2></header><div class="body stack">
    <p class="quiet-text">The entry is a leaf of a Merkle tree (RFC 9162). The proof leads from it to the root; this page folds it with the browser's own SHA-256, so the router need not be believed.</p>
    <div class="row"><${Button} kind="primary" busy=${busy} onClick=${() => prove()}>Prove it<//></div><${Failure} error=${error} />
    ${found && html`<p class="notice ${found.holds ? "good" : "bad"}" role="status">${found.holds ? "The entry is in the log." : "The proof does not lead to the root: the log was tampered with."}</p><${Json} of=${found.proof} label="Proof" />`}</div></section>`;
}

/** Holds the log against a checkpoint that was kept elsewhere: what it covered must still be the log's beginning. */
function Against({ onClose }) {
  const [text, setText] = useState("");
  const [verdict, setVerdict] = useState(null);
  const [check, busy, error] = useAction(async () => {
    const kept = readCheckpoint(text);
    const now = await get("/api/audit/head");
    const { proof } = await get(`/api/audit/consistency?first=${kept.size}&second=${now.position}`);
    return { kept, now, holds: await onlyGrew({ first: kept.size, second: now.position, proof, firstRoot: kept.root, secondRoot: now.root }) };
  }, setVerdict);
  const submit = (event) => {
    event.preventDefault();
    void check();
  };
  return html`<${Dialog} title="Verify against a checkpoint" onClose=${onClose}><form onSubmit=${submit}>
    <label>Checkpoint <small>as it was written to the second place</small><textarea rows="6" required spellcheck=${false} value=${text} onInput=${(event) => setText(event.target.value)}></textarea></label>
    <${Failure} error=${error} /><div class="row"><${Button} type="submit" kind="primary" busy=${busy}>Verify<//></div></form>
    ${verdict && html`<p class="notice ${verdict.holds ? "good" : "bad"}" role="status">${verdict.holds
      ? `The first ${verdict.kept.size} of ${verdict.now.position} entries are those that the checkpoint covered.` : "The log is not what the checkpoint covered."}</p>`}<//>`;
}

/** Saves what the search finds, or the whole log, as JSON Lines: what `wr audit export` writes. */
function Export({ filters, head }) {
  const [save, busy, error] = useAction(async () => {
    const lines = [];
    let after = Math.max(Number(filters.after) || 0, head.pruned);
    while (lines.length < EXPORT_MAX) {
      const found = await get(query("/api/audit", { ...filters, after, limit: EXPORT_PAGE }));
      for (const one of found) lines.push(`${JSON.stringify(one)}\n`);
      if (found.length < EXPORT_PAGE || filters.correlation) break; // of one cause all come at once
      after = found.at(-1).position;
    }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(lines, { type: "application/jsonl" }));
    link.download = "audit.jsonl";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    return lines.length;
  }, (count) => notify(count < EXPORT_MAX ? `${count} entries are saved.` : `The first ${count} entries are saved; \`wr audit export\` writes all.`));
  return html`<${Button} busy=${busy} onClick=${() => save()}>Export<//><${Failure} error=${error} />`;
}

function One({ position }) {
  const { data, error } = useData(`/api/audit?after=${Number(position) - 1}&limit=1`);
  const entry = data && (Array.isArray(data) ? data : data.entries)[0];
  if (!entry) return error ? html`<${Failure} error=${error} />` : data ? html`<${Empty} title="There is no such entry" />` : html`<${Skeleton} />`;
  const one = entry.transition ?? {};
  return html`<div class="head"><p class="crumb"><a href="#/audit">Audit</a></p><h1>${one.kind ?? "Redacted"}</h1><p class="sub">entry ${entry.position} · <${Time} ms=${entry.time_ms} /></p></div>
    <div class="even"><section class="panel"><header><h2>Entry</h2></header><div class="body stack"><${Facts} of=${{ subject: one.subject, actor: one.actor, run: one.run && html`<${Id} of=${one.run} href="#/runs/${one.run}" />`, cause: one.cause,
      correlation: one.correlation && html`<${Id} of=${one.correlation} href="#/audit?correlation=${one.correlation}" />` }} /><${Json} of=${entry} label="Entry" /></div></section><${Proof} entry=${entry} /></div>`;
}

export function Audit({ rest, parameters }) {
  const { correlation = "", kind = "", actor = "", run = "", after = "" } = parameters;
  const filters = { correlation, kind, actor, run };
  const searched = Object.values(filters).some(Boolean) || after !== "";
  const head = useData("/api/audit/head", ["run.", "event."]).data;
  const from = searched ? after : head && Math.max(0, head.position - PAGE);
  const { data, error, reload } = useData(from === null ? null : query("/api/audit", { ...filters, after: from, limit: PAGE }));
  const [draft, setDraft] = useState(filters);
  const [verifies, setVerifies] = useState(false);
  if (rest[0]) return html`<${One} position=${rest[0]} />`;
  const rows = data && (Array.isArray(data) ? data : data.entries);
  const submit = (event) => {
    event.preventDefault();
    location.hash = query("#/audit", draft);
  };
  const field = (name, hint) => html`<label key=${name} class=${name === "run" || name === "correlation" ? "grow" : ""}>${name[0].toUpperCase() + name.slice(1)}<input value=${draft[name]} placeholder=${hint} onInput=${(event) => setDraft({ ...draft, [name]: event.target.value })} /></label>`;
  return html`<div class="head"><h1>Audit</h1><div class="actions">${searched && html`<a class="button" href="#/audit">Show all</a>`}${head && html`<${Export} filters=${{ ...filters, after }} head=${head} />`}<${Button} onClick=${() => setVerifies(true)}>Verify against a checkpoint<//></div>${head && html`<p class="sub">${exact(head.position)} entries, root <code>${head.root}</code></p>`}</div>
    <form class="filters" onSubmit=${submit}>${field("kind", "run.completed")}${field("actor", "ada")}${field("run", "id")}${field("correlation", "id of an event")}<${Button} type="submit">Search<//></form>
    <${Failure} error=${error} retry=${reload} />
    <section class="panel">${rows === null || rows === undefined ? !error && html`<${Skeleton} rows=${8} />` : rows.length === 0 ? html`<${Empty} title="No entries">${searched ? "None fits the search." : "Whatever happens is written here, and can be proved."}<//>`
      : html`<${Table} label="Audit entries" columns=${COLUMNS} rows=${searched ? rows : [...rows].reverse()} keyOf=${(one) => one.position} hrefOf=${(one) => `#/audit/${one.position}`} />`}</section>
    ${searched && rows?.length === PAGE && html`<a href=${query("#/audit", { ...filters, after: rows.at(-1).position })}>Later →</a>`}
    ${verifies && html`<${Against} onClose=${() => setVerifies(false)} />`}`;
}
