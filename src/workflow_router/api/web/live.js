// Owns the one live stream of transitions of this tab, which all parts of a page share. Refuses to keep it open while
// nobody looks: a hidden tab closes it, and catches up where it was.

import { get, stream } from "./api.js";

const RETRY_MS = 1_000;
const listeners = new Set();
let position = null;
let open = null;
export const connection = { state: "connecting" };

/** Be told of each transition (`{kind, subject, run, …}`), and of `null` when the connection's state changes. */
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell(entry) {
  for (const listener of [...listeners]) listener(entry);
}

function become(state) {
  if (connection.state === state) return;
  connection.state = state;
  tell(null);
}

async function follow(signal) {
  while (!signal.aborted) {
    try {
      if (position === null) position = (await get("/api/audit/head")).position;
      const path = `/api/observe?after=${position}`;
      const started = stream(path, signal, (id, entry) => {
        position = Number(id) || position;
        tell({ ...entry.transition, position: entry.position, time_ms: entry.time_ms });
      });
      become("live");
      await started;
    } catch (error) {
      if (signal.aborted) return;
      become(error.status === 401 ? "signed out" : "away");
      if (error.status === 401) return;
    }
    await new Promise((done) => setTimeout(done, RETRY_MS));
  }
}

/** Open the stream; called once, and again after signing in. */
export function start() {
  open?.abort();
  open = null;
  if (document.hidden) return;
  open = new AbortController();
  void follow(open.signal);
}

document.addEventListener("visibilitychange", start);
