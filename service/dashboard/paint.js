// How a chart is drawn: grid, marks, curves, pointer. Pure drawing on a canvas; knows neither data nor events.

import { count } from "./format.js";
import { nearest, ticks } from "./scale.js";

/** Draw one frame; `view` holds the scales, the area, the visible series and what is marked. */
export function paint(pen, view) {
  grid(pen, view);
  pen.save();
  pen.beginPath();
  pen.rect(view.area.left, view.area.top - 4, view.area.right - view.area.left + 4, view.area.bottom - view.area.top + 6);
  pen.clip();
  for (const { attempt, resumed_from_step: step } of view.attempts) rule(pen, view, step, `attempt ${attempt}`, freeHeight(view, step, view.area.bottom - 6));
  for (const { step, label } of view.changes) rule(pen, view, step, label, freeHeight(view, step, view.area.top + 24, 16));
  if (view.best) rule(pen, view, view.best.step, view.best.label, freeHeight(view, view.best.step, view.area.top + 8));
  if (view.baseline) baseline(pen, view);
  for (const series of view.seen) curve(pen, view, series);
  if (view.drag) selection(pen, view);
  pointer(pen, view);
  pen.restore();
}

function grid(pen, { x, y, area, marks, format, colors }) {
  pen.lineWidth = 1;
  pen.fillStyle = colors.text;
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  for (const mark of marks) {
    const at = Math.round(y(mark)) + 0.5;
    line(pen, [area.left, at], [area.right, at], colors.line);
    pen.fillText(format(mark), area.left - 8, at);
  }
  pen.textBaseline = "alphabetic";
  const steps = ticks(x.invert(area.left), x.invert(area.right), (area.right - area.left) / 80);
  for (const step of steps.filter(Number.isInteger)) {
    const at = x(step);
    pen.textAlign = at > area.right - 16 ? "right" : at < area.left + 8 ? "left" : "center";
    pen.fillText(count(step), Math.min(at, area.right), area.bottom + 17);
  }
  pen.textAlign = "center";
  pen.fillText("Gradient step", (area.left + area.right) / 2, area.bottom + 33);
}

/** Write a word over curves: the panel shines around it. */
function word(pen, colors, text, x, y) {
  pen.lineWidth = 4;
  pen.strokeStyle = colors.back;
  pen.strokeText(text, x, y);
  pen.fillStyle = colors.text;
  pen.fillText(text, x, y);
}

function line(pen, from, to, color, dash = []) {
  pen.strokeStyle = color;
  pen.setLineDash(dash);
  pen.beginPath();
  pen.moveTo(...from);
  pen.lineTo(...to);
  pen.stroke();
  pen.setLineDash([]);
}

function rule(pen, { x, area, colors }, step, label, height) {
  const at = Math.round(x(step)) + 0.5;
  pen.lineWidth = 1;
  line(pen, [at, area.top], [at, area.bottom], colors.text, [2, 3]);
  const isRight = at > (area.left + area.right) / 2;
  pen.textAlign = isRight ? "right" : "left";
  word(pen, colors, label, isRight ? at - 6 : at + 6, height);
}

/** Return where a word can stand at this step: at the wanted height, or below the middle where a curve runs through that. */
function freeHeight({ seen, y, area }, step, wanted, below = 0) {
  const isTaken = seen.some((series) => Math.abs(y((series.mean ?? series.y)[nearest(series.x, step)]) - wanted) < 24);
  return isTaken ? (area.top + area.bottom) / 2 + below : wanted;
}

function baseline(pen, { y, area, colors, baseline: { value, label } }) {
  const raw = y(value);
  const isInside = raw >= area.top && raw <= area.bottom;
  const at = Math.round(Math.min(area.bottom - 2, Math.max(area.top + 2, raw))) + 0.5;
  pen.lineWidth = 1;
  if (isInside) line(pen, [area.left, at], [area.right, at], colors.strong, [5, 4]);
  pen.textAlign = "right";
  const sign = isInside ? "" : raw < area.top ? " ↑" : " ↓";
  word(pen, colors, `${label}${sign}`, area.right - 4, at < area.top + 32 ? Math.max(at + 13, area.top + 24) : at - 6);
}

function curve(pen, view, series) {
  const color = view.colors.series[view.seen.indexOf(series)] ?? view.colors.strong;
  pen.lineJoin = "round";
  if (series.mean) {
    pen.globalAlpha = 0.36;
    stroke(pen, view, series.x, series.y, color, 1);
    pen.globalAlpha = 1;
  }
  stroke(pen, view, series.x, series.mean ?? series.y, color, 1.75);
  if (series.hasDots && series.x.length <= 60) series.x.forEach((step, index) => dot(pen, view, step, series.y[index], color, 2));
  const best = view.best && series.hasDots ? nearest(series.x, view.best.step) : -1;
  if (best >= 0) dot(pen, view, series.x[best], series.y[best], color, 4.5);
}

/** Stroke a line; where many points share a pixel only their first, lowest, highest and last are drawn. */
export function stroke(pen, { x, y }, xs, ys, color, width) {
  pen.strokeStyle = color;
  pen.lineWidth = width;
  pen.beginPath();
  let isDown = false;
  let column = null;
  for (let index = 0; index < xs.length; index += 1) {
    const [across, down] = [x(xs[index]), y(ys[index])];
    if (!Number.isFinite(down)) {
      isDown = false;
      continue;
    }
    const isSame = column !== null && Math.abs(across - column.at) < 0.5 && index + 1 < xs.length;
    if (isSame && down > column.low && down < column.high) continue;
    if (isDown) pen.lineTo(across, down);
    else pen.moveTo(across, down);
    column = isSame ? { at: column.at, low: Math.min(column.low, down), high: Math.max(column.high, down) } : { at: across, low: down, high: down };
    isDown = true;
  }
  pen.stroke();
}

function dot(pen, { x, y }, step, value, color, radius) {
  if (!Number.isFinite(value)) return;
  pen.fillStyle = color;
  pen.beginPath();
  pen.arc(x(step), y(value), radius, 0, Math.PI * 2);
  pen.fill();
}

function selection(pen, { x, area, drag, colors }) {
  pen.globalAlpha = 0.12;
  pen.fillStyle = colors.strong;
  pen.fillRect(x(drag.from), area.top, x(drag.to) - x(drag.from), area.bottom - area.top);
  pen.globalAlpha = 1;
}

function pointer(pen, view) {
  if (view.at === null) return;
  const across = Math.round(view.x(view.at)) + 0.5;
  pen.lineWidth = 1;
  line(pen, [across, view.area.top], [across, view.area.bottom], view.colors.text);
  view.seen.forEach((series, index) => {
    const found = nearest(series.x, view.at);
    if (found >= 0) dot(pen, view, series.x[found], (series.mean ?? series.y)[found], view.colors.series[index], 3.5);
  });
}
