// The table of compared runs: how good each is, and what they differ in; sorted by any column, the best first.

import { button, fill, h, scrolling } from "./dom.js";
import { duration, plural, title, value } from "./format.js";
import { icon, stateIcon } from "./icons.js";
import { compared, isUp } from "./order.js";
import { colorOf, differing, settingsOf } from "./runs.js";
import { written } from "./schema.js";
import { nameOf } from "./standing.js";
import { scores } from "./store.js";

const LONGEST = 60; // characters of a setting

export class RunTable {
  #runs = [];
  #sort; // {key, isDown}
  #columns = [];
  #isChosen;
  ups = new Map(); // metric -> whether more of it is better, where the name alone does not tell
  differing = { settings: new Map(), paths: [], metric: "" }; // of the runs that are shown

  /** `sort` is as the address has it: a column's key, with "-" before it for the other way round. */
  constructor({ sort, onSort, onPick, onHide, onRemove }) {
    Object.assign(this, { onSort, onPick, onHide, onRemove });
    this.#isChosen = Boolean(sort);
    this.#sort = sort ? { key: sort.replace(/^-/, ""), isDown: sort.startsWith("-") } : null;
    this.head = h("tr");
    this.body = h("tbody");
    this.note = h("p.muted.note");
    this.element = h("section.panel", {}, h("h2", {}, "What differs"), this.note, scrolling("Runs", h("table.run-table", {}, h("thead", {}, this.head), this.body)));
  }

  /** Show runs; where nobody has sorted, the best by `metric` come first. */
  show(runs, metric) {
    this.#runs = runs;
    const jobs = runs.filter(({ job }) => job).map(({ job }) => job);
    const settings = new Map(jobs.map((job) => [job.job_id, settingsOf(job)]));
    const paths = differing([...settings.values()]);
    const names = [...new Set(jobs.flatMap((job) => Object.keys(scores(job)).filter((name) => Number.isFinite(scores(job)[name]))))];
    this.#columns = [
      { key: "name", label: "Run", of: (job) => nameOf(job), isText: true },
      ...names.map((name) => ({ key: name, label: title(name), of: (job) => scores(job)[name], isMetric: true, isUp: this.ups.get(name) ?? isUp(name) })),
      { key: "seconds", label: "Training", of: (job) => job.timings?.running_s, write: duration },
      ...paths.map((path) => ({ key: `set:${path}`, label: path, of: (job) => settings.get(job.job_id)[path], write: brief, isText: false, isSetting: true })),
    ];
    if (!this.#isChosen) this.#sort = { key: this.#usual(names, metric), isDown: false };
    this.differing = { settings, paths, metric: this.#usual(names, metric) };
    const left = jobs.length < 2 ? "" : paths.length ? `They differ in ${plural(paths.length, "setting")}; all others are the same.` : "All settings are the same.";
    this.note.textContent = left;
    this.#draw();
  }

  /** Mark the run that the pointer is at in the chart. */
  mark(id) {
    for (const row of this.body.children) row.classList.toggle("picked", row.dataset.id === id);
  }

  #usual(names, metric) {
    const plain = (metric ?? "").replace(/^(metrics|custom)\./, "");
    return [plain, "val_loss", ...names].find((name) => names.includes(name)) ?? "name";
  }

  #draw() {
    const focused = document.activeElement?.closest?.("[data-sort]")?.dataset.sort;
    fill(this.head, h("th", { scope: "col" }, h("span.unseen", {}, "Shown")), this.#columns.map((column) => this.#headOf(column)), h("th", {}, h("span.unseen", {}, "Remove")));
    if (focused) this.head.querySelector(`[data-sort="${CSS.escape(focused)}"]`)?.focus();
    const bests = new Map(this.#columns.filter(({ isMetric }) => isMetric).map((column) => [column.key, bestOf(this.#runs, column)]));
    fill(this.body, this.#sorted().map((run) => this.#rowOf(run, bests)));
  }

  #headOf(column) {
    const { key, isDown } = this.#sort;
    const isHere = key === column.key;
    const way = isHere ? (isDown === Boolean(column.isUp) ? "ascending" : "descending") : "none";
    const press = () => {
      this.#isChosen = true;
      this.#sort = { key: column.key, isDown: isHere && !isDown };
      this.onSort(`${this.#sort.isDown ? "-" : ""}${column.key}`);
      this.#draw();
    };
    return h("th", { scope: "col", "aria-sort": way, class: column.isSetting || column.isText ? "" : "number" }, h("button.sort", { type: "button", "data-sort": column.key, on: { click: press } }, column.label, h("i", { "aria-hidden": "true" }, isHere ? (way === "ascending" ? "↑" : "↓") : "")));
  }

  /** Numbers go best first, texts by the alphabet; what has no value is last either way. */
  #sorted() {
    const { key, isDown } = this.#sort;
    const column = this.#columns.find((one) => one.key === key) ?? this.#columns[0];
    const sign = (column.isUp ? -1 : 1) * (isDown ? -1 : 1);
    return [...this.#runs].sort((one, other) => compared(one.job && column.of(one.job), other.job && column.of(other.job), sign) || one.place - other.place);
  }

  #rowOf(run, bests) {
    const { job } = run;
    const shown = h("input", { type: "checkbox", checked: !run.isHidden, "aria-label": `Draw ${job ? nameOf(job) : run.id}`, on: { change: () => this.onHide(run.id) } });
    const name = job ? h("a", { href: `#/job/${encodeURIComponent(run.id)}` }, nameOf(job)) : h("span.muted", {}, `${run.id} · ${run.isMissing ? "not there" : "not read yet"}`);
    const cells = this.#columns.slice(1).map((column) => {
      const found = job ? column.of(job) : undefined;
      const text = column.write ? column.write(found) : value(found);
      const isBest = column.isMetric && found !== undefined && found === bests.get(column.key) && this.#runs.length > 1;
      return h("td", { class: `${column.isSetting ? "" : "number"} ${isBest ? "best" : ""}`, title: text.length > LONGEST ? text : null }, text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text);
    });
    return h(
      "tr",
      { "data-id": run.id, class: run.isHidden ? "unshown" : "", on: { pointerenter: () => this.onPick(run.id), pointerleave: () => this.onPick(null) } },
      h("td", {}, shown),
      h("th", { scope: "row" }, h("span.run-name", {}, h("span.swatch", { vars: { run: colorOf(run.place) } }), job && stateIcon(job.status), name)),
      cells,
      h("td", {}, button(icon("close"), () => this.onRemove(run.id), { kind: "quiet tiny icon-only", label: `Leave ${job ? nameOf(job) : run.id} out` })),
    );
  }
}

const brief = (found) => (found === undefined ? "–" : typeof found === "number" ? value(found) : written(found));

function bestOf(runs, column) {
  const found = runs.map(({ job }) => job && column.of(job)).filter(Number.isFinite);
  return found.length ? (column.isUp ? Math.max(...found) : Math.min(...found)) : undefined;
}
