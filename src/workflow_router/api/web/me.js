// Owns who is signed in, and what they may do. It hides what would be refused; the refusing is the router's.

import { get } from "./api.js";

const listeners = new Set();
export const session = { me: null };

/** Ask the router who this is; `null` where it does not say. */
export async function learn() {
  try {
    session.me = await get("/api/me");
  } catch {
    session.me = null;
  }
  for (const listener of listeners) listener(session.me);
}

/** Be told when it is known, or another. */
export function heed(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Whether the router knows who this is, by a credential. */
export const signedIn = () => session.me !== null && session.me.kind !== "local";

/** Whether this scope is theirs; while nothing is known, the router is asked and says. */
export const may = (scope) => session.me === null || session.me.scopes.includes(scope);
