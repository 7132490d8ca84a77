// The list of jobs: filter, search, sort, live. Thousands of jobs stay smooth: only the rows in sight exist.

import { button, fill, h, say } from "./dom.js";
import { count } from "./format.js";
import { icon } from "./icons.js";
import { makeRow, updateRow } from "./row.js";
import { Sparks } from "./spark.js";
import { nameOf, subjectOf } from "./standing.js";
import { isActive, scores } from "./store.js";
import { VirtualList } from "./virtual.js";
import { welcome } from "./welcome.js";

const MOST_RUNS = 200; // that can be compared
const AGES_MS = 20_000; // how often "5 min ago" is looked at again

const FILTERS = {
  all: ["All", () => true],
  running: ["Running", isActive],
  waiting: ["Waiting", (job) => job.status === "QUEUED" || job.status === "PAUSED"],
  done: ["Done", (job) => job.status === "COMPLETED" || job.status === "STOPPED"],
  failed: ["Failed", (job) => job.status === "FAILED"],
  cancelled: ["Cancelled", (job) => job.status === "CANCELLED"],
};

const firstScore = (job) => Object.values(scores(job)).find(Number.isFinite) ?? Infinity;
const took = (job) => job.timings?.running_s ?? (job.finished_at ?? 0) - (job.started_at ?? 0);
const ORDER = ["RUNNING", "LOADING", "STARTING", "QUEUED", "PAUSED", "FAILED", "STOPPED", "COMPLETED", "CANCELLED"];

const SORTS = {
  newest: ["Newest first", (one, other) => other.created_at - one.created_at],
  oldest: ["Oldest first", (one, other) => one.created_at - other.created_at],
  name: ["Name", (one, other) => nameOf(one).localeCompare(nameOf(other), undefined, { numeric: true })],
  state: ["State", (one, other) => ORDER.indexOf(one.status) - ORDER.indexOf(other.status)],
  progress: ["Progress", (one, other) => other.progress - one.progress],
  loss: ["Loss, lowest first", (one, other) => (one.loss ?? Infinity) - (other.loss ?? Infinity)],
  score: ["Score, lowest first", (one, other) => firstScore(one) - firstScore(other)],
  time: ["Longest training", (one, other) => took(other) - took(one)],
};

const HEADS = ["Select", "State", "Job", "Progress", "Loss", "Best score", "Time", "Started", "Actions"];

/** Put the list into `root`; returns what ends it. */
export function showJobs(root, { store, stream, query }) {
  const view = new JobsView(store, query);
  root.append(view.element);
  const stops = [store.listen(() => view.draw()), stream.onEvent((event) => view.sparks.add(event))];
  const ages = setInterval(() => view.list.refresh(), AGES_MS);
  view.draw();
  return () => {
    clearInterval(ages);
    stops.forEach((stop) => stop());
    view.list.close();
  };
}

