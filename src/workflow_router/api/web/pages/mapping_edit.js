// Owns changing a mapping: its rule checked as it is typed, what is other in it, what a backtest finds, and publishing it.

import { call, post, stream } from "../api.js";
import { exact } from "../format.js";
import { Button, Failure, html, Id, notify, Status, useAction, useEffect, useState } from "../ui.js";

const CHECK_MS = 250;
export const EXAMPLE = { id: "1", source: "/try", type: "com.example.type", specversion: "1.0", data: {} };

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
    }, CHECK_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return verdict;
}

/** The lines of two texts side by side as one: `[" ", line]`, `["-", line]`, `["+", line]` (longest common subsequence). */
export function difference(before, after) {
  const a = before.split("\n");
  const b = after.split("\n");
  if (a.length * b.length > 1_000_000) return [];
  const best = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) for (let j = b.length - 1; j >= 0; j -= 1) best[i][j] = a[i] === b[j] ? best[i + 1][j + 1] + 1 : Math.max(best[i + 1][j], best[i][j + 1]);
  const lines = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      lines.push([" ", a[i]]);
      i += 1;
      j += 1;
    } else if (i < a.length && (j === b.length || best[i + 1][j] >= best[i][j + 1])) lines.push(["-", a[i++]]);
    else lines.push(["+", b[j++]]);
  }
  return lines;
}

const TONES = { "+": "added", "-": "removed", " ": "" };
const WORDS = { "+": "added", "-": "removed" };

export const Difference = ({ lines }) => html`<pre class="difference" tabindex="0" aria-label="What is other">${lines.map(([sign, line], at) => html`<span key=${at} class=${TONES[sign]}>${WORDS[sign] && html`<span class="visually-hidden">${WORDS[sign]}: </span>`}${sign} ${line}${"\n"}</span>`)}</pre>`;

/** What the archive's events would have done under the draft, beside what they did. */
function Backtest({ rule }) {
  const [progress, setProgress] = useState(null);
  const [test, busy, error] = useAction(async () => {
    setProgress({ done: 0, total: 0 });
    await stream("/api/mappings/backtest", undefined, { event: (_, said) => setProgress(said) }, { mappings: [rule] });
  });
  const one = progress?.differences?.[0];
  const events = (ids) => ids.map((id) => html`<li key=${id}><${Id} of=${id} href="#/events/${id}" /></li>`);
  return html`<section class="panel"><header><h2>Backtest</h2><span class="more"><${Button} disabled=${!rule} busy=${busy} onClick=${() => test()}>Over the archive<//></span></header>
    <div class="body stack"><${Failure} error=${error} />
    ${progress === null && html`<p class="quiet-text">Holds the draft against the events of the past, without any effect.</p>`}
    ${progress && !progress.differences && !error && html`<p role="status">${exact(progress.done)} of ${exact(progress.total)} events</p><progress max=${progress.total || 1} value=${progress.done} aria-label="Backtest"></progress>`}
    ${one && html`<p role="status">Of ${exact(progress.total)} events <b>${exact(one.before)}</b> matched before, <b>${exact(one.after)}</b> would now.</p>
      <div class="sides flat"><div><span class="status good"><i aria-hidden="true"></i>${exact(one.gained)} gained</span><ul class="stack">${events(one.gained_samples.map((sample) => sample.event))}</ul></div>
        <div><span class="status ${one.lost ? "bad" : "quiet"}"><i aria-hidden="true"></i>${exact(one.lost)} lost</span><ul class="stack">${events(one.lost_samples)}</ul></div></div>
      ${one.failed > 0 && html`<p class="notice bad">On ${exact(one.failed)} events it fails.</p>`}`}</div></section>`;
}

/**
 * @param onLeave what is done where nothing was published.
 * @param last the latest version that was seen: another one that came meanwhile is not written over.
 */
export function Edit({ mapping, last, onDone, onLeave = onDone }) {
  const first = JSON.stringify(mapping.rule, null, 2);
  const [text, setText] = useState(first);
  const [share, setShare] = useState(10);
  const verdict = useCheck(text);
  const save = (stage) => call("PUT", `/api/mappings/${mapping.name}`, {
    rule: { ...verdict.rule, stage, ...(stage === "canary" ? { share: share / 100 } : {}) }, override: mapping.origin !== "api",
    expected: mapping.origin === "project" && last === mapping.version ? undefined : last, // what the project declares has versions of its own
  });
  const [put, busy, error] = useAction(save, (found) => {
    notify(found.stage === "live" ? `${mapping.name} is in force.` : `${mapping.name} is tried as ${found.stage}.`);
    onDone();
  });
  const lines = difference(first, text);
  return html`<div class="split even-split"><section class="panel"><header><h2>Draft</h2>${verdict.problem === null && verdict.rule && html`<span class="more"><${Status} of="well formed" /></span>`}</header><div class="body stack">
      <label>Rule <small>as in router.yaml, as JSON</small><textarea class="tall" rows="20" spellcheck=${false} aria-invalid=${verdict.problem !== null} value=${text} onInput=${(event) => setText(event.target.value)}></textarea></label>
      ${verdict.problem ? html`<p class="notice bad" role="alert">${verdict.problem}</p>` : html`<p class="notice good" role="status">It is well formed.</p>`}<${Failure} error=${error} />
      <div class="row end"><${Button} onClick=${onLeave}>${mapping.version === 0 ? "Leave it" : "Leave it as it is"}<//><span class="grow"></span>
        <${Button} disabled=${!verdict.rule} busy=${busy} onClick=${() => put("shadow")}>Publish as shadow<//>
        <label class="inline"><span class="visually-hidden">Share of events, percent</span><input class="percent" type="number" min="1" max="100" value=${share} onInput=${(event) => setShare(Number(event.target.value))} />%</label>
        <${Button} disabled=${!verdict.rule || !(share > 0 && share <= 100)} busy=${busy} onClick=${() => put("canary")}>Publish as canary<//>
        <${Button} kind="primary" disabled=${!verdict.rule} busy=${busy} onClick=${() => put("live")}>Publish as live<//></div></div></section>
    <div class="stack"><section class="panel"><header><h2>What is other</h2></header><div class="body">${text === first ? html`<p class="quiet-text">Nothing yet.</p>` : html`<${Difference} lines=${lines} />`}</div></section>
      <${Backtest} rule=${verdict.rule} /></div></div>`;
}
