// Owns talking to the router: requests, problems as errors, and the live stream. Who calls is in a cookie that no script
// can read. It shows only what the public API gives; there is no door of the console's own.

const SESSION = "/api/session";

/** A refusal of the router (RFC 9457): what happened and how to mend it. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `The router answered ${status}.`);
    this.status = status;
    this.remedy = body.remedy || "";
  }
}

/** Call the API and return its JSON. Throws a Problem; a router that does not answer is status 0. */
export async function call(method, path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: body === undefined ? {} : { "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Problem(0, { detail: "The router does not answer.", remedy: "It is tried again." });
  }
  const text = await answer.text();
  let found = null;
  try {
    found = text ? JSON.parse(text) : null;
  } catch {
    if (answer.ok) throw new Problem(answer.status, { detail: "The router's answer is no JSON." });
  }
  if (!answer.ok) {
    if (answer.status === 401 && path !== SESSION) dispatchEvent(new Event("signed-out"));
    throw new Problem(answer.status, found || {});
  }
  return found;
}

export const get = (path) => call("GET", path);
export const signIn = (key) => call("POST", SESSION, { key });
export const waysToSignIn = () => call("GET", SESSION);
export const signOut = () => call("DELETE", SESSION);
export const post = (path, body = {}) => call("POST", path, body);

/** The path with the parameters that have a value. */
export function query(path, parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

/**
 * Read server-sent events until `signal` aborts or the stream ends: `opened()` once it is heard, then
 * `event(id, data, name)` for each one; with a body it is posted. EventSource tells no problems, so this is `fetch`.
 */
export async function stream(path, signal, { opened, event }, body) {
  const posted = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const answer = await fetch(path, { ...posted, headers: { accept: "text/event-stream", ...(body === undefined ? {} : { "content-type": "application/json" }) }, signal });
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Problem(answer.status, problem);
  }
  opened?.();
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value;
    const blocks = rest.split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      let id = "";
      let data = "";
      let name = "";
      for (const line of block.split("\n")) {
        if (line.startsWith("id: ")) id = line.slice(4);
        else if (line.startsWith("event: ")) name = line.slice(7);
        else if (line.startsWith("data: ")) data += line.slice(6);
      }
      if (data) event(id, JSON.parse(data), name);
    }
  }
}
