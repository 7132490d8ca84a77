// The numbers behind a job's charts: the downsampled past in one answer, grown by live events, rewound where a
// resumed attempt takes steps again.

import { before } from "./scale.js";

const MOST = 6_000; // points of one series before every second older one is let go

export class Curves {
  series = new Map(); // name -> {x: steps, y: values; NaN where not finite}
  #bests = []; // {epoch, step, monitor} of each epoch that was the best so far
  attempts = []; // [{attempt, resumed_from_step}]
  known = new Set(); // of all series, those too that were not asked for
  seq = 0; // of the newest event in it
  #epochAt = { x: [], y: [] }; // steps and the epoch that ended there
  #secondsAt = { x: [], y: [] }; // steps and the seconds of running until then
  #heardAt = null; // when the newest live point was taken

  /** Take the server's downsampled curve. */
  load(answer) {
    this.series.clear();
    for (const [name, { step, value }] of Object.entries(answer.series ?? {})) {
      this.series.set(name, { x: [...step], y: value.map((number) => number ?? NaN) });
    }
    this.known = new Set(answer.names ?? Object.keys(answer.series ?? {}));
    this.attempts = [...(answer.attempts ?? [])];
    this.#epochAt = { x: [], y: [] };
    this.#secondsAt = { x: [...(answer.seconds?.step ?? [])], y: [...(answer.seconds?.value ?? [])] };
    this.#heardAt = null;
    this.#bests = [];
    for (const ended of answer.epochs ?? []) this.#epochEnded(ended);
    this.seq = answer.last_seq;
  }

  /** Take one event; returns whether a curve changed. */
  add(event) {
    this.seq = Math.max(this.seq, event.seq);
    if (event.step !== undefined && ["progress", "epoch", "metric"].includes(event.type)) this.#timed(event);
    switch (event.type) {
      case "state":
        return this.#entered(event);
      case "progress":
        this.#point("loss", event.step, event.loss);
        for (const name of ["lr", "samples_per_s"]) if (event[name] !== undefined) this.#point(name, event.step, event[name]);
        this.#points("custom", event.step, event.metrics);
        return true;
      case "epoch":
        this.#point("train_loss", event.step, event.train_loss);
        this.#points("metrics", event.step, event.metrics);
        if (event.val_loss !== undefined) this.#point("val_loss", event.step, event.val_loss);
        this.#epochEnded(event);
        return true;
      case "metric":
        this.#points("custom", event.step, event.values);
        return true;
      default:
        return false;
    }
  }

  /** Return the series of that name, empty if there is none. */
  get(name) {
    return this.series.get(name) ?? { x: [], y: [] };
  }

  /** Return the names that start so, without that start: names("metrics.") -> ["rmse", "mae"]. */
  names(start) {
    return [...this.series.keys()].filter((name) => name.startsWith(start)).map((name) => name.slice(start.length));
  }

  /** Return the epoch that a step was taken in, as far as it is known. */
  epochOf(step) {
    const { x, y } = this.#epochAt;
    const index = x.findIndex((end) => end >= step);
    return index < 0 ? (y.at(-1) ?? 0) + 1 : y[index];
  }

  /** Return how many epochs a step is from the start, in parts too; NaN where no epoch is known. */
  epochsAt(step) {
    return between(this.#epochAt, step);
  }

  /** Return the seconds of running until a step; NaN where none are known. */
  secondsAt(step) {
    return between(this.#secondsAt, step);
  }

  /** The best epoch so far, {epoch, step, monitor}, or null. */
  get best() {
    return this.#bests.at(-1) ?? null;
  }

  get lastStep() {
    return Math.max(0, ...[...this.series.values()].map(({ x }) => x.at(-1) ?? 0));
  }

  #epochEnded({ epoch, step, is_best: isBest, monitor = "val_loss" }) {
    this.#epochAt.x.push(step);
    this.#epochAt.y.push(epoch);
    if (isBest) this.#bests.push({ epoch, step, monitor });
  }

  #entered(event) {
    if (event.status === "RUNNING") this.#heardAt = event.ts;
    const from = event.resumed_from_step;
    if (from === undefined || from === null) return false;
    if (!this.attempts.some(({ attempt }) => attempt === event.attempt)) {
      this.attempts.push({ attempt: event.attempt, resumed_from_step: from });
    }
    for (const series of [...this.series.values(), this.#epochAt, this.#secondsAt]) rewind(series, from);
    this.#bests = this.#bests.filter((best) => best.step <= from);
    return true;
  }

  /** Note when a live step was taken; of the first since the past was loaded only the pace so far is known. */
  #timed({ step, ts }) {
    const { x, y } = this.#secondsAt;
    if (x.length && step <= x.at(-1)) return;
    const seconds = this.#heardAt === null ? between(this.#secondsAt, step) || 0 : (y.at(-1) ?? 0) + Math.max(0, ts - this.#heardAt);
    this.#heardAt = ts;
    x.push(step);
    y.push(seconds);
    if (x.length > MOST) thin(this.#secondsAt);
  }

  #points(start, step, values) {
    for (const [name, value] of Object.entries(values ?? {})) this.#point(`${start}.${name}`, step, value);
  }

  #point(name, step, value) {
    this.known.add(name);
    if (!this.series.has(name)) this.series.set(name, { x: [], y: [] });
    const series = this.series.get(name);
    if (series.x.length && step <= series.x.at(-1)) return;
    series.x.push(step);
    series.y.push(value ?? NaN);
    if (series.x.length > MOST) thin(series);
  }
}

/** Return the value at x of a line through the origin and these points, that goes on as it went; NaN without points. */
function between({ x, y }, at) {
  if (!x.length) return NaN;
  const index = Math.min(x.length - 1, before(x, at) + 1);
  const [x0, y0] = index > 0 ? [x[index - 1], y[index - 1]] : [0, 0];
  return x[index] === x0 ? y[index] : y0 + ((at - x0) / (x[index] - x0)) * (y[index] - y0);
}

function rewind(series, step) {
  let length = series.x.length;
  while (length && series.x[length - 1] > step) length -= 1;
  series.x.length = length;
  series.y.length = length;
}

function thin(series) {
  const isKept = (_, index) => index % 2 === 0 || index > MOST / 2;
  series.x = series.x.filter(isKept);
  series.y = series.y.filter(isKept);
}
