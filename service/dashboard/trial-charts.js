// A study's charts: trials as points over one axis, and as lines across all axes. The pointer picks out a trial.

import { h } from "./dom.js";
import { sized } from "./ink.js";

const EDGE = { top: 12, right: 16, bottom: 38 };
const REACH = 14; // pixels within which the pointer picks a trial
const TOP = 44; // of parallel coordinates: the names of the axes stand above

/** What both kinds of chart have: a canvas that is drawn once a frame at most, and a pointer. */
class TrialChart {
  #isDue = false;
  #isStale = true; // what the pointer does not change is to be drawn again
  #picked = null;
  #still = h("canvas"); // all but what is picked out

  constructor(name, height, { onPick, onOpen }) {
    Object.assign(this, { height, onPick, onOpen, spots: [] });
    this.canvas = h("canvas", { role: "img", "aria-label": name, vars: { height: `${height}px` } });
    this.element = h("div.chart.trial-chart", {}, this.canvas);
    this.observer = new ResizeObserver(() => this.redraw(true));
    this.observer.observe(this.element);
    this.canvas.addEventListener("pointermove", (event) => this.#moved(event));
    this.canvas.addEventListener("pointerleave", () => this.onPick(null));
    this.canvas.addEventListener("click", () => this.#picked !== null && this.onOpen(this.#picked));
  }

  close() {
    this.observer.disconnect();
  }

  show(data) {
    this.data = data;
    this.redraw(true);
  }

  /** Pick out the trial of that number, or none. */
  pick(trial) {
    if (this.#picked === trial) return;
    this.#picked = trial;
    this.canvas.classList.toggle("pointing", trial !== null);
    this.redraw();
  }

  get picked() {
    return this.#picked;
  }

  redraw(isStale = false) {
    this.#isStale ||= isStale;
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      const width = this.element.clientWidth;
      if (!width || !this.data) return;
      const style = getComputedStyle(this.element);
      const colors = { text: style.color, line: style.outlineColor, strong: getComputedStyle(document.body).color };
      if (this.#isStale) {
        const still = sized(this.#still, width, this.height);
        still.font = `11px ${style.fontFamily}`;
        this.draw(still, width, colors);
      }
      this.#isStale = false;
      const pen = sized(this.canvas, width, this.height);
      pen.globalAlpha = this.#picked === null ? 1 : this.faded;
      pen.drawImage(this.#still, 0, 0, width, this.height);
      pen.globalAlpha = 1;
      if (this.#picked !== null) this.mark(pen, colors);
    });
  }

  #moved(event) {
    const box = this.canvas.getBoundingClientRect();
    const [across, down] = [event.clientX - box.left, event.clientY - box.top];
    let best = { trial: null, far: REACH };
    for (const { trial, x, y } of this.spots) {
      const far = Math.hypot(x - across, y - down);
      if (far < best.far) best = { trial, far };
    }
    this.onPick(best.trial);
  }
}

/** Trials as points: `show({x, y, points: [{trial, x, y, color}], line: [[x, y], ...]})`, all places from 0 to 1. */
export class Points extends TrialChart {
  faded = 1;

  draw(pen, width, colors) {
    const { x, y, points, line = [] } = this.data;
    const left = 12 + Math.max(...y.marks.map(([, text]) => pen.measureText(text).width), 16);
    const [right, bottom] = [width - EDGE.right, this.height - EDGE.bottom];
    const across = (at) => left + at * (right - left);
    const down = (at) => bottom - at * (bottom - EDGE.top);
    marks(pen, colors, { x, y, across, down, right, bottom });
    if (line.length) {
      Object.assign(pen, { strokeStyle: "oklch(0.6 0.19 282)", lineWidth: 1.75 });
      pen.beginPath();
      line.forEach(([at, value], index) => {
        if (index) pen.lineTo(across(at), down(line[index - 1][1]));
        pen.lineTo(across(at), down(value));
      });
      pen.stroke();
    }
    this.spots = points.map(({ trial, x: at, y: value }) => ({ trial, x: across(at), y: down(value) }));
    points.forEach(({ color }, index) => dot(pen, this.spots[index], color, 3.5));
  }

  mark(pen, colors) {
    const index = this.spots.findIndex(({ trial }) => trial === this.picked);
    if (index < 0) return;
    dot(pen, this.spots[index], this.data.points[index].color, 6);
    ring(pen, this.spots[index], colors.strong);
  }
}

/** Trials as lines across all axes: `show({axes, lines: [{trial, places: [0 to 1 or NaN], color}]})`. */
export class Parallel extends TrialChart {
  faded = 0.35;

  draw(pen, width, colors) {
    const { axes, lines } = this.data;
    const [top, bottom] = [TOP, this.height - 16];
    const edge = Math.min(64, width / 8);
    const across = (index) => edge + (axes.length > 1 ? (index * (width - 2 * edge)) / (axes.length - 1) : 0);
    const down = (at) => bottom - at * (bottom - top);
    this.spots = [];
    this.spotsOf = (places) => places.map((at, index) => [across(index), down(at)]);
    pen.lineJoin = "round";
    for (const { trial, places, color } of lines) {
      this.#line(pen, this.spotsOf(places), color, 1.25);
      places.forEach((at, index) => Number.isFinite(at) && this.spots.push({ trial, x: across(index), y: down(at) }));
      for (let index = 1; index < places.length; index += 1) {
        const middle = (places[index - 1] + places[index]) / 2;
        if (Number.isFinite(middle)) this.spots.push({ trial, x: (across(index - 1) + across(index)) / 2, y: down(middle) });
      }
    }
    axes.forEach((axis, index) => this.#axis(pen, colors, axis, across(index), { top, bottom, down, room: (width - 2 * edge) / Math.max(1, axes.length - 1), isLast: index === axes.length - 1, isFirst: index === 0, index }));
  }

  mark(pen, colors) {
    const picked = this.data.lines.find(({ trial }) => trial === this.picked);
    if (picked) this.#line(pen, this.spotsOf(picked.places), colors.strong, 2.5);
  }

  /** Draw a line across all axes; it passes over those of fields that the trial does not have in dots. */
  #line(pen, places, color, width) {
    Object.assign(pen, { strokeStyle: color, lineWidth: width });
    const known = places.map(([x, y], index) => [x, y, index]).filter(([, y]) => Number.isFinite(y));
    for (const isGap of [false, true]) {
      pen.setLineDash(isGap ? [1, 5] : []);
      pen.beginPath();
      known.slice(1).forEach(([x, y, index], before) => {
        const [fromX, fromY, from] = known[before];
        if (index - from > 1 !== isGap) return;
        pen.moveTo(fromX, fromY);
        pen.lineTo(x, y);
      });
      pen.stroke();
    }
    pen.setLineDash([]);
  }

  #axis(pen, colors, { label, marks: all }, at, { top, bottom, down, room, isLast, isFirst, index }) {
    Object.assign(pen, { strokeStyle: colors.line, lineWidth: 1 });
    pen.beginPath();
    pen.moveTo(Math.round(at) + 0.5, top);
    pen.lineTo(Math.round(at) + 0.5, bottom);
    pen.stroke();
    Object.assign(pen, { fillStyle: colors.strong, textAlign: isFirst ? "left" : isLast ? "right" : "center", textBaseline: "alphabetic" });
    const isCrowded = room < 110;
    pen.fillText(cut(pen, label, isCrowded ? room * 1.8 : room - 8), isFirst ? Math.max(4, at - 40) : isLast ? at + 40 : at, isCrowded && index % 2 ? 14 : 30);
    Object.assign(pen, { fillStyle: colors.text, textAlign: isLast ? "right" : "left", textBaseline: "middle" });
    for (const [place, text] of all) pen.fillText(cut(pen, text, room - 12), at + (isLast ? -5 : 5), down(place));
  }
}

function marks(pen, colors, { x, y, across, down, right, bottom }) {
  Object.assign(pen, { strokeStyle: colors.line, fillStyle: colors.text, lineWidth: 1, textBaseline: "middle", textAlign: "right" });
  pen.beginPath();
  for (const [at, text] of y.marks) {
    const place = Math.round(down(at)) + 0.5;
    pen.moveTo(across(0), place);
    pen.lineTo(right, place);
    pen.fillText(text, across(0) - 8, place);
  }
  pen.stroke();
  Object.assign(pen, { textBaseline: "alphabetic", textAlign: "center" });
  const room = (right - across(0)) / Math.max(1, x.marks.length);
  for (const [at, text] of x.marks) pen.fillText(cut(pen, text, room), Math.min(right - 8, Math.max(across(0) + 4, across(at))), bottom + 16);
  pen.fillText(x.label, (across(0) + right) / 2, bottom + 32);
}

function dot(pen, { x, y }, color, radius) {
  if (!Number.isFinite(y)) return;
  pen.fillStyle = color;
  pen.beginPath();
  pen.arc(x, y, radius, 0, Math.PI * 2);
  pen.fill();
}

function ring(pen, { x, y }, color) {
  Object.assign(pen, { strokeStyle: color, lineWidth: 2 });
  pen.beginPath();
  pen.arc(x, y, 7, 0, Math.PI * 2);
  pen.stroke();
}

function cut(pen, text, room) {
  let shown = text;
  while (shown.length > 3 && pen.measureText(shown).width > room) shown = `${shown.slice(0, -2)}…`;
  return shown;
}
