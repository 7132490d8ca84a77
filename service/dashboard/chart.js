// One chart on a canvas: several series over steps, zoom by dragging, log scale, values under the pointer, a baseline,
// the best epoch, resumed attempts. Reachable by keyboard; its values are there as a table too.

import { button, fill, h, say } from "./dom.js";
import { count, value } from "./format.js";
import { icon } from "./icons.js";
import { paint } from "./paint.js";
import { before, extent, nearest, padded, scale, smoothed } from "./scale.js";

const HEIGHT = 220;
const EDGE = { top: 12, right: 12, bottom: 38 };
const TABLE_ROWS = 40;

/** Charts that share one x axis: their zoom and their pointer move together. */
export class ChartGroup {
  charts = new Set();
  zoom = null; // [from, to] in steps
  at = null; // the step under the pointer

  set(change) {
    Object.assign(this, change);
    for (const chart of this.charts) chart.redraw();
  }
}

export class Chart {
  #data = { series: [], baseline: null, best: null, attempts: [], changes: [] };
  #group;
  #isLog = false;
  #isTable = false;
  #isDue = false;
  #drag = null;
  #format;
  #epochOf;
  #isFromZero;

  /** `name` titles it, `format(number)` writes a value, `epochOf(step)` tells the epoch under the pointer. */
  constructor(name, group, { format = value, epochOf = () => null, canLog = true, isFromZero = false } = {}) {
    this.#group = group;
    this.#format = format;
    this.#epochOf = epochOf;
    this.#isFromZero = isFromZero;
    this.name = name;
    this.canvas = h("canvas", { tabindex: 0, role: "img", "aria-label": name });
    this.tip = h("div.chart-tip", { hidden: true });
    this.legend = h("div.chart-legend");
    this.table = h("div.chart-table", { hidden: true, tabindex: 0, role: "region", "aria-label": `${name}, values` });
    this.spoken = h("span.unseen", { "aria-live": "polite" });
    this.logButton = button("log", () => this.#toggleLog(), { kind: "quiet tiny", "aria-pressed": "false", label: `${name}: logarithmic scale` });
    this.resetButton = button(icon("reset"), () => group.set({ zoom: null }), { kind: "quiet tiny icon-only", label: "Show all steps", hidden: true });
    this.tableButton = button(icon("table"), () => this.#toggleTable(), { kind: "quiet tiny icon-only", "aria-pressed": "false", label: `${name}: values as a table` });
    const tools = h("div.chart-tools", {}, this.resetButton, canLog && this.logButton, this.tableButton);
    this.frame = h("div.chart-frame", {}, this.canvas, this.tip);
    this.element = h("figure.chart", {}, h("figcaption", {}, h("h3", {}, name), this.legend, tools), this.frame, this.table, this.spoken);
    this.#listen();
    group.charts.add(this);
  }

  /** Show {series: [{label, index, x, y, isNoisy, hasDots}], baseline: {value, label}, best: {step, label}, attempts: [{attempt, resumed_from_step}], changes: [{step, label}]}. */
  show(data) {
    this.#data = { baseline: null, best: null, attempts: [], changes: [], ...data };
    const labels = this.#data.series.map(({ label }) => label).join("\n");
    if (this.legend.dataset.labels !== labels) {
      this.legend.dataset.labels = labels;
      fill(this.legend, this.#data.series.map(({ label, index }) => h("span.key", { class: `series-${index}` }, h("span.swatch"), h("span", {}, label), h("b"))));
    }
    this.redraw();
  }

  close() {
    this.observer.disconnect();
    this.#group.charts.delete(this);
  }

  redraw() {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      this.#draw();
    });
  }

  #listen() {
    const { canvas } = this;
    this.observer = new ResizeObserver(() => this.redraw());
    this.observer.observe(this.frame);
    canvas.addEventListener("pointermove", (event) => this.#pointed(event));
    canvas.addEventListener("pointerleave", () => this.#drag === null && this.#group.set({ at: null }));
    canvas.addEventListener("pointerdown", (event) => this.#pressed(event));
    canvas.addEventListener("pointerup", (event) => this.#released(event));
    canvas.addEventListener("pointercancel", () => (this.#drag = null));
    canvas.addEventListener("dblclick", () => this.#group.set({ zoom: null }));
    canvas.addEventListener("keydown", (event) => this.#keyed(event));
    canvas.addEventListener("blur", () => this.#group.set({ at: null }));
  }

  #stepAt(event) {
    return this.x ? this.x.invert(event.clientX - this.canvas.getBoundingClientRect().left) : null;
  }

  #pointed(event) {
    const step = this.#stepAt(event);
    if (step === null) return;
    if (this.#drag) this.#drag.to = step;
    this.#group.set({ at: step });
  }

  #pressed(event) {
    const step = this.#stepAt(event);
    if (step === null || event.button !== 0 || event.pointerType === "touch") return;
    this.canvas.setPointerCapture(event.pointerId);
    this.#drag = { from: step, to: step };
  }

  #released() {
    if (!this.#drag) return;
    const [from, to] = [this.#drag.from, this.#drag.to].sort((one, other) => one - other);
    this.#drag = null;
    const isWide = Math.abs(this.x(to) - this.x(from)) > 6;
    this.#group.set(isWide ? { zoom: [Math.max(0, from), to] } : {});
  }

  /** Arrows move from value to value, + and - zoom around it, 0 or Escape shows all. */
  #keyed(event) {
    const xs = this.#data.series[0]?.x ?? [];
    const [from, to] = this.#range();
    const at = this.#group.at ?? to;
    const keys = {
      ArrowLeft: () => this.#move(xs, nearest(xs, at) - Math.max(1, Math.round(xs.length / 100))),
      ArrowRight: () => this.#move(xs, nearest(xs, at) + Math.max(1, Math.round(xs.length / 100))),
      Home: () => this.#move(xs, 0),
      End: () => this.#move(xs, xs.length - 1),
      "+": () => this.#group.set({ zoom: [at - (at - from) / 2, at + (to - at) / 2] }),
      "-": () => this.#group.set({ zoom: [Math.max(0, from - (to - from) / 2), to + (to - from) / 2] }),
      0: () => this.#group.set({ zoom: null }),
      Escape: () => this.#group.set({ zoom: null, at: null }),
    };
    if (!keys[event.key] || event.ctrlKey || event.metaKey || !xs.length) return;
    event.preventDefault();
    keys[event.key]();
  }

  #move(xs, index) {
    this.#group.set({ at: xs[Math.min(xs.length - 1, Math.max(0, index))] });
    say(this.spoken, this.#wordsAt(this.#group.at));
  }

  #wordsAt(step) {
    const parts = this.#data.series.map(({ label, x, y }) => `${label} ${this.#format(y[nearest(x, step)])}`);
    return `Step ${count(Math.round(step))}: ${parts.join(", ")}`;
  }

  #range() {
    if (this.#group.zoom) return this.#group.zoom;
    const steps = [...this.#group.charts].flatMap((chart) => chart.#data.series.map(({ x }) => x.at(-1) ?? 0));
    return [0, Math.max(1, ...steps)];
  }

  #toggleLog() {
    this.#isLog = !this.#isLog;
    this.logButton.setAttribute("aria-pressed", String(this.#isLog));
    this.redraw();
  }

  #toggleTable() {
    this.#isTable = !this.#isTable;
    this.tableButton.setAttribute("aria-pressed", String(this.#isTable));
    this.table.hidden = !this.#isTable;
    this.frame.hidden = this.#isTable;
    this.redraw();
  }

  #draw() {
    const [from, to] = this.#range();
    this.resetButton.hidden = this.#group.zoom === null;
    this.#label();
    if (this.#isTable) this.#fillTable();
    const width = this.frame.clientWidth;
    if (!width) return;
    const pen = this.#prepare(width);
    const seen = this.#data.series.map((series) => within(series, from, to));
    const found = extent([...seen.map(shown), this.#nearBaseline(seen), this.#isFromZero ? [0] : []], this.#isLog);
    const isLog = this.#isLog && found !== null;
    const [low, high] = padded(found ?? [0, 1], isLog);
    const y = scale(low, high, HEIGHT - EDGE.bottom, EDGE.top, isLog);
    const marks = y.ticks(4);
    const left = 12 + Math.max(24, ...marks.map((mark) => pen.measureText(this.#format(mark)).width));
    this.x = scale(from, to, left, width - EDGE.right);
    const area = { left, top: EDGE.top, right: width - EDGE.right, bottom: HEIGHT - EDGE.bottom };
    const { baseline, best, attempts, changes } = this.#data;
    paint(pen, { x: this.x, y, area, marks, format: this.#format, colors: this.#colors(), seen, baseline, best, attempts, changes, drag: this.#drag, at: this.#group.at });
    this.#showTip(seen, width);
  }

  #prepare(width) {
    const ratio = devicePixelRatio || 1;
    const pen = this.canvas.getContext("2d");
    const [across, down] = [Math.round(width * ratio), Math.round(HEIGHT * ratio)];
    if (this.canvas.width !== across || this.canvas.height !== down) Object.assign(this.canvas, { width: across, height: down });
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, HEIGHT);
    pen.font = `11px ${getComputedStyle(this.element).fontFamily}`;
    return pen;
  }

  /** The baseline widens the y axis unless it is so far off that the curves would become flat. */
  #nearBaseline(seen) {
    const { baseline } = this.#data;
    const found = extent(seen.map(shown), this.#isLog);
    if (!baseline || !found) return [];
    const span = found[1] - found[0] || Math.abs(found[1]);
    const isNear = baseline.value < found[1] + span * 2 && baseline.value > found[0] - span * 2;
    return isNear || this.#isLog ? [baseline.value] : [];
  }

  /** Colours come from the style sheet, by way of the legend: a canvas knows none of its variables. */
  #colors() {
    const style = getComputedStyle(this.element);
    const swatches = [...this.legend.querySelectorAll(".swatch")].map((swatch) => getComputedStyle(swatch).backgroundColor);
    return { series: swatches, text: style.getPropertyValue("color"), line: style.getPropertyValue("outline-color"), strong: style.getPropertyValue("caret-color"), back: style.getPropertyValue("background-color") };
  }

  #label() {
    const newest = this.#data.series.map(({ y }) => this.#format(y.findLast(Number.isFinite)));
    this.legend.querySelectorAll("b").forEach((element, index) => say(element, newest[index]));
    const words = this.#data.series.map(({ label }, index) => `${label} ${newest[index]}`).join(", ");
    this.canvas.setAttribute("aria-label", `${this.name} over steps. Newest: ${words || "no values yet"}. Arrow keys read values.`);
  }

  #showTip(seen, width) {
    const { at } = this.#group;
    const rows = at === null ? [] : seen.filter(({ x }) => x.length).map(({ label, index, x, y }) => ({ label, index, number: y[nearest(x, at)] }));
    this.tip.hidden = rows.length === 0;
    if (!rows.length) return;
    const epoch = this.#epochOf(at);
    fill(
      this.tip,
      h("span.muted", {}, `Step ${count(Math.round(at))}${epoch ? ` · epoch ${count(epoch)}` : ""}`),
      rows.map(({ label, index, number }) => h("span.key", { class: `series-${index}` }, h("span.swatch"), h("span", {}, label), h("b", {}, this.#format(number)))),
    );
    const x = this.x(at);
    const isRight = x > width / 2;
    this.tip.style.transform = `translate(${Math.round(isRight ? x - this.tip.offsetWidth - 12 : x + 12)}px, 8px)`;
  }

  #fillTable() {
    const [series] = this.#data.series;
    const every = Math.max(1, Math.ceil((series?.x.length ?? 0) / TABLE_ROWS));
    const steps = (series?.x ?? []).filter((_, index, all) => index % every === 0 || index === all.length - 1);
    const head = ["Step", ...this.#data.series.map(({ label }) => label)].map((label) => h("th", { scope: "col" }, label));
    const rows = steps.map((step) => h("tr", {}, h("td", {}, count(step)), this.#data.series.map(({ x, y }) => h("td", {}, this.#format(y[nearest(x, step)])))));
    fill(this.table, h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows)));
  }
}

/** Return the values that the y axis has to hold: of a noisy series its mean, and all but its wildest values. */
function shown({ mean, y }) {
  if (!mean) return y;
  const sorted = y.filter(Number.isFinite).sort((one, other) => one - other);
  return [...mean, sorted[Math.floor(sorted.length * 0.03)], sorted[Math.floor(sorted.length * 0.97)]];
}

/** Return the part of a series between two steps, and one point more on either side so that lines go on. */
function within(series, from, to) {
  const first = Math.max(0, before(series.x, from));
  const last = Math.min(series.x.length, before(series.x, to) + 2);
  const mean = series.isNoisy ? smoothed(series.y).slice(first, last) : null;
  return { ...series, x: series.x.slice(first, last), y: series.y.slice(first, last), mean };
}
