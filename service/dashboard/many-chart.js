// Up to two hundred curves on one chart: zoom by dragging, pan, a pointer that picks out a run. The curves are drawn once
// on one canvas, which is moved as a picture (ink.js); what the pointer picks is drawn on a second one above it.

import { button, fill, h, say } from "./dom.js";
import { value } from "./format.js";
import { icon } from "./icons.js";
import { clipped, Ink, sized, stroked, within } from "./ink.js";
import { before, extent, nearest, padded, scale } from "./scale.js";

const HEIGHT = 400;
const EDGE = { top: 12, right: 16, bottom: 40 };
const REACH = 40; // pixels within which the pointer picks a curve
const MOVING_MS = 150; // after the last move the curves are drawn in full again
const HEAVY_POINTS = 2_000; // of all curves: from that on a picture of them is moved
const LEAST_DRAG = 6; // pixels that mean a zoom

export class ManyChart {
  #lines = []; // [{id, label, color, x, y, raw}]
  #about = { xLabel: "", formatX: String, isLog: false };
  #zoom = null; // [from, to] along x
  #picked = null; // id
  #at = null; // [x, y] of the pointer in pixels
  #drag = null;
  #isDue = false;
  #isStale = true; // the chart is to be drawn again
  #isMoved = false; // and nothing but its range is another
  #view = null; // {x, y, area, width, marks}
  #moving = null; // a timer while the chart is panned or zoomed, if its curves are heavy
  #isHeavy = false;
  #ink = new Ink();
  tookMs = 0; // the newest drawing

  /** `onPick(id)` hears which run the pointer is at, or null; `onZoom([from, to])` what is shown, or null for all. */
  constructor(name, { onPick = () => {}, onZoom = () => {}, onOpen = () => {} } = {}) {
    Object.assign(this, { onPick, onZoom, onOpen });
    this.canvas = h("canvas", { "aria-hidden": "true" });
    this.over = h("canvas.over", { tabindex: 0, role: "img", "aria-label": name });
    this.tip = h("div.chart-tip", { hidden: true });
    this.spoken = h("span.unseen", { "aria-live": "polite" });
    this.reset = button([icon("reset"), "Show all"], () => this.zoomTo(null), { kind: "tiny chart-reset", hidden: true });
    this.frame = h("div.many-frame", {}, this.canvas, this.over, this.tip, this.reset);
    this.element = h("div.chart.many", {}, this.frame, this.spoken);
    this.#listen();
  }

  close() {
    this.observer.disconnect();
    removeEventListener("resize", this.onResize);
    clearTimeout(this.#moving);
  }

  /** Show lines [{id, label, color, x, y, raw}] along an axis {xLabel, formatX, isLog}. */
  show(lines, about) {
    this.#lines = lines;
    this.#about = about;
    this.#isHeavy = lines.reduce((points, { x }) => points + x.length, 0) > HEAVY_POINTS;
    this.redraw();
  }

  zoomTo(zoom, isTold = true) {
    const isOnlyMoved = this.#isHeavy && (!this.#isStale || this.#isMoved);
    this.#zoom = zoom;
    if (this.#isHeavy) {
      clearTimeout(this.#moving);
      this.#moving = setTimeout(() => {
        this.#moving = null;
        this.redraw();
      }, MOVING_MS);
    }
    this.redraw();
    this.#isMoved = isOnlyMoved;
    if (isTold) this.onZoom(zoom);
  }

  /** Pick out the run of that id, or none. */
  pick(id) {
    if (this.#picked === id) return;
    this.#picked = id;
    this.redraw(false);
  }

  redraw(isStale = true) {
    this.#isStale ||= isStale;
    if (isStale) this.#isMoved = false;
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      if (this.#isStale) this.#draw(this.#isMoved);
      this.#isStale = this.#isMoved = false;
      this.#drawOver();
    });
  }

