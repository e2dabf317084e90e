// Owns the pictures of things: the same in the navigation, in a timeline and in a graph. Refuses to know what is done with them.

import { html } from "./vendor/preact-htm.js";

const PATHS = {
  home: "M3 11 12 4l9 7M5 10v10h14V10",
  event: "M13 2 4 14h7l-1 8 9-12h-7z",
  mapping: "M4 6h6l4 6h6M4 18h6l4-6",
  run: "M6 4v16l14-8z",
  dispatch: "M5 19V9a4 4 0 0 1 4-4h10m-4-4 4 4-4 4M5 19h14m-4-4 4 4-4 4",
  message: "M4 5h16v14H4zM4 9l8 5 8-5",
  approval: "M9 12l2 2 4-5M12 3l8 3v6c0 5-3.5 8-8 9-4.500-1-8-4-8-9V6z",
  audit: "M7 3h10v18H7zM10 8h4M10 12h4M10 16h2",
  hold: "M8 5v14M16 5v14",
  trace: "M5 4v16M5 8h6a3 3 0 0 1 3 3v0a3 3 0 0 0 3 3h3M5 16h5",
  step: "M5 5h14v14H5zM9 12l2 2 4-4",
  attempt: "M4 12h14m-5-5 5 5-5 5",
  time: "M12 7v5l3 2M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18",
  answer: "M20 12H6m5-5-5 5 5 5",
  stream: "M4 7h16M4 12h10M4 17h13",
};

/** What kinds of things that have no picture of their own share. */
const LIKE = {
  sleep: "time", timer: "time", receive: "time", wait: "time", child: "run", publish: "message", delivery: "message", intercept: "hold",
};

export const Icon = ({ of }) => html`<svg viewBox="0 0 24 24" aria-hidden="true"><path d=${PATHS[of] ?? PATHS[LIKE[of]] ?? PATHS.step} /></svg>`;

/** The kind of a thing, as a picture; who draws it says the kind in words, too. */
export const Kind = ({ of }) => html`<span class="kind of-${LIKE[of] ?? of}" title=${of} aria-hidden="true"><${Icon} of=${of} /></span>`;
