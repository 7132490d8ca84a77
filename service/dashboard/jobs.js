// The list of jobs: filter, search, sort, group, live. Thousands of jobs stay smooth: only the rows in sight exist.
// What is shown stands in the address; the columns that were added are kept for the next visit, too.

import { columnMenu } from "./column-menu.js";
import { report } from "./dialog.js";
import { button, fill, h, say } from "./dom.js";
import { count } from "./format.js";
import { icon } from "./icons.js";
import { column, direction, HEADS, order, tagsOf } from "./job-columns.js";
import { grouped, GROUPS, StudyGroups } from "./job-groups.js";
import { makeHeading, makeRow, updateHeading, updateRow } from "./row.js";
import { Selection } from "./selection.js";
import { Sparks } from "./spark.js";
import { nameOf, subjectOf } from "./standing.js";
import { isActive } from "./store.js";
import { VirtualList } from "./virtual.js";
import { welcome } from "./welcome.js";

const AGES_MS = 20_000; // how often "5 min ago" is looked at again
const STUDIES_MS = 1_500; // after a study has changed its trials are fetched again
const KEPT = "traind.jobs.columns";

const FILTERS = {
  all: ["All", () => true],
  running: ["Running", isActive],
  waiting: ["Waiting", (job) => job.status === "QUEUED" || job.status === "PAUSED"],
  done: ["Done", (job) => job.status === "COMPLETED" || job.status === "STOPPED"],
  failed: ["Failed", (job) => job.status === "FAILED"],
  cancelled: ["Cancelled", (job) => job.status === "CANCELLED"],
};

const SORTS = {
  started: "Newest first",
  "-started": "Oldest first",
  name: "Name",
  state: "State",
  progress: "Progress",
  loss: "Loss, lowest first",
  score: "Score, best first",
  time: "Longest training",
};

/** Put the list into `root`; returns what ends it. */
export function showJobs(root, { store, stream, query }) {
  const view = new JobsView(store, query);
  root.append(view.element);
  const stops = [store.listen(() => view.draw()), stream.onEvent((event) => view.hear(event))];
  const ages = setInterval(() => view.list.refresh(), AGES_MS);
  view.draw();
  return () => {
    clearInterval(ages);
    stops.forEach((stop) => stop());
    view.close();
  };
}

class JobsView {
  #studiesDue = null;

