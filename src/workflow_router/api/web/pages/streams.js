// Owns what a run streams while it runs, such as the tokens of a model's answer: read as it is written, taken back where an
// attempt failed, gone on with after a break.

import { stream } from "../api.js";
import { number } from "../format.js";
import { Empty, Failure, html, Skeleton, Status, useData, useEffect, useRef, useState } from "../ui.js";

const RETRY_MS = 1_000;
const SHOWN = 100_000; // characters of the end that are shown

/** What one chunk reads as: text as it is, the text within a chunk of a chat answer, else its JSON. */
function textOf(chunk) {
  if (typeof chunk === "string") return chunk;
  const delta = chunk?.choices?.[0]?.delta?.content ?? chunk?.delta?.text ?? chunk?.text;
  return typeof delta === "string" ? delta : `${JSON.stringify(chunk)}\n`;
}

/** The chunks of a stream as they come; `ended` once nothing follows. */
function useChunks(run, name) {
  const [state, setState] = useState({ chunks: [], ended: null, error: null });
  useEffect(() => {
    const closing = new AbortController();
    let after = 0;
    const take = (id, item, kind) => {
      after = item.number;
      setState((last) => {
        if (kind === "reset") return { ...last, chunks: last.chunks.filter((one) => one.step !== item.step || one.number < item.since) };
        if (kind === "end") return { ...last, ended: item.status ?? "ended" };
        return { ...last, error: null, chunks: [...last.chunks, { number: item.number, step: item.step, text: textOf(item.data) }] };
      });
      if (kind === "end") closing.abort();
    };
    const follow = async () => {
      while (!closing.signal.aborted) {
        try {
          await stream(`/api/runs/${run}/streams/${encodeURIComponent(name)}?after=${after}`, closing.signal, { event: take });
        } catch (error) {
          if (closing.signal.aborted) return;
          if (error.status >= 400) {
            setState((last) => ({ ...last, error }));
            return;
          }
        }
        await new Promise((done) => setTimeout(done, RETRY_MS));
      }
    };
    void follow();
    return () => closing.abort();
  }, [run, name]);
  return state;
}

function Stream({ run, name, step }) {
  const { chunks, ended, error } = useChunks(run, name);
  const frame = useRef(null);
  const written = step === null ? chunks : chunks.filter((one) => one.step === step);
  const text = written.map((one) => one.text).join("").slice(-SHOWN);
  useEffect(() => {
    const one = frame.current;
    if (one && one.scrollHeight - one.scrollTop - one.clientHeight < 80) one.scrollTop = one.scrollHeight;
  }, [text]);
  return html`<section class="panel"><header><h2>${name}</h2><${Status} of=${ended ?? "running"} /><span class="more quiet-text">${number(written.length)} chunks</span></header>
    <div class="body"><${Failure} error=${error} /><pre class="stream" ref=${frame} tabindex="0" aria-label="Stream ${name}" aria-live="off">${text}${!ended && html`<i class="caret" aria-hidden="true"></i>`}</pre></div></section>`;
}

/** The streams of a run; with `step`, only what that step wrote. */
export function Streams({ run, step = null }) {
  const { data, error } = useData(`/api/runs/${run}/streams`, ["run.", "step.", "stream"], run);
  if (data === null) return html`<${Failure} error=${error} />${!error && html`<${Skeleton} rows=${2} />`}`;
  if (data.length === 0) return html`<section class="panel"><${Empty} title="It has streamed nothing">A workflow writes what it has so far with <code>router.stream(…)</code>.<//></section>`;
  return html`<div class="stack">${data.map((one) => html`<${Stream} key=${one.name} run=${run} name=${one.name} step=${step} />`)}</div>`;
}
