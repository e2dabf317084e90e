// Owns small charts over minutes: bars upon each other and lines, with what is pointed at said in the legend. Refuses to
// know what is counted.

import { clock } from "./format.js";
import { html, useState } from "./ui.js";

const HEIGHT = 100;

/** A round number that is not below: 1, 2 or 5 times a power of ten. */
export function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 5, 10].map((one) => one * power).find((one) => one >= value);
}

/** A line with gaps where there is no value; a value between gaps is a dot. */
function Line({ points, of, top, tone }) {
  const y = (value) => HEIGHT - (Math.min(value, top) / top) * HEIGHT;
  const parts = [[]];
  points.forEach((one, at) => {
    const value = of(one);
    if (value === null) parts.push([]);
    else parts.at(-1).push([at + 0.5, y(value)]);
  });
  return html`<g class="series ${tone}">${parts.filter((part) => part.length > 0).map((part) => part.length > 1
    ? html`<polyline key=${part[0][0]} points=${part.join(" ")} vector-effect="non-scaling-stroke" />`
    : html`<line key=${part[0][0]} class="dot" x1=${part[0][0]} x2=${part[0][0] + 0.01} y1=${part[0][1]} y2=${part[0][1]} vector-effect="non-scaling-stroke" />`)}</g>`;
}

/**
 * @param points what is drawn from left to right, each with `at_ms`.
 * @param bars,lines `{name, of: point => number or null, tone}`; bars stand upon each other.
 * @param sum how the legend sums a series up when nothing is pointed at: `(series, points) => text`.
 * @param say a value in words.
 */
export function Chart({ label, points, bars = [], lines = [], sum, say }) {
  const [at, setAt] = useState(null);
  const series = [...bars, ...lines];
  const most = points.reduce((found, one) => Math.max(found, bars.reduce((total, bar) => total + bar.of(one), 0), ...lines.map((line) => line.of(one) ?? 0)), 0);
  const top = ceiling(most);
  const follow = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    setAt(Math.min(points.length - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * points.length))));
  };
  const words = (one) => (at === null ? sum(one, points) : one.of(points[at]) === null ? "–" : say(one.of(points[at])));
  const spoken = series.map((one) => `${one.name} ${sum(one, points)}`).join(", ");
  return html`<figure class="chart">
    <figcaption><span><b>${label}</b><time>${at === null ? "last hour" : clock(points[at].at_ms)}</time></span>${series.map((one) => html`<span key=${one.name} class="key ${one.tone}"><i aria-hidden="true"></i>${one.name} <b>${words(one)}</b></span>`)}</figcaption>
    <div class="plot"><span class="top" aria-hidden="true">${most === 0 ? "" : say(top)}</span>
      <svg viewBox="0 0 ${points.length} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label="${label}: ${spoken}" onPointerMove=${follow} onPointerLeave=${() => setAt(null)}>
        ${[0, 0.5].map((share) => html`<line key=${share} class="grid" x1="0" x2=${points.length} y1=${share * HEIGHT} y2=${share * HEIGHT} vector-effect="non-scaling-stroke" />`)}
        ${at !== null && html`<rect class="cursor" x=${at} width="1" y="0" height=${HEIGHT} />`}
        ${points.map((one, x) => {
          let base = HEIGHT;
          return bars.map((bar) => {
            const height = (bar.of(one) / top) * HEIGHT;
            base -= height;
            return height > 0 && html`<rect key=${`${x} ${bar.name}`} class="series ${bar.tone}" x=${x + 0.14} width="0.72" y=${base} height=${height} />`;
          });
        })}
        ${lines.map((one) => html`<${Line} key=${one.name} ...${one} points=${points} top=${top} />`)}
      </svg></div>
    <div class="axis" aria-hidden="true"><span>${clock(points[0].at_ms).replace(/:\d\d(?=\s|$)/, "")}</span><span>now</span></div></figure>`;
}
