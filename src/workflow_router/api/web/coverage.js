// Owns the map of what leads to what: event types on the left, mappings in the middle, what they start on the right, a line
// for each connection. Refuses to draw more than `MOST` mappings at once: a filter narrows them.

import { Empty, html, useMemo, useState } from "./ui.js";

const MOST = 60;
const ROW = 38;
const WIDE = 1000; // of the drawing; the columns' places are shares of it
const COLUMNS = [[0, 30], [37, 26], [70, 30]];

const PAGES = { start: (name) => `#/runs?workflow=${name}`, publish: (name) => `#/broker?topic=${name}`, dispatch: (name) => `#/routes/${name}` };

/** What the picture is made of: three columns of names, and pairs of those that are connected. */
export function mapOf(relations) {
  const columns = [new Map(), new Map(), new Map()];
  const lines = [];
  const add = (column, key, box) => {
    if (!columns[column].has(key)) columns[column].set(key, { key, at: columns[column].size, ...box });
    return columns[column].get(key);
  };
  for (const one of relations) {
    const mapping = add(1, one.mapping, { name: one.mapping, href: `#/mappings/${one.mapping.split("@")[0]}`, stage: one.stage });
    for (const type of one.types.length ? one.types : ["any type"]) lines.push([0, add(0, type, { name: type, href: type === "any type" ? null : `#/events?type=${encodeURIComponent(type)}` }), mapping, one.stage]);
    for (const target of one.targets) lines.push([1, mapping, add(2, `${target.does} ${target.name}`, { name: target.name, note: target.does, href: PAGES[target.does]?.(target.name) ?? null }), one.stage]);
  }
  return { columns: columns.map((one) => [...one.values()]), lines };
}

const has = (one, text) => [one.mapping, ...one.types, ...one.targets.map((other) => other.name)].some((name) => name.toLowerCase().includes(text.toLowerCase()));

export function Coverage({ relations }) {
  const [text, setText] = useState("");
  const [near, setNear] = useState(null); // the box that is pointed at
  const fits = useMemo(() => relations.filter((one) => has(one, text)), [relations, text]);
  const { columns, lines } = useMemo(() => mapOf(fits.slice(0, MOST)), [fits]);
  const height = Math.max(...columns.map((one) => one.length), 1) * ROW;
  const shift = columns.map((one) => (height - one.length * ROW) / 2);
  const y = (column, box) => shift[column] + box.at * ROW + ROW / 2;
  const lit = near === null ? null : new Set(lines.filter(([, from, to]) => from.key === near || to.key === near || lines.some(([, a, b]) => (a.key === near && b === from) || (b.key === near && a === to))).flatMap(([, from, to]) => [from.key, to.key]));
  return html`<section class="panel"><header><h2>What leads to what</h2><label class="more narrow"><span class="visually-hidden">Narrow the map</span><input type="search" placeholder="type, mapping or workflow" value=${text} onInput=${(event) => setText(event.target.value)} /></label></header>
    ${relations.length === 0 ? html`<${Empty} title="No mappings">They connect event types with what is started.<//>` : html`<div class="coverage" tabindex="0" role="region" aria-label="Map of event types, mappings and workflows">
      <div class="titles" aria-hidden="true">${["Event types", "Mappings", "Lead to"].map((name, at) => html`<span key=${name} style=${{ left: `${COLUMNS[at][0]}%` }}>${name}</span>`)}</div>
      <div class="map" style=${{ height: `${height}px` }}>
        <svg viewBox="0 0 ${WIDE} ${height}" preserveAspectRatio="none" aria-hidden="true">${lines.map(([column, from, to, stage]) => {
          const x1 = ((COLUMNS[column][0] + COLUMNS[column][1]) / 100) * WIDE;
          const x2 = (COLUMNS[column + 1][0] / 100) * WIDE;
          const middle = (x1 + x2) / 2;
          const faint = lit && !(lit.has(from.key) && lit.has(to.key));
          return html`<path key=${`${from.key} ${to.key}`} class="${stage} ${faint ? "faint" : ""}" vector-effect="non-scaling-stroke" d="M${x1} ${y(column, from)}C${middle} ${y(column, from)} ${middle} ${y(column + 1, to)} ${x2} ${y(column + 1, to)}" />`;
        })}</svg>
        ${columns.map((boxes, column) => boxes.map((box) => html`<${box.href ? "a" : "span"} key=${box.key} href=${box.href} class="box ${box.stage ?? ""} ${lit && !lit.has(box.key) && near !== box.key ? "faint" : ""}" title=${box.name}
          onPointerEnter=${() => setNear(box.key)} onPointerLeave=${() => setNear(null)} onFocus=${() => setNear(box.key)} onBlur=${() => setNear(null)}
          style=${{ left: `${COLUMNS[column][0]}%`, width: `${COLUMNS[column][1]}%`, top: `${y(column, box) - 15}px` }}>${box.note && html`<em>${box.note}</em> `}${box.name}${box.stage && box.stage !== "live" ? html` <em>${box.stage}</em>` : ""}<//>`))}
      </div></div>
      ${fits.length > MOST && html`<p class="body quiet-text">These are ${MOST} of ${fits.length} mappings; narrow them to see others.</p>`}`}</section>`;
}
