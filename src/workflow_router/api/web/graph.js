// Owns the picture of a tree as a graph: a box for each thing, a line from what caused it, from left to right. Only boxes in
// sight are drawn, and many children of one kind fold into a box that opens. Refuses to know what the things are.

import { Kind } from "./icons.js";
import { Empty, html, useMemo, useRef, useState } from "./ui.js";
import { kindOf, toneOf } from "./waterfall.js";

const WIDE = 157;
const HIGH = 44;
const GAP_X = 20;
const GAP_Y = 10;
const MANY = 12; // of one parent and kind are shown before they fold
const EDGE = 16;

/** Children that are too many fold into one box of their kind, unless it was opened. */
function folded(node, opened) {
  const kinds = new Map();
  for (const one of node.children) kinds.set(one.kind, [...(kinds.get(one.kind) || []), one]);
  return [...kinds.values()].flatMap((all) => {
    const key = `${node.id} ${all[0].kind}`;
    if (all.length <= MANY || opened.has(key)) return all;
    const rest = all.slice(MANY - 1);
    return [...all.slice(0, MANY - 1), { id: key, kind: all[0].kind, name: `${rest.length} more`, status: "", children: [], folds: key, holds: rest }];
  });
}

/** Where each box is: children below each other, a parent in the middle of them. */
function placed(roots, opened) {
  const boxes = [];
  const lines = [];
  let row = 0;
  const place = (node, depth) => {
    const children = folded(node, opened);
    const ends = children.map((one) => place(one, depth + 1));
    const y = ends.length ? (ends[0] + ends.at(-1)) / 2 : row++ * (HIGH + GAP_Y);
    const x = depth * (WIDE + GAP_X);
    boxes.push({ node, x, y });
    for (const end of ends) lines.push({ x: x + WIDE, y: y + HIGH / 2, to_x: x + WIDE + GAP_X, to_y: end + HIGH / 2 });
    return y;
  };
  for (const one of roots) place(one, 0);
  const width = boxes.reduce((most, one) => Math.max(most, one.x + WIDE), 0);
  return { boxes: boxes.sort((a, b) => a.y - b.y || a.x - b.x), lines, width, height: Math.max(0, row * (HIGH + GAP_Y) - GAP_Y) };
}

/** @param roots trees of `{id, kind, name, status, open, children}`. */
export function Graph({ roots, chosen, onChoose, empty }) {
  const [opened, setOpened] = useState(new Set());
  const [top, setTop] = useState(0);
  const frame = useRef(null);
  const { boxes, lines, width, height } = useMemo(() => placed(roots, opened), [roots, opened]);
  if (boxes.length === 0) return html`<${Empty} title=${empty} />`;
  const low = top - 400;
  const high = top + (frame.current?.clientHeight || 640) + 400;
  const within = (y) => y > low && y < high;
  const choose = ({ folds, id }) => (folds ? setOpened(new Set([...opened, folds])) : onChoose(id));
  return html`<div class="graph" ref=${frame} onScroll=${(event) => setTop(event.currentTarget.scrollTop)} role="group" aria-label="Graph">
    <div class="sheet" style=${{ width: `${width + 2 * EDGE}px`, height: `${height + 2 * EDGE}px` }}>
      <svg aria-hidden="true" width=${width} height=${height}>${lines.filter((one) => within(one.y) || within(one.to_y)).map((one) => {
        const middle = (one.x + one.to_x) / 2;
        return html`<path d="M${one.x} ${one.y}C${middle} ${one.y} ${middle} ${one.to_y} ${one.to_x} ${one.to_y}" />`;
      })}</svg>
      ${boxes.filter((one) => within(one.y)).map(({ node, x, y }) => html`<button type="button" key=${node.id} class="node ${node.folds ? "folded" : toneOf(node)}" aria-pressed=${node.id === chosen}
        style=${{ left: `${x + EDGE}px`, top: `${y + EDGE}px` }} onClick=${() => choose(node)}>
        <${Kind} of=${kindOf(node)} /><span class="visually-hidden">${node.kind}</span>
        <span class="words"><b title=${node.name}>${node.name}</b><em>${node.status || "open them"}</em></span></button>`)}
    </div></div>`;
}
