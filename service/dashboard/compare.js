// Runs beside each other: one chart of one number, and a table of what they differ in and how good they are. What is
// shown stands in the address, so that it can be sent to someone.

import * as api from "./api.js";
import { report } from "./dialog.js";
import { button, fill, h, say } from "./dom.js";
import { count, duration, plural, title } from "./format.js";
import { icon } from "./icons.js";
import { ManyChart } from "./many-chart.js";
import { RunTable } from "./run-table.js";
import { colorOf, meant, MOST_RUNS, Runs } from "./runs.js";
import { SettingChart } from "./setting-chart.js";
import { nameOf } from "./standing.js";
import { copyButton } from "./usage.js";

const AXES = {
  step: { label: "Gradient step", of: () => (step) => step, format: (x) => count(Math.round(x)) },
  epoch: { label: "Epoch", of: (curves) => (step) => curves.epochsAt(step), format: (x) => (Number.isInteger(x) ? count(x) : x.toFixed(2)) },
  time: { label: "Time of training", of: (curves) => (step) => curves.secondsAt(step), format: (x) => (x === 0 ? "0" : duration(x)) },
};
const TABLE_MS = 400; // between two drawings of the table
const ADDRESS_MS = 200; // after the last change it stands in the address: browsers count such changes
const TRIALS_MS = 1_500; // after a study has changed its new trials are fetched
const LOADING_MS = 300; // between two drawings while runs come in; longer where a drawing takes long:
const LOADING_SHARE = 6; // as many times as long
const RAW = 12; // curves up to which what is smoothed is drawn below its mean

/** Put the comparison into `root`; returns what ends it. */
export function showCompare(root, { stream, id, query }) {
  const view = new CompareView(stream, id.split(",").filter(Boolean), query);
  root.append(view.element);
  view.open().catch((error) => view.failed(error));
  return () => view.close();
}

class CompareView {
  drawn = "loss"; // the series that is drawn: what was chosen, where any run has it
  #isClosed = false;
  #isDue = false;
  #tableDue = null;
  #addressDue = null;
  #trialsDue = null;
  #stop = () => {};
  #lines = new Map(); // run id -> {key, line}, what was drawn last

