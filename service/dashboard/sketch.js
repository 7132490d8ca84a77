// The small picture of how a column's values are spread: bars of a histogram, or its most frequent values.

import { h, svg } from "./dom.js";
import { count, share, value } from "./format.js";

const WIDTH = 160;
const HEIGHT = 32;
const LEVELS = 3;

/** Return the picture of a column's `sketch`, or null where there is none. */
export function sketch(about, rows) {
  if (about?.counts?.length) return histogram(about);
  if (about?.levels?.length) return levels(about, rows);
  return null;
}

function histogram({ counts, low, high }) {
  const most = Math.max(...counts, 1);
  const width = WIDTH / counts.length;
  const bars = counts.map((number, index) => {
    const height = number ? Math.max(1.5, (number / most) * HEIGHT) : 0;
    return svg("rect", { x: (index * width).toFixed(2), y: (HEIGHT - height).toFixed(2), width: Math.max(1, width - 1).toFixed(2), height: height.toFixed(2) });
  });
  const label = `Values from ${ends(low)} to ${ends(high)}`;
  return h(
    "div.sketch",
    {},
    svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label, preserveAspectRatio: "none" }, bars),
    h("div.sketch-ends", { "aria-hidden": "true" }, h("span", {}, ends(low)), h("span", {}, ends(high))),
  );
}

const ends = (end) => (typeof end !== "number" ? String(end ?? "") : Math.abs(end) >= 1e4 ? value(end, 3) : String(Number(end.toPrecision(4))));

function levels({ levels: all, others = 0 }, rows) {
  const total = rows || all.reduce((sum, [, number]) => sum + number, others) || 1;
  const shown = all.slice(0, LEVELS).map(([text, number]) =>
    h("li", {}, h("span.clip", { title: String(text) }, String(text)), h("span.bar", { "aria-hidden": "true" }, h("i", { vars: { part: String(number / total) } })), h("span.number", { title: count(number) }, share(number / total))),
  );
  return h("ol.sketch-levels", {}, shown);
}
