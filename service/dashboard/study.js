// One study: how it stands, the best so far, what mattered, its trials; live, and what can be done to it.

import * as api from "./api.js";
import { confirm, notify, report } from "./dialog.js";
import { button, fill, h, say } from "./dom.js";
import { count, dateOf, duration, share, term, title, value } from "./format.js";
import { icon, stateIcon } from "./icons.js";
import { allTrials } from "./runs.js";
import { written } from "./schema.js";
import { Parallel, Points } from "./trial-charts.js";
import { axisOf, axisOfValues, colorOf, ranks, usedOf, uses } from "./trial-scale.js";
import { TrialTable } from "./trial-table.js";

const DRAWN_MS = 250; // between two drawings
const MATTERS_MS = 4_000; // between two looks at what mattered, while trials end
const OVER = ["COMPLETED", "STOPPED", "CANCELLED", "FAILED"];
const MOST_SLICES = 12;
const TICK_MS = 5_000; // between two looks at the clock
const isOver = ({ status }) => OVER.includes(status);

const REASONS = { trials: "all trials were made", max_seconds: "its time was over", failures: "every trial failed", user: "a user asked for it" };

const VERBS = {
  pause: { label: "Pause", icon: "pause", applies: (study) => study.status === "RUNNING" && !study.requested },
  resume: { label: "Resume", icon: "play", applies: (study) => study.status === "PAUSED" && !study.requested },
  stop: { label: "Stop", icon: "stop", applies: (study) => !isOver(study) && !study.requested },
  cancel: { label: "Cancel", icon: "close", applies: (study) => !isOver(study) && study.requested !== "cancel" },
  delete: { label: "Delete", icon: "trash", applies: isOver },
};

/** Put one study into `root`; returns what ends it. */
export function showStudy(root, { stream, id }) {
  const view = new StudyView(stream, id);
  root.append(view.element);
  view.open().catch((error) => view.failed(error));
  return () => view.close();
}

class StudyView {
  #stop = () => {};
  #isClosed = false;
  #due = null;
  #matters = null;
  #heardAt = 0; // when the study's record was fetched, ms
  #tick = setInterval(() => this.study && !isOver(this.study) && this.#soon(), TICK_MS);
  #slices = new Map(); // path -> chart

  constructor(stream, id) {
    Object.assign(this, { stream, id, study: null, trials: [] });
    const pointing = { onPick: (trial) => this.#pick(trial), onOpen: (trial) => (location.hash = `#/job/${encodeURIComponent(this.trials[trial].job_id)}`) };
    this.pointing = pointing;
    this.parts = { name: h("h1"), badge: h("span.badge"), subject: h("span.muted"), verbs: h("div.job-verbs"), bar: h("progress", { max: 100, "aria-label": "Trials" }), standing: h("p.job-standing", { role: "status" }), picked: h("p.muted", { "aria-live": "off" }), facts: h("dl.facts"), error: h("div.job-error", { hidden: true }), matters: h("ol.importance", {}, h("li.muted.wide", {}, "Looking at the trials…")), best: h("dl.settings"), slices: h("div.charts") };
    this.history = new Points("The best so far, and the value of each trial", 240, pointing);
    this.parallel = new Parallel("Trials across all searched fields", 300, pointing);
    this.table = new TrialTable(pointing);
    this.element = this.#layout();
  }

  #layout() {
    const { parts } = this;
    const panel = (heading, ...content) => h("section.panel", {}, h("h2", {}, heading), content);
    this.charts = h("div.study", {}, h("div.study-columns", {}, panel("The best so far", this.history.element), h("div.study", {}, panel("What mattered", parts.matters), panel("The best trial", parts.best))), panel("All trials", parts.picked, this.parallel.element), panel("One field at a time", parts.slices));
    return h(
      "article.study",
      {},
      h("header.job-head", {}, h("div.job-title", {}, h("p.crumbs", {}, h("a", { href: "#/studies" }, "Studies"), " / ", h("span.mono", {}, this.id)), h("div.job-name", {}, parts.name, parts.badge), parts.subject), parts.verbs),
      parts.error,
      h("section.panel.job-state", { "aria-label": "Where it is" }, parts.standing, parts.bar, parts.facts),
      this.charts,
      this.table.element,
    );
  }

