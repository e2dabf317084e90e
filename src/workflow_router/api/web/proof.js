// Owns checking proofs of the audit log with the browser's own SHA-256: leaves of canonical JSON (RFC 8785), inclusion and
// consistency (RFC 9162). Refuses to take the router's word for any hash.

const bytes = (hex) => Uint8Array.from(hex.match(/../g) || [], (pair) => parseInt(pair, 16));
const hex = (array) => Array.from(array, (one) => one.toString(16).padStart(2, "0")).join("");

async function sha256(...parts) {
  const all = new Uint8Array(parts.reduce((total, one) => total + one.length, 0));
  let at = 0;
  for (const one of parts) {
    all.set(one, at);
    at += one.length;
  }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", all));
}

const node = (left, right) => sha256([1], left, right);
const same = (one, other) => hex(one) === hex(other);

/** RFC 8785: names sorted, and numbers and strings as JavaScript writes them. */
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  return `{${Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
}

const encode = (value) => new TextEncoder().encode(canonical(value));
const given = (members) => Object.fromEntries(Object.entries(members).filter(([, value]) => value !== null && value !== undefined));

/** The leaf of an entry, from its content. Throws where actor and details are not those that were committed to. */
async function leafOf(entry) {
  const { kind, subject, tenant, run, cause, correlation, actor, detail } = entry.transition;
  if (entry.salt) {
    const secret = given({ actor, detail: Object.keys(detail || {}).length ? detail : null });
    if (hex(await sha256(bytes(entry.salt), encode(secret))) !== entry.private) throw new Error("Actor or details are not those that were written.");
  }
  const shown = given({ kind, subject, tenant: tenant === "default" ? null : tenant, run, cause, correlation });
  return sha256([0], encode(given({ position: entry.position, time_ms: entry.time_ms, transition: shown, private: entry.private })));
}

/** Whether an entry is in the tree of this size and root (hex), by the proof the router gave. */
export async function foldsTo({ entry, size, root, proof }) {
  let at = entry.position - 1;
  let last = size - 1;
  let found = await leafOf(entry);
  for (const part of proof.map(bytes)) {
    if (last === 0) return false;
    if (at % 2 === 1 || at === last) {
      found = await node(part, found);
      while (at % 2 === 0 && at > 0) [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
    } else found = await node(found, part);
    [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
  }
  return last === 0 && hex(found) === root;
}

/** Whether the first tree is the beginning of the second; roots in hex. */
export async function onlyGrew({ first, second, proof, firstRoot, secondRoot }) {
  if (first === second) return firstRoot === secondRoot;
  if (!(first > 0 && first < second) || proof.length === 0) return false;
  const path = proof.map(bytes);
  if (Number.isInteger(Math.log2(first))) path.unshift(bytes(firstRoot));
  let at = first - 1;
  let last = second - 1;
  while (at % 2 === 1) [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
  let [older, newer] = [path[0], path[0]];
  for (const part of path.slice(1)) {
    if (last === 0) return false;
    if (at % 2 === 1 || at === last) {
      [older, newer] = [await node(part, older), await node(part, newer)];
      while (at % 2 === 0 && at > 0) [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
    } else newer = await node(newer, part);
    [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
  }
  return last === 0 && same(older, bytes(firstRoot)) && same(newer, bytes(secondRoot));
}

/** Size and root of a checkpoint (C2SP tlog-checkpoint): origin, size and root in base64 are its first lines. */
export function readCheckpoint(text) {
  const [, size, root] = text.trim().split("\n");
  if (!/^\d+$/.test(size || "") || !root) throw new Error("A checkpoint has the log's name, a size and a root, a line each.");
  return { size: Number(size), root: hex(Uint8Array.from(atob(root), (one) => one.charCodeAt(0))) };
}
