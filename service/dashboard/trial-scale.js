// What a study's charts share: where a value stands on its axis, from 0 to 1, and how good a trial is.

import { value } from "./format.js";
import { scale } from "./scale.js";
import { written } from "./schema.js";

/** Return the axis of a searched field: {label, place(found) -> 0 to 1 or NaN, marks: [[place, text], ...]}. */
export function axisOf(path, dimension) {
  if (dimension.choices) return choices(path, dimension.choices);
  return numbers(path, dimension.low, dimension.high, Boolean(dimension.log));
}

/** Return the axis of what trials are compared by. */
export function axisOfValues(label, trials) {
  const found = trials.map((trial) => trial.value).filter(Number.isFinite).sort((one, other) => one - other);
  if (!found.length) return numbers(label, 0, 1, false);
  const [low, high] = [found[0], found.at(-1)];
  return numbers(label, low, high, low > 0 && high / low > 20);
}

function numbers(label, low, high, isLog) {
  if (low === high) return { label, place: (one) => (one === low ? 0.5 : NaN), marks: [[0.5, value(low)]] };
  const place = scale(low, high, 0, 1, isLog);
  return { label, place: (one) => (typeof one === "number" ? place(one) : NaN), marks: place.ticks(4).map((mark) => [place(mark), value(mark)]) };
}

function choices(label, all) {
  const keys = all.map((one) => JSON.stringify(one));
  const at = (index) => (index + 0.5) / keys.length;
  return {
    label,
    place: (one) => (one === undefined ? NaN : ((index) => (index < 0 ? NaN : at(index)))(keys.indexOf(JSON.stringify(one)))),
    marks: all.map((one, index) => [at(index), written(one)]),
  };
}

/** Return the params of a trial that its kind of model has, as [[path, value], ...]. */
export const usedOf = (study, params) => Object.entries(params).filter(([path]) => uses(study, params, path));

/** Return whether a trial's kind of model has a field; with `kinds`, whether it is one of these. */
export function uses({ judged_among: among = {} }, params, path, kinds = among[path]?.flat()) {
  return !kinds || kinds.includes(params.model?.kind ?? params.model);
}

/** Return how good each trial is, by its number: 0 the best, 1 the worst; nothing of those without a value. */
export function ranks(trials, isUp) {
  const sign = isUp ? -1 : 1;
  const found = trials.filter(({ value: one }) => Number.isFinite(one)).sort((one, other) => sign * (one.value - other.value));
  return new Map(found.map(({ trial }, index) => [trial, found.length > 1 ? index / (found.length - 1) : 0]));
}

/** Return the colour of a rank: the better, the stronger. */
export const colorOf = (rank) => (rank === undefined ? "oklch(0.6 0 0 / 0.25)" : `oklch(0.6 0.19 ${Math.round(282 - rank * 40)} / ${(1 - 0.82 * rank).toFixed(3)})`);