  #listen() {
    const { over } = this;
    this.observer = new ResizeObserver(() => this.redraw());
    this.observer.observe(this.frame);
    this.onResize = () => this.redraw();
    addEventListener("resize", this.onResize); // other colours are told so, too
    over.addEventListener("pointermove", (event) => this.#moved(event));
    over.addEventListener("pointerleave", () => this.#left());
    over.addEventListener("pointerdown", (event) => this.#pressed(event));
    over.addEventListener("pointerup", () => this.#released());
    over.addEventListener("pointercancel", () => (this.#drag = null));
    over.addEventListener("dblclick", () => this.zoomTo(null));
    over.addEventListener("wheel", (event) => this.#wheeled(event), { passive: false });
    over.addEventListener("keydown", (event) => this.#keyed(event));
  }

  #place(event) {
    const box = this.over.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #moved(event) {
    this.#at = this.#place(event);
    if (this.#drag?.isPan) this.#panTo(this.#at[0]);
    else this.#pickNearest();
    this.redraw(false);
  }

  #left() {
    if (this.#drag) return;
    this.#at = null;
    this.#choose(null);
    this.redraw(false);
  }

  #pressed(event) {
    if (event.button !== 0 || event.pointerType === "touch" || !this.#view) return;
    this.over.setPointerCapture(event.pointerId);
    const [across] = this.#place(event);
    this.#drag = { from: across, isPan: event.shiftKey, range: this.#range() };
  }

  #released() {
    const drag = this.#drag;
    this.#drag = null;
    if (!drag || drag.isPan || !this.#at || !this.#view) return this.redraw(false);
    const [from, to] = [drag.from, this.#at[0]].sort((one, other) => one - other).map((at) => this.#view.x.invert(at));
    if (Math.abs(this.#at[0] - drag.from) > LEAST_DRAG) this.zoomTo([from, to]);
    else if (this.#picked !== null) this.onOpen(this.#picked);
    this.redraw(false);
  }

  #panTo(across) {
    const { from, range } = this.#drag;
    const way = ((across - from) / (this.#view.area.right - this.#view.area.left)) * (range[1] - range[0]);
    this.#shift(range, -way);
  }

  #shift([from, to], way) {
    const [low, high] = this.#whole();
    const room = Math.max(low - from, Math.min(high - to, way));
    this.zoomTo([from + room, to + room]);
  }

  /** Ctrl and the wheel zoom around the pointer; sideways, or with Shift, the wheel pans. */
  #wheeled(event) {
    const [from, to] = this.#range();
    if (!this.#view || !(event.ctrlKey || event.shiftKey || event.deltaX)) return;
    event.preventDefault();
    if (!event.ctrlKey) return this.#shift([from, to], ((event.deltaX || event.deltaY) / 1_000) * (to - from));
    const at = this.#view.x.invert(this.#place(event)[0]);
    const factor = Math.exp(event.deltaY / 300);
    this.#zoomAround(at, factor);
  }

  #zoomAround(at, factor) {
    const [from, to] = this.#range();
    const [low, high] = this.#whole();
    const zoom = [Math.max(low, at - (at - from) * factor), Math.min(high, at + (to - at) * factor)];
    this.zoomTo(zoom[0] <= low && zoom[1] >= high ? null : zoom);
  }

  /** Up and down go from run to run, left and right pan, + and - zoom, 0 and Escape show all. */
  #keyed(event) {
    const [from, to] = this.#range();
    const keys = {
      ArrowUp: () => this.#step(-1),
      ArrowDown: () => this.#step(1),
      ArrowLeft: () => this.#shift([from, to], -(to - from) / 10),
      ArrowRight: () => this.#shift([from, to], (to - from) / 10),
      "+": () => this.#zoomAround((from + to) / 2, 0.5),
      "-": () => this.#zoomAround((from + to) / 2, 2),
      0: () => this.zoomTo(null),
      Escape: () => this.zoomTo(null),
      Enter: () => this.#picked !== null && this.onOpen(this.#picked),
    };
    if (!keys[event.key] || event.ctrlKey || event.metaKey || !this.#lines.length) return;
    event.preventDefault();
    keys[event.key]();
  }

  #step(by) {
    const index = this.#lines.findIndex(({ id }) => id === this.#picked);
    const line = this.#lines[(index + by + this.#lines.length) % this.#lines.length];
    this.#choose(line.id);
    say(this.spoken, `${line.label}: ${value(line.y.findLast?.(Number.isFinite))}`);
  }

  #choose(id) {
    if (this.#picked === id) return;
    this.#picked = id;
    this.onPick(id);
    this.redraw(false);
  }

  #pickNearest() {
    if (!this.#view || this.#drag) return;
    const { x, y } = this.#view;
    const [across, down] = this.#at;
    const at = x.invert(across);
    let best = { id: null, far: REACH };
    for (const line of this.#lines) {
      const index = nearest(line.x, at);
      if (index < 0) continue;
      const spot = Math.hypot(x(line.x[index]) - across, y(line.y[index]) - down);
      const along = Math.abs(y(valueAt(line, at)) - down);
      for (const far of [spot, along]) if (far < best.far) best = { id: line.id, far }; // NaN is nowhere
    }
    this.#choose(best.id);
  }

  #whole() {
    const found = extent(this.#lines.map(({ x }) => (x.length ? [x[0], x.at(-1)] : [])), false) ?? [0, 1];
    return [Math.min(0, found[0]), found[1] > found[0] || found[1] > 0 ? found[1] : found[0] + 1];
  }

  #range() {
    return this.#zoom ?? this.#whole();
  }

  #draw(isMoved) {
    const began = performance.now();
    this.#paint(isMoved);
    requestAnimationFrame(() => (this.tookMs = performance.now() - began)); // what is put on the screen counts, too
  }

  #paint(isMoved) {
    const width = this.frame.clientWidth;
    this.reset.hidden = this.#zoom === null;
    if (!width) return;
    const pen = sized(this.canvas, width, HEIGHT);
    pen.font = `11px ${getComputedStyle(this.element).fontFamily}`;
    const range = this.#range();
    if (isMoved && this.#view?.width === width) this.#move(range);
    else this.#layOut(pen, width, range);
    this.#grid(pen);
    this.#ink.put(pen, this.#lines, this.#view);
  }

  /** Take another range along x; heights stay, so that the picture of the curves can be moved. */
  #move([from, to]) {
    const { x, area } = this.#view;
    const span = x.invert(area.right) - x.invert(area.left);
    const isPan = Math.abs(to - from - span) < span * 1e-6;
    this.#view.x = isPan && this.#view.isWhole ? this.#ink.pan(this.#lines, from) : scale(from, to, area.left, area.right);
    this.#view.isWhole &&= isPan;
  }

  #layOut(pen, width, [from, to]) {
    const found = extent(this.#lines.map((line) => within(line, from, to).y), this.#about.isLog);
    const isLog = this.#about.isLog && found !== null;
    const y = scale(...padded(found ?? [0, 1], isLog), HEIGHT - EDGE.bottom, EDGE.top, isLog);
    const marks = y.ticks(6);
    const left = Math.round(14 + Math.max(24, ...marks.map((mark) => pen.measureText(value(mark)).width)));
    const area = { left, right: width - EDGE.right, top: EDGE.top, bottom: HEIGHT - EDGE.bottom };
    this.#view = { x: scale(from, to, left, area.right), y, area, width, marks, isWhole: true };
    this.#ink.draw(this.#lines, this.#view);
  }

  #grid(pen) {
    const { x, y, area, marks } = this.#view;
    const style = getComputedStyle(this.element);
    Object.assign(pen, { lineWidth: 1, strokeStyle: style.outlineColor, fillStyle: style.color, textBaseline: "middle", textAlign: "right" });
    pen.beginPath();
    for (const mark of marks) {
      const at = Math.round(y(mark)) + 0.5;
      pen.moveTo(area.left, at);
      pen.lineTo(area.right, at);
      pen.fillText(value(mark), area.left - 8, at);
    }
    pen.stroke();
    Object.assign(pen, { textBaseline: "alphabetic", textAlign: "center" });
    for (const mark of x.ticks(Math.max(2, (area.right - area.left) / 96))) pen.fillText(this.#about.formatX(mark), Math.min(area.right - 10, Math.max(area.left + 6, x(mark))), area.bottom + 17);
    pen.fillText(this.#about.xLabel, (area.left + area.right) / 2, area.bottom + 34);
  }

  #drawOver() {
    const width = this.frame.clientWidth;
    if (!width || !this.#view) return;
    const pen = sized(this.over, width, HEIGHT);
    const line = this.#lines.find(({ id }) => id === this.#picked);
    this.canvas.classList.toggle("dimmed", Boolean(line));
    const { area, x, y } = this.#view;
    if (this.#drag && !this.#drag.isPan && this.#at) {
      pen.fillStyle = getComputedStyle(this.element).caretColor;
      pen.globalAlpha = 0.35;
      pen.fillRect(this.#drag.from, area.top, this.#at[0] - this.#drag.from, area.bottom - area.top);
      pen.globalAlpha = 1;
    }
    this.tip.hidden = !line;
    if (!line) return;
    const [from, to] = this.#range();
    clipped(pen, area, () => stroked(pen, this.#view, within(line, from, to), 2.5, 1));
    const index = this.#at ? nearest(line.x, x.invert(this.#at[0])) : line.x.length - 1;
    pen.fillStyle = line.color;
    pen.beginPath();
    pen.arc(x(line.x[index]), y(line.y[index]), 4, 0, Math.PI * 2);
    if (Number.isFinite(line.y[index])) pen.fill();
    this.#tell(line, index, width);
  }

  #tell(line, index, width) {
    fill(
      this.tip,
      h("span.key", {}, h("span.swatch", { vars: { run: line.color } }), h("b", {}, line.label)),
      h("span.muted", {}, `${this.#about.xLabel} ${this.#about.formatX(line.x[index])}`),
      h("span", {}, value(line.raw ? line.raw[index] : line.y[index]), line.raw && h("span.muted", {}, ` smoothed ${value(line.y[index])}`)),
    );
    const x = this.#at ? this.#at[0] : this.#view.x(line.x[index]);
    const y = Math.min(HEIGHT - 90, this.#at ? this.#at[1] : this.#view.y(line.y[index]) || 0);
    const left = x > width / 2 ? x - this.tip.offsetWidth - 16 : x + 16;
    this.tip.style.transform = `translate(${Math.round(Math.max(0, left))}px, ${Math.round(Math.max(4, y))}px)`;
  }

  /** Return the chart as it is now as a picture, with a heading and the names of the first runs below. */
  picture(heading) {
    const ratio = devicePixelRatio || 1;
    const [width, named] = [this.frame.clientWidth, this.#lines.slice(0, 12)];
    const made = h("canvas");
    const style = getComputedStyle(this.element);
    const rest = this.#lines.length - named.length;
    const pen = sized(made, width, HEIGHT + 48 + 18 * Math.ceil((named.length + (rest > 0)) / 3));
    pen.fillStyle = getComputedStyle(document.body).backgroundColor;
    if (/, 0\)$/.test(pen.fillStyle) || pen.fillStyle === "transparent") pen.fillStyle = getComputedStyle(document.documentElement).backgroundColor;
    pen.fillRect(0, 0, width, made.height);
    pen.fillStyle = getComputedStyle(document.body).color;
    pen.font = `600 14px ${style.fontFamily}`;
    pen.fillText(heading, 16, 24);
    pen.drawImage(this.canvas, 0, 36, this.canvas.width / ratio, this.canvas.height / ratio);
    pen.font = `12px ${style.fontFamily}`;
    const place = (index) => [16 + (index % 3) * (width / 3), HEIGHT + 50 + 18 * Math.floor(index / 3)];
    named.forEach(({ label, color }, index) => {
      const [across, down] = place(index);
      pen.fillStyle = color;
      pen.fillRect(across, down - 6, 12, 3);
      pen.fillStyle = style.color;
      pen.fillText(label, across + 18, down, width / 3 - 40);
    });
    if (rest > 0) pen.fillText(`and ${rest} more`, ...place(named.length));
    return new Promise((resolve) => made.toBlob(resolve, "image/png"));
  }
}

/** Return the height of the line at x; NaN beside it. */
function valueAt({ x, y }, at) {
  const index = before(x, at);
  if (index < 0 || index + 1 >= x.length) return NaN;
  return y[index] + ((at - x[index]) / (x[index + 1] - x[index])) * (y[index + 1] - y[index]);
}
