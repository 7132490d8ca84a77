// Curves as a picture that is kept: while a chart is panned only what comes into view is drawn, and while it is zoomed
// the picture is stretched. Strokes cost a hundred times what moving a picture does.

import { h } from "./dom.js";
import { stroke } from "./paint.js";
import { before, scale } from "./scale.js";

export const MARGIN = 4; // pixels around the area into which curves may reach
const FEW = 30; // curves that are drawn at full strength

export class Ink {
  #canvas = h("canvas");
  #view = null; // {x, y, area} that the picture shows
  #ratio = 1;

  /** Draw the lines in full. */
  draw(lines, view) {
    this.#ratio = devicePixelRatio || 1;
    this.#view = { ...view };
    const [width, height] = this.#size();
    Object.assign(this.#canvas, { width, height }); // that clears it, too
    this.#stroke(this.#canvas.getContext("2d"), lines, 0, width);
  }

  /** Move the picture to where x begins at `from`, by whole pixels, and draw what comes into view; returns the scale of x then. */
  pan(lines, from) {
    const { x, area } = this.#view;
    const by = Math.round((x(from) - area.left) * this.#ratio);
    const ends = [area.left, area.right].map((at) => x.invert(at + by / this.#ratio));
    this.#view = { ...this.#view, x: scale(...ends, area.left, area.right) };
    const { width } = this.#canvas;
    const pen = this.#canvas.getContext("2d");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.globalCompositeOperation = "copy";
    pen.drawImage(this.#canvas, -by, 0);
    pen.globalCompositeOperation = "source-over";
    if (by > 0) this.#stroke(pen, lines, Math.max(0, width - by), width);
    if (by < 0) this.#stroke(pen, lines, 0, Math.min(width, -by));
    return this.#view.x;
  }

  /** Put the picture on a chart that shows the same range, or stretch it where the range is another. */
  put(pen, lines, view) {
    const { x, area } = this.#view;
    const ends = [area.left - MARGIN, area.right + MARGIN];
    const [left, right] = view.x === x ? ends : ends.map((at) => view.x(x.invert(at)));
    const top = area.top - MARGIN;
    clipped(pen, area, () => {
      pen.drawImage(this.#canvas, left, top, right - left, area.bottom - area.top + 2 * MARGIN);
      for (const [from, to] of [[area.left - MARGIN, left], [right, area.right + MARGIN]]) {
        if (to - from > 1) strip(pen, { area, from, to }, () => strokeAll(pen, lines, view, from, to));
      }
    });
  }

  #size() {
    const { left, right, top, bottom } = this.#view.area;
    return [right - left + 2 * MARGIN, bottom - top + 2 * MARGIN].map((size) => Math.round(size * this.#ratio));
  }

  /** Draw all lines within these columns of the picture. */
  #stroke(pen, lines, first, last) {
    const { area } = this.#view;
    const [left, top] = [area.left - MARGIN, area.top - MARGIN];
    pen.save();
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.beginPath();
    pen.rect(first, 0, last - first, this.#canvas.height);
    pen.clip();
    pen.setTransform(this.#ratio, 0, 0, this.#ratio, -left * this.#ratio, -top * this.#ratio);
    strokeAll(pen, lines, this.#view, left + first / this.#ratio, left + last / this.#ratio);
    pen.restore();
  }
}

/** Draw the lines between two places of the chart, in pixels. */
function strokeAll(pen, lines, view, from, to) {
  const [low, high] = [view.x.invert(from), view.x.invert(to)];
  const isMany = lines.length > FEW;
  for (const line of lines) {
    const seen = within(line, low, high);
    if (seen.raw) stroked(pen, view, { ...seen, y: seen.raw }, 1, 0.25);
    stroked(pen, view, seen, isMany ? 1 : 1.5, isMany ? 0.8 : 1);
  }
}

/** Give a canvas this size in the page's pixels, and return a pen on it, which is clear. */
export function sized(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== across || canvas.height !== down) Object.assign(canvas, { width: across, height: down });
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return pen;
}

/** Draw within the chart's area, and the little around it that curves may take. */
export function clipped(pen, { left, right, top, bottom }, paint) {
  strip(pen, { from: left, to: right + MARGIN, area: { top, bottom } }, paint);
}

function strip(pen, { from, to, area }, paint) {
  pen.save();
  pen.beginPath();
  pen.rect(from, area.top - MARGIN, to - from, area.bottom - area.top + 2 * MARGIN);
  pen.clip();
  paint();
  pen.restore();
}

/** Draw one line of a width and a strength. */
export function stroked(pen, view, line, width, alpha) {
  pen.globalAlpha = alpha;
  pen.lineJoin = "round";
  pen.fillStyle = line.color;
  if (line.x.length === 1) pen.fillRect(view.x(line.x[0]) - 2, view.y(line.y[0]) - 2, 4, 4);
  stroke(pen, view, line.x, line.y, line.color, width);
  pen.globalAlpha = 1;
}

/** Return the part of a line between two places along x, with the point before and the one after. */
export function within(line, from, to) {
  const [first, last] = [Math.max(0, before(line.x, from)), Math.min(line.x.length, before(line.x, to) + 2)];
  const part = (list) => list.slice(first, last);
  return { ...line, x: part(line.x), y: part(line.y), raw: line.raw && part(line.raw) };
}
