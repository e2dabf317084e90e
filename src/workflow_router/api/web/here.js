// Owns where the console is: the hash as page, names and parameters; what of a page is kept in it, so that a link, a reload
// and going back lead to the same sight; and where a page was scrolled to. Refuses to know pages.

import { useEffect, useState } from "./vendor/preact-htm.js";

const SETTLES_MS = 1_500; // a page that one goes back to has its old height again within this time
const listeners = new Set();
const scrolled = new Map(); // entry of the browser's history: how far down it was

/** What was percent-encoded; what somebody typed wrongly stays as it is. */
function plain(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The page of `location.hash`: `#/runs/ID?tab=x` is page `runs`, `["ID"]`, `{tab: "x"}`. */
function here() {
  const [path, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/").map(plain);
  return { name: name || "home", rest, parameters: Object.fromEntries(new URLSearchParams(search)) };
}

/** Keep parameters of this page in its address, without a step in the browser's history; an empty one goes. */
export function keep(more) {
  const [path, search = ""] = location.hash.split("?");
  const kept = new URLSearchParams(search);
  for (const [name, value] of Object.entries(more)) {
    if (value === "" || value === null || value === undefined) kept.delete(name);
    else kept.set(name, value);
  }
  history.replaceState(history.state, "", kept.size ? `${path || "#/"}?${kept}` : path || "#/");
  for (const listener of listeners) listener();
}

/** Scroll to where it was as soon as the page is that high again, unless somebody scrolls before. */
function comeBack(top) {
  const until = performance.now() + SETTLES_MS;
  const step = () => {
    scrollTo(0, top);
    if (Math.abs(scrollY - top) > 2 && performance.now() < until) requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}

/** Where it is now. */
export function useHere() {
  const [found, setFound] = useState(here);
  useEffect(() => {
    history.scrollRestoration = "manual";
    if (history.state?.entry === undefined) history.replaceState({ entry: Date.now() }, "");
    let { entry } = history.state;
    let page = location.hash.split("?")[0];
    const follow = () => {
      scrolled.set(entry, scrollY);
      const returns = history.state?.entry !== undefined;
      if (!returns) history.replaceState({ entry: Date.now() }, "");
      entry = history.state.entry;
      const another = location.hash.split("?")[0] !== page;
      page = location.hash.split("?")[0];
      setFound(here());
      if (returns) comeBack(scrolled.get(entry) ?? 0);
      else if (another) scrollTo(0, 0);
    };
    const look = () => setFound(here());
    addEventListener("hashchange", follow);
    listeners.add(look);
    return () => {
      removeEventListener("hashchange", follow);
      listeners.delete(look);
    };
  }, []);
  return found;
}