  constructor(store, query) {
    this.store = store;
    this.filter = query.get("show") in FILTERS ? query.get("show") : "all";
    this.sort = column((query.get("sort") ?? "").replace(/^-/, "")) ? query.get("sort") : "started";
    this.group = query.get("group") in GROUPS ? query.get("group") : "none";
    this.tags = query.getAll("tag");
    this.columns = (query.get("columns") ?? localStorage.getItem(KEPT) ?? "").split(",").filter((key) => key && column(key) && !HEADS.includes(key));
    this.words = [];
    this.sparks = new Sparks(() => this.list.refresh());
    this.studies = new StudyGroups(() => this.draw());
    this.selection = new Selection(() => this.list.refresh());
    this.rows = h("div.rows", { role: "rowgroup" });
    this.head = h("div.row.row-head", { role: "row", "aria-rowindex": 1 });
    this.table = h("div.list", { role: "table", "aria-label": "Jobs" }, h("div", { role: "rowgroup" }, this.head), this.rows);
    this.nothing = h("p.nothing", { hidden: true });
    this.chips = h("div.chips", { role: "group", "aria-label": "Show" });
    this.tagChips = h("div.chips.tag-chips", { role: "group", "aria-label": "Only with these tags", hidden: true });
    this.sorts = h("select", { "aria-label": "Sort", on: { change: () => this.#set({ sort: this.sorts.value }) } });
    this.groups = h("select", { "aria-label": "Group", on: { change: () => this.#set({ group: this.groups.value }) } }, Object.entries(GROUPS).map(([name, label]) => h("option", { value: name, selected: name === this.group }, label)));
    const menu = columnMenu({ jobs: () => [...this.store.jobs.values(), ...this.studies.jobs()], chosen: () => this.columns, toggle: (key) => this.#toggleColumn(key) });
    this.bar = h("div.toolbar", {}, this.chips, this.#search(), this.groups, menu, this.sorts);
    this.welcome = h("div", { hidden: true });
    this.element = h("section.jobs", { "aria-labelledby": "jobs-heading" }, h("h1.unseen", { id: "jobs-heading" }, "Jobs"), this.bar, this.tagChips, this.table, this.nothing, this.welcome, this.selection.element);
    this.list = new VirtualList(this.rows, { key: ({ key }) => key, make: (item) => this.#make(item), update: (row, item) => this.#update(row, item) });
    for (const [name, [label]] of Object.entries(FILTERS)) this.chips.append(this.#chip(name, label));
    if (this.group === "study") this.studies.load().catch(report);
  }

  close() {
    clearTimeout(this.#studiesDue);
    this.list.close();
  }

  hear(event) {
    this.sparks.add(event);
    const isStudys = event.type === "study" || event.type === "study_deleted";
    if (!isStudys || this.group !== "study" || this.#studiesDue) return;
    this.#studiesDue = setTimeout(() => {
      this.#studiesDue = null;
      this.studies.load().catch(() => {});
    }, STUDIES_MS);
  }

  #make(item) {
    if (item.heading !== undefined) return makeHeading(item, (id) => this.studies.toggle(id).catch(report));
    const { job } = item;
    return makeRow(job, {
      onSelect: (...chosen) => this.selection.select(...chosen),
      onTag: (tag) => this.#set({ tags: this.tags.includes(tag) ? this.tags : [...this.tags, tag] }),
      onEdit: async (row) => (await import("./row-edit.js")).editRow(row, row.job),
    });
  }

  #update(row, item) {
    if (item.heading !== undefined) updateHeading(row, item);
    else updateRow(row, item.job, { store: this.store, sparks: this.sparks, selected: this.selection.ids, extras: this.extras });
  }

  #chip(name, label) {
    return h("button.chip", { type: "button", "data-filter": name, on: { click: () => this.#set({ filter: name }) } }, label, h("span.chip-count"));
  }

  #search() {
    const input = h("input", { type: "search", id: "search", placeholder: "Search jobs", "aria-label": "Search by name, id, data set, target or tag" });
    input.addEventListener("input", () => {
      this.words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      this.draw();
    });
    return h("div.search", {}, icon("search"), input);
  }

  #toggleColumn(key) {
    const columns = this.columns.includes(key) ? this.columns.filter((one) => one !== key) : [...this.columns, key];
    localStorage.setItem(KEPT, columns.join(","));
    this.#set({ columns });
  }

  /** Change what is shown; it goes into the address. */
  #set(change) {
    const isNewGroup = change.group && change.group !== this.group;
    Object.assign(this, change);
    const { filter, sort, group, tags, columns } = this;
    const set = [filter !== "all" && ["show", filter], sort !== "started" && ["sort", sort], group !== "none" && ["group", group], ...tags.map((tag) => ["tag", tag]), columns.length && ["columns", columns.join(",")]].filter(Boolean);
    const query = set.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
    history.replaceState(null, "", query ? `#/jobs?${query}` : "#/jobs");
    if (isNewGroup && group === "study") this.studies.load().catch(report);
    this.draw();
  }

  #matches(job) {
    const tags = tagsOf(job);
    const text = `${nameOf(job)} ${job.job_id} ${subjectOf(job)} ${tags.join(" ")} ${job.status} ${job.notes ?? ""}`.toLowerCase();
    return FILTERS[this.filter][1](job) && this.tags.every((tag) => tags.includes(tag)) && this.words.every((word) => text.includes(word));
  }

  draw() {
    const all = [...this.store.jobs.values()].filter((job) => !job.study_id); // a study's group and its own page have its trials
    const isEmpty = this.store.isLoaded && all.length === 0 && this.group !== "study";
    this.bar.hidden = isEmpty;
    this.table.hidden = isEmpty || !this.store.isLoaded;
    this.welcome.hidden = !isEmpty;
    if (isEmpty && !this.welcome.firstChild) fill(this.welcome, welcome());
    this.extras = this.columns.map(column);
    this.#drawHead();
    this.#drawChips(all);
    const sorted = all.filter((job) => this.#matches(job)).sort(order(this.sort));
    this.studies.arrange(order(this.sort), (job) => this.#matches(job));
    const items = grouped(sorted, this.group, this.studies);
    const shown = items.filter(({ job }) => job).map(({ job }) => job.job_id);
    this.selection.show([...new Set(shown)], (id) => this.store.jobs.has(id) || shown.includes(id));
    this.table.setAttribute("aria-rowcount", items.length + 1);
    this.nothing.hidden = items.length > 0 || isEmpty || !this.store.isLoaded;
    say(this.nothing, this.words.length || this.tags.length ? "No job matches the search." : `No job is ${FILTERS[this.filter][0].toLowerCase()}.`);
    this.list.show(items);
  }

  #drawHead() {
    const key = [this.sort, ...this.columns].join("\n");
    if (this.head.dataset.key === key) return;
    this.head.dataset.key = key;
    const focused = document.activeElement?.closest?.(".row-head [data-sort]")?.dataset.sort;
    const head = (one) => {
      const way = direction(one.key, this.sort);
      const press = () => this.#set({ sort: this.sort === one.key ? `-${one.key}` : one.key });
      return h("span", { role: "columnheader", "aria-sort": way, class: HEADS.includes(one.key) ? `head-${one.key}` : "row-extra" }, h("button.sort", { type: "button", "data-sort": one.key, title: one.label, on: { click: press } }, one.label, h("i", { "aria-hidden": "true" }, way === "none" ? "" : way === "ascending" ? "↑" : "↓")));
    };
    const quiet = (name, text) => h(`span.head-${name}`, { role: "columnheader" }, unseenText(text));
    fill(this.head, quiet("select", "Select"), HEADS.map((name) => head(column(name))), this.extras.map(head), quiet("verbs", "Actions"));
    if (focused) this.head.querySelector(`[data-sort="${CSS.escape(focused)}"]`)?.focus();
    this.table.style.setProperty("--extra-columns", this.extras.map(() => "minmax(88px, 1fr)").join(" "));
    this.table.style.setProperty("--extras", this.extras.length);
    const sorts = { ...SORTS, ...Object.fromEntries(this.extras.map((one) => [one.key, one.label])) };
    if (!(this.sort in sorts)) sorts[this.sort] = `${column(this.sort.replace(/^-/, "")).label}${this.sort.startsWith("-") ? ", turned round" : ""}`;
    fill(this.sorts, Object.entries(sorts).map(([name, label]) => h("option", { value: name, selected: name === this.sort }, label)));
  }

  #drawChips(all) {
    for (const chip of this.chips.children) {
      const { filter } = chip.dataset;
      const number = all.filter(FILTERS[filter][1]).length;
      chip.setAttribute("aria-pressed", String(filter === this.filter));
      chip.hidden = number === 0 && filter !== "all" && filter !== "running" && filter !== this.filter;
      say(chip.lastChild, count(number));
    }
    const key = this.tags.join("\n");
    if (this.tagChips.dataset.key === key) return;
    this.tagChips.dataset.key = key;
    this.tagChips.hidden = this.tags.length === 0;
    fill(this.tagChips, this.tags.map((tag) => button([h("span", {}, tag), icon("close")], () => this.#set({ tags: this.tags.filter((one) => one !== tag) }), { kind: "tiny", label: `No longer only with the tag ${tag}` })));
  }
}

const unseenText = (text) => h("span.unseen", {}, text);