class JobsView {
  constructor(store, query) {
    this.store = store;
    this.filter = query.get("show") in FILTERS ? query.get("show") : "all";
    this.sort = "newest";
    this.words = [];
    this.selected = new Set(); // ids, to be compared
    this.shown = [];
    this.lastSelected = null;
    this.sparks = new Sparks(() => this.list.refresh());
    this.rows = h("div.rows", { role: "rowgroup" });
    this.table = h(
      "div.list",
      { role: "table", "aria-label": "Jobs" },
      h("div", { role: "rowgroup" }, h("div.row.row-head", { role: "row", "aria-rowindex": 1 }, HEADS.map((head) => h("span", { role: "columnheader" }, head)))),
      this.rows,
    );
    this.nothing = h("p.nothing", { hidden: true });
    this.chips = h("div.chips", { role: "group", "aria-label": "Show" });
    this.bar = h("div.toolbar", {}, this.chips, this.search(), this.sorting());
    this.welcome = h("div", { hidden: true });
    this.compareLink = h("a.button.primary");
    this.selectedWords = h("span", { role: "status" });
    this.actions = h("div.selected-bar", { hidden: true }, this.selectedWords, h("span.spread"), button("Clear", () => this.#clear(), { kind: "quiet" }), this.compareLink);
    this.element = h("section.jobs", { "aria-labelledby": "jobs-heading" }, h("h1.unseen", { id: "jobs-heading" }, "Jobs"), this.bar, this.table, this.nothing, this.welcome, this.actions);
    this.list = new VirtualList(this.rows, {
      key: (job) => job.job_id,
      make: (job) => makeRow(job, { onSelect: (...chosen) => this.select(...chosen) }),
      update: (row, job) => updateRow(row, job, this),
    });
    for (const [name, [label]] of Object.entries(FILTERS)) this.chips.append(this.chip(name, label));
  }

  chip(name, label) {
    const number = h("span.chip-count");
    const press = () => {
      this.filter = name;
      history.replaceState(null, "", name === "all" ? "#/jobs" : `#/jobs?show=${name}`);
      this.draw();
    };
    return h("button.chip", { type: "button", "data-filter": name, on: { click: press } }, label, number);
  }

  search() {
    const input = h("input", { type: "search", id: "search", placeholder: "Search jobs", "aria-label": "Search by name, id, data set, target or tag" });
    input.addEventListener("input", () => {
      this.words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      this.draw();
    });
    return h("div.search", {}, icon("search"), input);
  }

  sorting() {
    const select = h("select", { "aria-label": "Sort" });
    for (const [name, [label]] of Object.entries(SORTS)) select.append(h("option", { value: name }, label));
    select.addEventListener("change", () => {
      this.sort = select.value;
      this.draw();
    });
    return select;
  }

  /** Select a job or not; with Shift all between it and the one before, too. */
  select(id, isOn, isRange) {
    const ids = this.shown.map(({ job_id: jobId }) => jobId);
    const ends = [ids.indexOf(id), isRange ? ids.indexOf(this.lastSelected) : -1].filter((index) => index >= 0);
    const chosen = ends.length === 2 ? ids.slice(Math.min(...ends), Math.max(...ends) + 1) : [id];
    for (const one of chosen) {
      if (isOn) this.selected.add(one);
      else this.selected.delete(one);
    }
    this.lastSelected = id;
    this.list.refresh();
    this.#drawSelected();
  }

  #clear() {
    this.selected.clear();
    this.list.refresh();
    this.#drawSelected();
  }

  #drawSelected() {
    const number = this.selected.size;
    this.actions.hidden = number === 0;
    say(this.selectedWords, number > MOST_RUNS ? `${count(number)} selected; ${count(MOST_RUNS)} can be compared` : `${count(number)} selected`);
    say(this.compareLink, number === 1 ? "Select one more" : `Compare ${count(Math.min(number, MOST_RUNS))}`);
    if (number > 1) this.compareLink.href = `#/compare/${[...this.selected].slice(0, MOST_RUNS).map(encodeURIComponent).join(",")}`;
    else this.compareLink.removeAttribute("href");
  }

  matches(job) {
    const text = `${nameOf(job)} ${job.job_id} ${subjectOf(job)} ${(job.tags ?? job.spec?.tags ?? []).join(" ")} ${job.status}`.toLowerCase();
    return this.words.every((word) => text.includes(word));
  }

  draw() {
    const all = [...this.store.jobs.values()];
    const isEmpty = this.store.isLoaded && all.length === 0;
    this.bar.hidden = isEmpty;
    this.table.hidden = isEmpty || !this.store.isLoaded;
    this.welcome.hidden = !isEmpty;
    if (isEmpty && !this.welcome.firstChild) fill(this.welcome, welcome());
    this.countChips(all);
    const shown = all.filter((job) => FILTERS[this.filter][1](job) && this.matches(job)).sort(SORTS[this.sort][1]);
    this.shown = shown;
    for (const id of this.selected) if (!this.store.jobs.has(id)) this.selected.delete(id);
    this.#drawSelected();
    this.table.setAttribute("aria-rowcount", shown.length + 1);
    this.nothing.hidden = shown.length > 0 || isEmpty || !this.store.isLoaded;
    say(this.nothing, this.words.length ? "No job matches the search." : `No job is ${FILTERS[this.filter][0].toLowerCase()}.`);
    this.list.show(shown);
  }

  countChips(all) {
    for (const chip of this.chips.children) {
      const { filter } = chip.dataset;
      const number = all.filter(FILTERS[filter][1]).length;
      chip.setAttribute("aria-pressed", String(filter === this.filter));
      chip.hidden = number === 0 && filter !== "all" && filter !== "running" && filter !== this.filter;
      say(chip.lastChild, count(number));
    }
  }
}