  async open() {
    const { study } = await api.get(api.studyPath(this.id), { importance: false });
    const trials = await allTrials(this.id);
    if (this.#isClosed) return;
    this.study = { ...study, importance: this.study?.importance ?? {} };
    this.#heardAt = performance.now();
    this.trials = trials;
    this.#follow();
    this.#draw();
    this.#lookAtMatters();
  }

  failed(error) {
    if (this.#isClosed) return;
    if (error.code === "study_not_found") fill(this.element, h("div.nothing", {}, h("h1", {}, "There is no such study"), h("p", {}, error.message), h("p", {}, h("a", { href: "#/studies" }, "All studies"))));
    else report(error);
  }

  close() {
    this.#isClosed = true;
    this.#stop();
    clearInterval(this.#tick);
    clearTimeout(this.#due);
    clearTimeout(this.#matters);
    for (const chart of [this.history, this.parallel, ...this.#slices.values()]) chart.close();
    this.table.close();
  }

  /** Hear every event after what is shown; a study that was deleted is said to be gone. */
  #follow() {
    this.#stop();
    const again = () => this.open().catch((error) => this.failed(error));
    const stops = [this.stream.watchStudy(this.id, this.study.seq, (event) => this.#hear(event), again), this.stream.onEvent(({ type, study_id: id }) => type === "study_deleted" && id === this.id && again())];
    this.#stop = () => stops.forEach((stop) => stop());
  }

  #hear(event) {
    const { study, trials } = this;
    study.seq = event.seq;
    if (event.type === "suggested") trials[event.trial] = { trial: event.trial, job_id: event.job_id, params: event.params, status: "RUNNING", created_at: event.ts };
    else if (event.type === "pruned") Object.assign(trials[event.trial], { pruned_at: event.epoch, values: event.values });
    else if (event.type === "trial") this.#ended(event);
    else this.#refresh().catch(() => {}); // its state, and what no event carries
    this.#soon();
  }

  #ended(event) {
    const { status, value: found = null, epochs = 0, values = [], timings = {}, error = null } = event;
    const trial = this.trials[event.trial];
    Object.assign(trial, { status, value: found, epochs, values, timings, error, finished_at: event.ts });
    if (event.is_best) this.study.best = { trial: event.trial, job_id: event.job_id, value: found, params: trial.params };
    this.#matters ??= setTimeout(() => this.#lookAtMatters(), MATTERS_MS);
  }

  async #refresh() {
    const { study } = await api.get(api.studyPath(this.id), { importance: false });
    if (this.#isClosed || study.seq < this.study.seq) return;
    this.study = { ...study, importance: this.study.importance, seq: this.study.seq };
    this.#heardAt = performance.now();
    this.#soon();
    if (isOver(study)) this.#lookAtMatters();
  }

  /** What mattered takes a moment to compute: it comes when it is known. */
  async #lookAtMatters() {
    clearTimeout(this.#matters);
    this.#matters = null;
    try {
      const { study } = await api.get(api.studyPath(this.id));
      if (this.#isClosed) return;
      this.study.importance = study.importance;
      this.#drawMatters();
    } catch (error) {
      if (!this.#isClosed) fill(this.parts.matters, h("li.muted", {}, error.message));
    }
  }

  #soon() {
    this.#due ??= setTimeout(() => {
      this.#due = null;
      if (!this.#isClosed) this.#draw();
    }, DRAWN_MS);
  }

  #pick(trial) {
    for (const chart of [this.history, this.parallel, ...this.#slices.values()]) chart.pick(trial);
    this.table.mark(trial);
    const found = this.trials[trial];
    say(this.parts.picked, found ? `Trial ${trial}: ${term(this.study.metric)} ${value(found.value)} · ${usedOf(this.study, found.params).map(([path, one]) => `${path} ${typeof one === "number" ? value(one) : written(one)}`).join(" · ")}` : "Each line is a trial; the stronger, the better. Point at one, click to open it.");
  }

  #draw() {
    const { parts, study } = this;
    const trials = this.trials.filter(Boolean);
    const counts = countsOf(trials);
    say(parts.name, study.name ?? study.study_id);
    document.title = `${study.name ?? study.study_id} · traind`;
    say(parts.subject, `${study.spec.dataset ?? (study.spec.trainer === "tabular" ? "Synthetic data" : study.spec.trainer)}${study.spec.target ? ` → ${study.spec.target}` : ""} · ${study.direction === "maximize" ? "more" : "less"} ${term(study.metric)} is better`);
    this.#drawState(counts);
    this.#drawVerbs();
    this.#drawBest();
    this.#drawCharts(trials);
    this.#pick(this.history.picked);
    this.table.show(study, trials);
  }

  #drawState(counts) {
    const { parts, study } = this;
    if (parts.badge.dataset.state !== study.status) {
      parts.badge.dataset.state = study.status;
      fill(parts.badge, stateIcon(study.status), title(study.status.toLowerCase()));
    }
    const asked = study.requested && !isOver(study) ? { stop: "Stopping…", cancel: "Cancelling…", finish: "Making the ensemble…" }[study.requested] : null;
    say(parts.standing, asked ?? `${study.message}${study.reason ? ` (${REASONS[study.reason] ?? study.reason.replaceAll("_", " ")})` : ""}`);
    parts.bar.value = (100 * counts.over) / study.trials;
    parts.bar.hidden = isOver(study);
    const since = study.status === "RUNNING" ? (performance.now() - this.#heardAt) / 1_000 : 0;
    const facts = [["Trials", `${count(counts.over)} of ${count(study.trials)}`], ["Running", count(counts.RUNNING)], ["Completed", count(counts.COMPLETED)], ["Pruned", count(counts.PRUNED)], counts.STOPPED && ["Stopped", count(counts.STOPPED)], counts.FAILED && ["Failed", count(counts.FAILED)], study.best && [`Best ${term(study.metric)}`, value(study.best.value)], study.ran_s > 0 && ["Ran for", duration(study.ran_s + since)]].filter(Boolean);
    fill(parts.facts, facts.map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, text))));
    parts.error.hidden = !study.error;
    if (study.error) fill(parts.error, h("p", {}, h("strong", {}, study.error.message), " ", h("code", {}, study.error.code)), study.error.hint && h("p", {}, study.error.hint));
  }

  #drawVerbs() {
    const { parts, study } = this;
    const shown = Object.keys(VERBS).filter((verb) => VERBS[verb].applies(study));
    const key = [...shown, study.model, this.trials.length > 1].join();
    if (parts.verbs.dataset.key === key) return;
    parts.verbs.dataset.key = key;
    const ensemble = study.model && h("a.button.primary", { href: `#/job/${encodeURIComponent(study.study_id)}` }, "The ensemble");
    const compare = this.trials.length > 1 && study.status !== "CANCELLED" && h("a.button", { href: `#/compare/study:${encodeURIComponent(study.study_id)}?metric=${encodeURIComponent(study.metric)}` }, "Compare the trials");
    fill(parts.verbs, ensemble, compare, shown.map((verb) => button([icon(VERBS[verb].icon), VERBS[verb].label], () => this.#ask(verb).catch(report), { "data-needs": "operator", "data-verb": verb })));
  }

  async #ask(verb) {
    const name = this.study.name ?? this.id;
    if (verb === "cancel" && !(await confirm(`Cancel ${name}?`, "All its trials and their models are thrown away. To keep what was found, stop it instead.", "Cancel the study"))) return;
    if (verb !== "delete") {
      await api.post(api.studyPath(this.id, `/${verb}`));
      await this.#refresh();
      return;
    }
    if (!(await confirm(`Delete ${name}?`, "Its record, its trials and all their models are removed from the server's disk. This cannot be undone.", "Delete"))) return;
    this.#stop();
    await api.remove(api.studyPath(this.id));
    notify(`${name} is deleted.`);
    location.hash = "#/studies";
  }

  #drawBest() {
    const { study, parts } = this;
    const entry = (name, content) => h("div", {}, h("dt", {}, name), h("dd", {}, content));
    if (!study.best) return fill(parts.best, h("p.muted", {}, "No trial has a value yet."));
    const link = h("a", { href: `#/job/${encodeURIComponent(study.best.job_id)}` }, `Trial ${study.best.trial}`);
    return fill(parts.best, entry("Trial", link), entry(title(study.metric), value(study.best.value)), usedOf(study, study.best.params).map(([path, found]) => entry(path, typeof found === "number" ? value(found) : written(found))), study.note && entry("Ensemble", study.note), entry("Submitted", dateOf(study.created_at)));
  }

  #drawMatters() {
    const found = Object.entries(this.study.importance ?? {}).sort(([, one], [, other]) => other - one);
    const among = this.study.judged_among ?? {};
    const rows = found.map(([path, part]) => h("li", {}, h("span.clip", { title: among[path] ? `${path}, among the trials of ${among[path].map((kinds) => kinds.join(", ")).join("; of ")}` : path }, path, among[path] && h("span.muted", {}, ` of ${among[path].flat().join(", ")}`)), h("span.bar", { "aria-hidden": "true" }, h("i", { vars: { part: String(part) } })), h("span.number", {}, share(part))));
    fill(this.parts.matters, rows.length ? rows : h("li.muted.wide", {}, "Known once four trials have a value."));
  }

  #drawCharts(trials) {
    const { study } = this;
    const isUp = study.direction === "maximize";
    const ranked = ranks(trials.filter(({ status }) => status !== "PRUNED"), isUp);
    const color = ({ trial }) => colorOf(ranked.get(trial));
    const measured = trials.filter(({ value: found }) => Number.isFinite(found));
    const y = axisOfValues(title(study.metric), measured);
    const last = Math.max(1, trials.length - 1);
    const number = axisOf("Trial", { low: 0, high: last });
    const whole = { ...number, marks: number.marks.filter(([at]) => Math.abs(at * last - Math.round(at * last)) < 1e-6) };
    this.history.show({ x: whole, y, points: measured.map((one) => ({ trial: one.trial, x: number.place(one.trial), y: y.place(one.value), color: color(one) })), line: bestSoFar(trials, isUp).map(([trial, found]) => [number.place(trial), y.place(found)]) });
    const axes = [...Object.entries(study.space).map(([path, dimension]) => axisOf(path, dimension)), y];
    const placesOf = (one) => [...axes.slice(0, -1).map((axis) => (uses(study, one.params, axis.label) ? axis.place(one.params[axis.label]) : NaN)), one.value === null || one.value === undefined ? NaN : y.place(one.value)];
    const lines = trials.map((one) => ({ trial: one.trial, places: placesOf(one), color: color(one), rank: ranked.get(one.trial) ?? 2 }));
    this.parallel.show({ axes, lines: lines.sort((one, other) => other.rank - one.rank) });
    const slices = axes.slice(0, -1).flatMap((axis) => (study.judged_among?.[axis.label] ?? [undefined]).map((kinds) => ({ axis, kinds, label: kinds ? `${axis.label} of ${kinds.join(", ")}` : axis.label })));
    slices.slice(0, MOST_SLICES).forEach(({ axis, kinds, label }) => {
      if (!this.#slices.has(label)) this.#addSlice(label);
      const shown = measured.filter(({ params }) => uses(study, params, axis.label, kinds));
      this.#slices.get(label).show({ x: { ...axis, label }, y, points: shown.map((one) => ({ trial: one.trial, x: axis.place(one.params[axis.label]), y: y.place(one.value), color: color(one) })).filter(({ x }) => Number.isFinite(x)) });
    });
  }

  #addSlice(path) {
    const chart = new Points(`${path} and the value of each trial`, 200, this.pointing);
    this.#slices.set(path, chart);
    this.parts.slices.append(chart.element);
  }
}

function countsOf(trials) {
  const found = { RUNNING: 0, COMPLETED: 0, PRUNED: 0, STOPPED: 0, FAILED: 0 };
  for (const { status } of trials) found[status] += 1;
  return { ...found, over: trials.length - found.RUNNING };
}

/** Return [[trial, value], ...] where the best changed, and the last trial. A pruned trial is never the best. */
function bestSoFar(trials, isUp) {
  const found = [];
  for (const { trial, status, value: one } of trials) {
    if (!Number.isFinite(one) || status === "PRUNED" || status === "RUNNING") continue;
    if (!found.length || (isUp ? one > found.at(-1)[1] : one < found.at(-1)[1])) found.push([trial, one]);
  }
  if (found.length) found.push([trials.length - 1, found.at(-1)[1]]);
  return found;
}
