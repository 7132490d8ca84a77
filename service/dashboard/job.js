// One job: how it stands, its live curves, the model it made, its settings and its history.

import * as api from "./api.js";
import { CurvePanel } from "./curve-panel.js";
import { report } from "./dialog.js";
import { fill, h, say } from "./dom.js";
import { recipe } from "./dryrun.js";
import { count, dateOf, duration, share, term, title, value } from "./format.js";
import { History } from "./history.js";
import { stateIcon } from "./icons.js";
import { showModel } from "./model.js";
import { differences, trainSpec, written } from "./schema.js";
import { datasetOf, nameOf, standingOf, subjectOf, targetOf } from "./standing.js";
import { baselineOf, isActive, isOver, scores } from "./store.js";
import { showTimings } from "./timings.js";
import { usagePanel } from "./usage.js";
import { verbButton, verbsOf } from "./verbs.js";

const DETAILS = 8; // bad cells shown

/** Put one job into `root`; returns what ends it. */
export function showJob(root, { store, stream, id }) {
  const view = new JobView(store, stream, id);
  root.append(view.element);
  view.open();
  return () => view.close();
}

class JobView {
  #stops = [];
  #isClosed = false;
  #modelOf = null; // the weights that the model panel shows

  constructor(store, stream, id) {
    Object.assign(this, { store, stream, id });
    this.curves = new CurvePanel();
    this.history = new History();
    this.parts = {
      name: h("h1"),
      badge: h("span.badge"),
      subject: h("span.muted"),
      verbs: h("div.job-verbs"),
      bar: h("progress", { max: 100, "aria-label": "Progress" }),
      standing: h("p.job-standing", { role: "status" }),
      why: h("p.muted"),
      facts: h("dl.facts"),
      error: h("div.job-error", { hidden: true }),
      model: h("div.job-model", { hidden: true }),
      usage: h("div"),
      timings: h("div"),
      settings: h("dl.settings"),
      recipe: h("div"),
    };
    this.element = this.#layout();
  }

