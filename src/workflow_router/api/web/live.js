// Owns the one live stream of this tab: what changed, a few times a second at most, which all parts of a page share.
// Refuses to keep it open while nobody looks: a hidden tab closes it, and asks again for what it shows when it is back.

import { stream } from "./api.js";

const RETRY_MS = 1_000;
const listeners = new Set();
let open = null;
export const connection = { state: "connecting" };

/**
 * Be told what changed: `{kinds, runs, latest}`, where `kinds` and `runs` are null if there was too much to name; and of
 * `null` when the connection's state changes.
 */
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell(digest) {
  for (const listener of [...listeners]) listener(digest);
}

function become(state) {
  if (connection.state === state) return;
  connection.state = state;
  tell(null);
}

async function follow(signal) {
  while (!signal.aborted) {
    try {
      await stream("/api/observe/digest", signal, {
        opened: () => become("live"),
        event: (id, digest) => tell(digest),
      });
      become("away"); // the router has ended the stream: it stops or restarts
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
  if (document.hidden) {
    connection.state = "connecting"; // so that being back is a change, after which all is asked for again
    return;
  }
  open = new AbortController();
  void follow(open.signal);
}

document.addEventListener("visibilitychange", start);