  constructor(stream, names, query) {
    Object.assign(this, { stream, names });
    this.state = { metric: query.get("metric"), axis: query.get("x") in AXES ? query.get("x") : "step", smooth: bounded(query.get("smooth")), isLog: query.get("log") === "1", sort: query.get("sort"), by: query.get("by"), zoom: zoomOf(query.get("zoom")) };
    this.hidden = new Set((query.get("hide") ?? "").split(",").filter(Boolean));
    this.heading = h("h1", {}, "Compare");
    this.subject = h("p.muted", { role: "status" }, "Reading the runs…");
    this.chart = new ManyChart("Curves of all runs", {
      onPick: (id) => this.#pick(id),
      onZoom: (zoom) => this.#set({ zoom }, false),
      onOpen: openJob,
    });
    this.setting = new SettingChart({ path: this.state.by, onSet: (by) => this.#set({ by }, false), onPick: (id) => this.#pick(id), onOpen: openJob });
    this.table = new RunTable({
      sort: this.state.sort,
      onSort: (sort) => this.#set({ sort }, false),
      onPick: (id) => this.#pick(id),
      onHide: (id) => this.#hide(id),
      onRemove: (id) => this.#remove(id),
    });
    this.note = h("p.muted.note", { hidden: true });
    this.element = h("section.compare", {}, h("header.page-head", {}, h("p.crumbs", {}, h("a", { href: "#/jobs" }, "Jobs"), " / ", "compare"), this.heading, this.subject), h("section.panel", { "aria-label": "Chart" }, this.#tools(), this.chart.element, this.note), this.setting.element, this.table.element);
    if (this.state.zoom) this.chart.zoomTo(this.state.zoom, false);
  }

  async open() {
    this.#stop = this.stream.onEvent((message) => this.#hear(message));
    await this.#begin();
  }

  /** Show the runs that the address means; `ids` is null until it is known which. */
  async #begin() {
    this.ids = null;
    const { ids, ups } = await meant(this.names);
    if (this.#isClosed) return;
    this.ids = ids.slice(0, MOST_RUNS);
    this.left = ids.length - this.ids.length;
    this.table.ups = ups;
    if (!this.ids.length && this.#hasStudies) return say(this.subject, "There is no trial yet.");
    if (!this.ids.length) return this.#empty("Choose two jobs or more in the list, or the trials of a study.");
    const { metric } = this.state;
    const wanted = metric ? [metric, `metrics.${metric}`, `custom.${metric}`] : ["val_loss"];
    this.runs = new Runs(this.ids, wanted, this.stream, () => this.#changed());
    for (const run of this.runs.all) run.isHidden = this.hidden.has(run.id);
    await this.runs.load();
    await this.#addTrials(); // those since the study was asked for the first time
    if (this.#isClosed) return;
    if (this.runs.all.every(({ isMissing }) => isMissing)) this.#empty(`${this.ids.length === 1 ? "The job of this address is" : "The jobs of this address are"} not there: deleted, or never on this server.`);
    this.#changed();
  }

  /** Fetch what was not reached while the connection was lost, and trials that a study has made since. */
  #hear({ type, seq, study_id: study }) {
    const isMine = type === "study" && !seq && this.names.includes(`study:${study}`);
    if (type === "snapshot") this.runs?.retry().catch(() => {});
    if (!isMine && (type !== "snapshot" || !this.#hasStudies)) return;
    this.#trialsDue ??= setTimeout(() => {
      this.#trialsDue = null;
      if (this.runs) this.#addTrials().catch(() => {});
      else if (this.ids) this.#begin().catch(() => {});
    }, TRIALS_MS);
  }

  get #hasStudies() {
    return this.names.some((name) => name.startsWith("study:"));
  }

  async #addTrials() {
    if (!this.#hasStudies) return;
    const { ids } = await meant(this.names);
    if (this.#isClosed) return;
    const known = new Set(this.ids);
    const fresh = ids.filter((id) => !known.has(id));
    this.left = Math.max(0, this.ids.length + fresh.length - MOST_RUNS);
    this.ids.push(...fresh.slice(0, MOST_RUNS - this.ids.length));
    await this.runs.add(this.ids);
  }

  failed(error) {
    if (this.#isClosed) return;
    if (error.code === "study_not_found") return this.#empty(error.message);
    say(this.subject, "Not all could be read.");
    report(error);
  }

  close() {
    this.#isClosed = true;
    this.#stop();
    clearTimeout(this.#tableDue);
    clearTimeout(this.#addressDue);
    clearTimeout(this.#trialsDue);
    this.runs?.close();
    this.chart.close();
    this.setting.close();
  }

  /** Pick out a run wherever it is drawn, or none. */
  #pick(id) {
    this.chart.pick(id);
    this.setting.pick(id);
    this.table.mark(id);
  }

  #empty(sentence) {
    fill(this.element, h("div.nothing", {}, h("h1", {}, "There is nothing to compare"), h("p", {}, sentence), h("p", {}, h("a", { href: "#/jobs" }, "All jobs"))));
  }

  #tools() {
    const { state } = this;
    this.metric = h("select", { "aria-label": "What is drawn", on: { change: () => this.#set({ metric: this.metric.value }) } });
    this.axis = h("select", { "aria-label": "Along" }, Object.entries(AXES).map(([name, { label }]) => h("option", { value: name, selected: name === state.axis }, label)));
    this.axis.addEventListener("change", () => {
      this.chart.zoomTo(null, false);
      this.#set({ axis: this.axis.value, zoom: null });
    });
    this.smooth = h("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: state.smooth, "aria-label": "Smoothing" });
    this.smooth.addEventListener("input", () => this.#set({ smooth: Number(this.smooth.value) }));
    const log = button("log", () => {
      this.#set({ isLog: !this.state.isLog });
      log.setAttribute("aria-pressed", String(this.state.isLog));
    }, { kind: "tiny", "aria-pressed": String(state.isLog), label: "Logarithmic scale" });
    const image = button([icon("download"), "Image"], () => this.#image(), { kind: "tiny" });
    const csv = button([icon("download"), "CSV"], () => this.#csv(), { kind: "tiny" });
    return h("div.compare-tools", {}, this.metric, this.axis, h("label.check.smooth", {}, "Smoothing", this.smooth), log, h("span.spread"), image, csv, copyButton(() => location.href, "Copy link"));
  }

  /** Change what is shown; it goes into the address. */
  #set(change, isRedrawn = true) {
    Object.assign(this.state, change);
    clearTimeout(this.#addressDue);
    this.#addressDue = setTimeout(() => this.#address(), ADDRESS_MS);
    if (isRedrawn) this.#changed();
  }

  #address() {
    const { metric, axis, smooth, isLog, sort, by, zoom } = this.state;
    const set = { metric, x: axis === "step" ? null : axis, smooth: smooth || null, log: isLog ? 1 : null, sort, by, zoom: zoom && zoom.map((at) => Number(at.toPrecision(6))).join("~"), hide: [...this.hidden].join(",") || null };
    const query = Object.entries(set).filter(([, value]) => value !== null && value !== undefined).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
    history.replaceState(null, "", `#/compare/${this.names.map(encodeURIComponent).join(",")}${query.length ? `?${query.join("&")}` : ""}`);
  }

  #hide(id) {
    const run = this.runs.all.find((one) => one.id === id);
    run.isHidden = !run.isHidden;
    if (run.isHidden) this.hidden.add(id);
    else this.hidden.delete(id);
    this.#set({});
  }

  #remove(id) {
    this.names = this.ids.filter((one) => one !== id);
    this.hidden.delete(id);
    this.#address();
    dispatchEvent(new HashChangeEvent("hashchange"));
  }

  /** Draw the chart with the next frame, the table a little later. */
  #changed() {
    if (this.#isClosed || this.#isDue) return;
    this.#isDue = true;
    const { loaded, all } = this.runs;
    const draw = () => {
      this.#isDue = false;
      if (!this.#isClosed) this.#draw();
    };
    if (loaded > 1 && loaded < all.length) setTimeout(draw, Math.max(LOADING_MS, LOADING_SHARE * this.chart.tookMs));
    else requestAnimationFrame(draw);
    this.#tableDue ??= setTimeout(() => {
      this.#tableDue = null;
      this.table.show(this.runs.all, this.drawn);
      this.setting.show(this.runs.all, this.table.differing);
    }, loaded < all.length ? 4 * TABLE_MS : TABLE_MS);
  }

  #draw() {
    const { all, loaded } = this.runs;
    const gone = all.filter(({ isMissing }) => isMissing).length;
    const words = [loaded < all.length ? `${count(loaded)} of ${plural(all.length, "run")}` : plural(all.length, "run"), gone && `${count(gone)} not there`, this.left > 0 && `${count(this.left)} more left out`];
    say(this.subject, words.filter(Boolean).join(" · "));
    document.title = `${plural(all.length, "run")} · traind`;
    this.#offerMetrics(all);
    const lines = all.filter(({ job, isHidden }) => job && !isHidden).map((run) => this.#lineOf(run)).filter(({ x }) => x.length);
    const axis = AXES[this.state.axis];
    this.chart.show(lines, { xLabel: axis.label, formatX: axis.format, isLog: this.state.isLog });
    const without = all.filter(({ job, isHidden }) => job && !isHidden).length - lines.length;
    this.note.hidden = without === 0 || loaded < all.length;
    say(this.note, `${plural(without, "run")} ${without === 1 ? "has" : "have"} no ${labelOf(this.drawn).toLowerCase()}${this.state.axis === "step" ? "" : ` along ${axis.label.toLowerCase()}`}.`);
  }

  /** Offer every number that a run has; where nobody chose, the validation loss, or the loss. */
  #offerMetrics(all) {
    const names = [...new Set(all.flatMap(({ curves }) => [...curves.known]))].sort((one, other) => rank(one) - rank(other) || one.localeCompare(other));
    const { metric } = this.state;
    this.drawn = names.find((name) => [metric, `metrics.${metric}`, `custom.${metric}`].includes(name) && metric) ?? names[0] ?? "loss";
    if (names.length) this.runs.want(this.drawn).catch(report);
    const key = [this.drawn, ...names].join("\n");
    if (this.metric.dataset.key === key) return;
    this.metric.dataset.key = key;
    fill(this.metric, names.map((name) => h("option", { value: name, selected: name === this.drawn }, labelOf(name))));
  }

  #lineOf(run) {
    const { axis, smooth } = this.state;
    const metric = this.drawn;
    const isFew = this.runs.all.length <= RAW;
    const key = `${run.version} ${metric} ${axis} ${smooth} ${nameOf(run.job)}`;
    const known = this.#lines.get(run.id);
    if (known?.key === key) return known.line;
    const series = run.curves.get(metric);
    const along = AXES[axis].of(run.curves);
    const x = series.x.map(along);
    const kept = x.map((at, index) => index).filter((index) => Number.isFinite(x[index]));
    const y = kept.map((index) => series.y[index]);
    const line = { id: run.id, label: nameOf(run.job), color: colorOf(run.place), x: kept.map((index) => x[index]), y: smooth ? averaged(y, smooth) : y, raw: smooth && isFew ? y : null };
    this.#lines.set(run.id, { key, line });
    return line;
  }

  async #image() {
    api.save(await this.chart.picture(labelOf(this.drawn)), "compare.png");
  }

  /** Save the points of the chosen number, of all runs that are shown. */
  #csv() {
    const rows = [["job_id", "name", "step", "epoch", "seconds", this.drawn]];
    for (const run of this.runs.all.filter(({ job, isHidden }) => job && !isHidden)) {
      const { x, y } = run.curves.get(this.drawn);
      x.forEach((step, index) => rows.push([run.id, nameOf(run.job), step, run.curves.epochsAt(step), run.curves.secondsAt(step), y[index]]));
    }
    api.save(new Blob([rows.map((row) => row.map(cell).join(",")).join("\r\n"), "\r\n"], { type: "text/csv" }), "compare.csv");
  }
}

const openJob = (id) => (location.hash = `#/job/${encodeURIComponent(id)}`);
const KNOWN = { loss: "Training loss", train_loss: "Training loss of the epoch", val_loss: "Validation loss", lr: "Learning rate", samples_per_s: "Rows a second" };
const labelOf = (name) => KNOWN[name] ?? title(name.replace(/^(metrics|custom)\./, ""));

/** What decides comes first, then metrics, then the trainer's own numbers, then how it went. */
const rank = (name) => ["val_loss", "metrics.", "custom.", "loss", "train_loss", "lr", "samples_per_s"].findIndex((start) => name.startsWith(start));

const bounded = (text) => Math.min(0.99, Math.max(0, Number(text) || 0));

function zoomOf(text) {
  const ends = (text ?? "").split("~").map(Number);
  return ends.length === 2 && ends.every(Number.isFinite) && ends[0] < ends[1] ? ends : null;
}

/** Return the exponential moving average, without the pull towards its beginning; gaps stay gaps. */
function averaged(values, weight) {
  let [sum, share] = [0, 0];
  return values.map((value) => {
    if (!Number.isFinite(value)) return NaN;
    sum = weight * sum + (1 - weight) * value;
    share = weight * share + (1 - weight);
    return sum / share;
  });
}

/** Write a cell of CSV; a text that a spreadsheet would take for a formula is marked as a text. */
function cell(value) {
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : "";
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