  #layout() {
    const { parts } = this;
    const head = h(
      "header.job-head",
      {},
      h("div.job-title", {}, h("p.crumbs", {}, h("a", { href: "#/jobs" }, "Jobs"), " / ", h("span.mono", {}, this.id)), h("div.job-name", {}, parts.name, parts.badge), parts.subject),
      parts.verbs,
    );
    parts.state = h("section.panel.job-state", { "aria-label": "Where it is" }, h("div.job-line", {}, parts.standing, parts.why), parts.bar, parts.facts);
    const aside = h(
      "aside",
      {},
      h("section.panel", {}, h("h2", {}, "Time"), parts.timings),
      h("section.panel", {}, h("h2", {}, "Settings"), parts.settings, parts.recipe),
      this.history.element,
    );
    return h("article.job", {}, head, parts.error, parts.state, h("div.job-columns", {}, h("div.job-main", {}, parts.model, this.curves.element, parts.usage), aside));
  }

  async open() {
    this.#stops.push(this.store.listen(() => this.draw()));
    this.draw();
    try {
      await this.#refresh();
      await this.#follow();
    } catch (error) {
      if (this.#isClosed) return;
      if (error.code === "job_not_found") this.#missing(error);
      else report(error);
    }
  }

  close() {
    this.#isClosed = true;
    this.#stops.forEach((stop) => stop());
    this.curves.close();
  }

  async #refresh() {
    const { status } = await api.get("api/train/status", { job_id: this.id });
    this.full = status;
    this.store.put(status);
  }

  /** Take the whole past at once, then every event after it. */
  async #follow() {
    const past = await api.get("api/train/curve", { job_id: this.id, points: 800 });
    if (this.#isClosed) return;
    this.curves.load(past);
    await this.history.load(this.id, past.last_seq);
    if (this.#isClosed) return;
    const stop = this.stream.watch(this.id, past.last_seq, (event) => this.#hear(event), () => this.#startOver(stop));
    this.#stops.push(stop);
    this.draw();
  }

  #hear(event) {
    this.curves.add(event);
    this.history.add(event);
    if (["state", "edit", "control"].includes(event.type)) this.#refresh().catch(() => {}); // what no event carries: timings, report, files
  }

  #startOver(stop) {
    stop();
    this.#follow().catch(report);
  }

  #missing(error) {
    fill(this.element, h("div.nothing", {}, h("h1", {}, "There is no such job"), h("p", {}, error.message), h("p", {}, h("a", { href: "#/jobs" }, "All jobs"))));
  }

  draw() {
    const job = this.store.jobs.get(this.id);
    if (!job || this.#isClosed) return;
    const { parts } = this;
    const { text, why } = standingOf(job, this.store);
    say(parts.name, nameOf(job));
    document.title = `${isActive(job) ? `${share(job.progress / 100)} · ` : ""}${nameOf(job)} · traind`;
    say(parts.subject, subjectOf(job));
    say(parts.standing, text);
    say(parts.why, isActive(job) && job.eta_s ? `about ${duration(job.eta_s)} left` : job.status === "FAILED" ? "" : (why ?? ""));
    parts.bar.value = job.progress;
    parts.bar.hidden = isOver(job);
    this.#drawState(job);
    this.#drawFacts(job);
    this.#drawError(job);
    showTimings(parts.timings, job);
    this.curves.draw({ ...this.full, ...job, changes: this.full?.changes });
    if (this.full) this.#drawDone(job);
  }

  #drawState(job) {
    const { badge, verbs } = this.parts;
    if (badge.dataset.state !== job.status) {
      badge.dataset.state = job.status;
      fill(badge, stateIcon(job.status), title(job.status.toLowerCase()));
    }
    const shown = verbsOf(job);
    if (verbs.dataset.shown === shown.join()) return;
    verbs.dataset.shown = shown.join();
    fill(verbs, shown.map((verb) => verbButton(verb, () => this.store.jobs.get(this.id))));
  }

  #drawFacts(job) {
    const facts = job.step > 0 ? factsOf(job) : [];
    const names = facts.map(([name]) => name).join("\n");
    const { facts: list } = this.parts;
    list.hidden = !facts.length;
    this.parts.state.hidden = job.status === "FAILED" && !facts.length; // the error says it all
    if (list.dataset.names !== names) {
      list.dataset.names = names;
      fill(list, facts.map(([name]) => h("div", {}, h("dt", {}, name), h("dd"), h("dd.baseline"))));
    }
    facts.forEach(([, text, baseline], index) => {
      const [, number, beside] = list.children[index].children;
      say(number, text);
      say(beside, baseline === undefined ? "" : `baseline ${value(baseline)}`);
    });
  }

  #drawError(job) {
    const { error } = this.parts;
    error.hidden = !job.error;
    if (!job.error || error.dataset.seq === String(job.seq)) return;
    error.dataset.seq = job.seq;
    const { code, message, hint, details = [], output } = job.error;
    fill(
      error,
      h("p", {}, h("strong", {}, message), " ", h("code", {}, code)),
      hint && h("p", {}, hint),
      details.length > 0 && h("ul", {}, details.slice(0, DETAILS).map(writtenDetail), details.length > DETAILS && h("li.muted", {}, `and ${count(details.length - DETAILS)} more`)),
      output && h("pre", { tabindex: 0 }, output),
    );
  }

  /** Draw what changes only with the job's whole record: its settings, and the model when there is one. */
  async #drawDone(job) {
    const record = { ...this.full, status: job.status };
    const key = `${this.full.weights_digest} ${this.full.seq}`;
    if (this.#modelOf === key) return;
    this.#modelOf = key;
    const hasModel = Boolean(this.full.model) && isOver(job);
    this.parts.model.hidden = !hasModel;
    fill(this.parts.usage);
    if (hasModel) {
      const usage = usagePanel(record);
      fill(this.parts.usage, usage.element);
      showModel(this.parts.model, record, usage.show);
    }
    this.#drawSettings(record, await trainSpec());
  }

  #drawSettings(job, schema) {
    const dataset = datasetOf(job);
    const rows = [
      !isTabular(job) && ["Trainer", h("span.mono", {}, job.spec.trainer)],
      dataset && ["Data set", h("a", { href: `#/dataset/${encodeURIComponent(dataset)}` }, dataset)],
      !dataset && isTabular(job) && ["Data set", "synthetic"],
      targetOf(job) && ["Target", targetOf(job)],
      job.dataset?.digest && ["Version", h("span.mono", {}, job.dataset.digest.slice(0, 12))],
      job.parent && ["Started from", lineage(job.parent.job_id, ` at step ${count(job.parent.step)}${job.parent.keep === "weights" ? ", weights alone" : ""}`)],
      job.children?.length > 0 && ["Went on as", job.children.map((id) => lineage(id, " "))],
      job.spec?.tags?.length > 0 && ["Tags", job.spec.tags.join(", ")],
      job.notes && ["Notes", h("span.notes", {}, job.notes)],
      ["Submitted", dateOf(job.created_at)],
      job.device && ["Device", job.device],
      job.report?.schema?.task && ["Task", job.report.schema.task],
      job.weights_digest && ["Weights", h("span.mono", { title: job.weights_digest }, job.weights_digest.slice(0, 12))],
      job.bit_exact === false && ["Bit-exact", "no: resumed under other versions, device or threads"],
    ].filter(Boolean);
    const shown = ["dataset", "name", "target", "trainer", "tags"];
    const changed = differences(job.spec, schema).filter(([name]) => !shown.includes(name));
    const words = changed.map(([name, given, usual]) => [title(name), h("span", { title: `By default: ${written(usual)}` }, written(given))]);
    fill(
      this.parts.settings,
      rows.map(entry),
      h("div.settings-rule", {}, h("dt", {}, changed.length ? "Other than the default" : "All else as by default"), h("dd")),
      words.map(entry),
    );
    fill(this.parts.recipe, recipe(job.report?.recipe));
  }
}

