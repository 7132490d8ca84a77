// What one setting did: every compared run as a point, the setting along and the metric up.

import { fill, h, say } from "./dom.js";
import { title } from "./format.js";
import { compared } from "./order.js";
import { colorOf } from "./runs.js";
import { scores } from "./store.js";
import { Points } from "./trial-charts.js";
import { axisOf, axisOfValues } from "./trial-scale.js";

const MOST_CHOICES = 24; // that can be told apart beside each other
const WIDE = 20; // from this ratio on numbers stand on a logarithmic axis

export class SettingChart {
  #runs = [];
  #settings = new Map(); // job id -> {path: value}
  #metric = "";
  #path;

  /** `path` is the setting to show first, or null; `onSet(path)` hears which one was chosen. */
  constructor({ path, onSet, onPick, onOpen }) {
    this.#path = path;
    this.choice = h("select", { "aria-label": "Setting", on: { change: () => this.#choose(onSet) } });
    this.chart = new Points("The chosen setting and the metric of each run", 240, { onPick: (place) => onPick(this.#idAt(place)), onOpen: (place) => onOpen(this.#idAt(place)) });
    this.heading = h("h2");
    this.note = h("p.muted.note");
    this.element = h("section.panel", { hidden: true }, this.heading, h("div.compare-tools", {}, this.choice, this.note), this.chart.element);
  }

  close() {
    this.chart.close();
  }

  /** Show runs by what they were trained with, {id: {path: value}}, and how good they are by a metric. */
  show(runs, { settings, paths, metric }) {
    this.shown = paths.filter((path) => distinct(path, settings).length > 1);
    this.#runs = runs.filter(({ job, isHidden }) => job && !isHidden);
    this.#settings = settings;
    this.#metric = metric;
    this.element.hidden = this.shown.length === 0 || this.#runs.length < 2;
    if (this.element.hidden) return;
    const key = this.shown.join("\n");
    const path = this.#current();
    if (this.choice.dataset.key !== key) fill(this.choice, this.shown.map((one) => h("option", { value: one }, one)));
    this.choice.dataset.key = key;
    this.choice.value = path;
    this.#draw(path);
  }

  /** Pick out the run of that id, or none. */
  pick(id) {
    this.chart.pick(this.#runs.find((run) => run.id === id)?.place ?? null);
  }

  #choose(onSet) {
    this.#path = this.choice.value;
    onSet(this.#path);
    this.#draw(this.#path);
  }

  #idAt(place) {
    return this.#runs.find((run) => run.place === place)?.id ?? null;
  }

  /** Return the chosen setting; where none is, the one of which most values were tried. */
  #current() {
    if (this.shown.includes(this.#path)) return this.#path;
    const tried = (path) => distinct(path, this.#settings).length;
    return this.shown.reduce((most, path) => (tried(path) > tried(most) ? path : most));
  }

  #draw(path) {
    const of = ({ id }) => this.#settings.get(id)?.[path];
    const measured = this.#runs.map((run) => ({ run, found: of(run), value: scores(run.job)[this.#metric] })).filter(({ found, value }) => found !== undefined && Number.isFinite(value));
    const x = axisOf(path, dimensionOf(distinct(path, this.#settings)));
    const y = axisOfValues(title(this.#metric), measured);
    const points = measured.map(({ run, found, value }) => ({ trial: run.place, x: x.place(found), y: y.place(value), color: colorOf(run.place) })).filter((point) => Number.isFinite(point.x));
    const left = this.#runs.length - points.length;
    say(this.heading, `${title(this.#metric)} by ${path}`);
    say(this.note, left ? `${left} without either are not shown.` : "");
    this.chart.show({ x, y, points });
  }
}

/** Return the different values of a setting, in order. */
function distinct(path, settings) {
  const found = new Map();
  for (const values of settings.values()) if (values[path] !== undefined && values[path] !== null) found.set(JSON.stringify(values[path]), values[path]);
  return [...found.values()].sort((one, other) => compared(one, other));
}

/** Return what an axis needs: a range where all are numbers, else each value as a choice. */
function dimensionOf(values) {
  if (!values.every(Number.isFinite)) return { choices: values.slice(0, MOST_CHOICES) };
  const [low, high] = [values[0], values.at(-1)];
  return { low, high, log: low > 0 && high / low >= WIDE };
}
