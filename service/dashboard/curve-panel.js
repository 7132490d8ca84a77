// The charts of one job: the loss, every metric of the validation rows, the learning rate, the throughput.

import { wordsOf } from "./adjust.js";
import { Chart, ChartGroup } from "./chart.js";
import { Curves } from "./curves.js";
import { h, say } from "./dom.js";
import { brief, count, term, title, value } from "./format.js";
import { baselineOf, isOver } from "./store.js";

const MOST_LABELS = 6; // of changes: more would hide the curves

export class CurvePanel {
  #curves = new Curves();
  #group = new ChartGroup();
  #charts = new Map();
  #isStale = true;
  #marks = []; // {step, label} of each change of settings
  #changes = ""; // of settings that were drawn
  #model = null; // the digest of the weights that the baselines were drawn for

  constructor() {
    this.grid = h("div.charts");
    this.empty = h("p.nothing");
    this.element = h("section.curves", { "aria-label": "Curves" }, this.empty, this.grid);
  }

  load(past) {
    this.#curves.load(past);
    this.#isStale = true;
  }

  add(event) {
    if (this.#curves.add(event)) this.#isStale = true;
  }

  close() {
    for (const chart of this.#charts.values()) chart.close();
  }

  /** Draw what came since the last time. */
  draw(job) {
    const changes = (job.changes ?? []).filter(({ step }) => step !== null);
    const drawn = JSON.stringify(changes);
    if (!this.#isStale && this.#model === job.weights_digest && this.#changes === drawn) return;
    this.#isStale = false;
    this.#changes = drawn;
    this.#marks = changes.map((change) => ({ step: change.step, label: changes.length > MOST_LABELS ? "" : wordsOf(change) }));
    this.#model = job.weights_digest;
    const curves = this.#curves;
    this.empty.hidden = curves.lastStep > 0;
    say(this.empty, isOver(job) ? "It took no step, so there are no curves." : "Curves appear with the first step.");
    this.#draw("loss", "Loss", this.#lossSeries(job));
    for (const metric of curves.names("metrics.")) {
      if (metric === this.#lossMetric()) continue;
      this.#draw(`metrics.${metric}`, title(metric), this.#series(`metrics.${metric}`, "validation", 2), this.#baselineOf(job, metric));
    }
    for (const metric of curves.names("custom.")) this.#draw(`custom.${metric}`, title(metric), this.#series(`custom.${metric}`, metric, 4));
    this.#draw("lr", "Learning rate", this.#series("lr", "learning rate", 3));
    this.#draw("samples_per_s", "Throughput", this.#series("samples_per_s", "rows a second", 5, true));
  }

  /** A metric that is the loss on other rows is drawn with the loss. */
  #lossMetric() {
    return this.#curves.names("metrics.").find((metric) => metric === "loss");
  }

  #lossSeries() {
    const drawn = this.#series("loss", "training", 1, true);
    const ofEpochs = this.#curves.get("val_loss");
    const validation = ofEpochs.x.length ? ofEpochs : this.#curves.get("metrics.loss");
    if (validation.x.length) drawn.push({ label: "validation", index: 2, ...validation, hasDots: true });
    return drawn;
  }

  #series(name, label, index, isNoisy = false) {
    const series = this.#curves.get(name);
    return series.x.length ? [{ label, index, ...series, isNoisy: isNoisy && series.x.length > 24, hasDots: name.startsWith("metrics.") }] : [];
  }

  #baselineOf(job, metric) {
    const baseline = baselineOf(job, metric) ?? job.report?.baseline?.[metric];
    return Number.isFinite(baseline) ? { value: baseline, label: `baseline ${value(baseline)}` } : null;
  }

  #draw(key, name, series, baseline = null) {
    if (!series.length) return;
    if (!this.#charts.has(key)) this.#add(key, name);
    const { best, attempts } = this.#curves;
    const marked = best && (key === "loss" || key.startsWith("metrics.")) ? { ...best, label: `best by ${term(best.monitor)} · epoch ${count(best.epoch)}` } : null;
    this.#charts.get(key).show({ series, baseline, best: marked, attempts: attempts.map((one) => ({ ...one })), changes: this.#marks });
  }

  #add(key, name) {
    const format = key === "samples_per_s" ? brief : value;
    const chart = new Chart(name, this.#group, { format, epochOf: (step) => this.#curves.epochOf(step), canLog: key !== "samples_per_s", isFromZero: key === "samples_per_s" });
    chart.element.classList.add("panel");
    if (key === "loss") chart.element.classList.add("wide");
    this.#charts.set(key, chart);
    chart.element.dataset.rank = rankOf(key);
    const next = [...this.grid.children].find((other) => other.dataset.rank > chart.element.dataset.rank) ?? null;
    this.grid.insertBefore(chart.element, next);
  }
}

/** The order of the charts is the same whichever numbers come first. */
function rankOf(key) {
  return ["loss", "metrics.", "custom.", "lr", "samples_per_s"].findIndex((start) => key.startsWith(start));
}