function factsOf(job) {
  return [
    (job.epoch > 0 || job.epochs > 0) && ["Epoch", job.epochs ? `${count(job.epoch)} / ${count(job.epochs)}` : count(job.epoch)],
    ["Step", job.total_steps ? `${count(job.step)} / ${count(job.total_steps)}` : count(job.step)],
    (job.diverged || job.loss !== null) && ["Loss", job.diverged ? "not finite" : value(job.loss)],
    ...Object.entries(scores(job)).slice(0, 4).map(([name, number]) => [title(name), value(number), baselineOf(job, name)]),
    Number.isFinite(job.samples_per_s) && ["Rows a second", count(job.samples_per_s)],
    job.best?.epoch && [`Best epoch by ${term(job.best.monitor)}`, count(job.best.epoch)],
    job.attempt > 1 && ["Attempt", job.resumed_from_step ? `${job.attempt}, from step ${count(job.resumed_from_step)}` : count(job.attempt)],
  ].filter(Boolean);
}

const isTabular = (job) => (job.spec?.trainer ?? "tabular") === "tabular";

const lineage = (id, text) => h("span", {}, h("a", { href: `#/job/${encodeURIComponent(id)}` }, id), text);

const entry = ([name, content]) => h("div", {}, h("dt", {}, name), h("dd", {}, content));

function writtenDetail({ line, column, value: cell, message, loc, msg }) {
  const place = [line && `line ${line}`, column && `column ${column}`, loc].filter(Boolean).join(", ");
  return h("li", {}, place && h("span.muted", {}, `${place}: `), message ?? msg ?? "", cell ? h("code", {}, ` ${cell}`) : null);
}
