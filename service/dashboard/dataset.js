// One data set: its columns with what they are and why, what to be warned of, the first rows; kinds can be changed for
// the job that is started from here.

import * as api from "./api.js";
import { confirm, notify, report } from "./dialog.js";
import { button, fill, h, say, scrolling } from "./dom.js";
import { bytes, count, dateOf, plural, share } from "./format.js";
import { icon } from "./icons.js";
import { trainSpec } from "./schema.js";
import { sketch } from "./sketch.js";

const ROWS = 20;
const COLUMNS = 200; // shown at once; a table of ten thousand columns is searched, not read

/** Put the data set into `root`; returns what ends it. */
export function showDataset(root, { id, stream }) {
  const view = new DatasetView(id);
  root.append(view.element);
  const open = () => view.open().catch((error) => view.missing(error));
  open();
  return stream.onEvent((message) => {
    if (message.type === "dataset" && message.name === id && message.action === "put") open();
  });
}

class DatasetView {
  #kinds = new Map(); // column -> the kind it is to be taken as
  #words = "";

  constructor(name) {
    this.name = name;
    this.element = h("section.dataset", { "aria-label": `Data set ${name}` }, h("p.nothing", {}, "Reading…"));
    this.changes = h("p.muted", { role: "status" });
    this.train = h("a.button.primary", {}, icon("play"), "Train a model on it");
  }

  missing(error) {
    if (error.code !== "dataset_not_found") report(error);
    fill(this.element, h("div.nothing", {}, h("h1", {}, error.message), h("p", {}, h("a", { href: "#/datasets" }, "All data sets"))));
  }

  async open() {
    const path = api.datasetPath(this.name);
    const [{ dataset }, preview, { properties, find }] = await Promise.all([api.get(path), api.get(`${path}/preview`, { rows: ROWS }), trainSpec()]);
    this.choices = find(find(properties.columns).additionalProperties).enum;
    this.dataset = dataset;
    this.summary = { ...preview, ...dataset.summary };
    this.preview = preview;
    this.#layout();
  }

  #layout() {
    const { dataset, summary } = this;
    const columns = summary.columns ?? [];
    const facts = [summary.n_rows !== undefined && plural(summary.n_rows, "row"), columns.length && plural(columns.length, "column"), bytes(dataset.size_bytes), dataset.format, dataset.created_at && `put ${dateOf(dataset.created_at)}`].filter(Boolean);
    const search = h("input", { type: "search", placeholder: "Search columns", "aria-label": "Search columns" });
    search.addEventListener("input", () => {
      this.#words = search.value.toLowerCase();
      this.#fillColumns();
    });
    this.rows = h("tbody");
    const heads = ["Column", "Kind", "Why", "Values", "Missing"];
    const table = h("table.columns", {}, h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))), this.rows);
    fill(
      this.element,
      h(
        "header.job-head",
        {},
        h("div.job-title", {}, h("p.crumbs", {}, h("a", { href: "#/datasets" }, "Data sets"), " / ", h("span.mono", { title: dataset.digest }, dataset.digest.slice(0, 12))), h("h1", {}, this.name), h("p.muted", {}, facts.join(" · "))),
        h("div.job-verbs", { "data-needs": "operator" }, this.train, button([icon("trash"), "Delete"], () => this.#delete())),
      ),
      this.#warnings(),
      h("section.panel", {}, h("div.panel-head", {}, h("h2", {}, "Columns"), this.changes, columns.length > 12 && h("div.search", {}, icon("search"), search)), scrolling("Columns", table)),
      h("section.panel", {}, h("h2", {}, "First rows"), this.#firstRows()),
    );
    this.#fillColumns();
    this.#sayChanges();
  }

  #warnings() {
    const general = (this.summary.warnings ?? []).filter(({ column }) => !column);
    return general.length > 0 && h("ul.stack", {}, general.map(({ message }) => h("li.warning", {}, icon("alert"), h("span", {}, message))));
  }

  #fillColumns() {
    const found = (this.summary.columns ?? []).filter(({ name }) => name.toLowerCase().includes(this.#words));
    const rest = found.length - COLUMNS;
    fill(this.rows, found.slice(0, COLUMNS).map((column) => this.#column(column)), rest > 0 && h("tr", {}, h("td.muted", { colspan: 5 }, `and ${count(rest)} more: search for their names`)));
  }

  #column({ name, kind, evidence, missing, distinct, sketch: about }) {
    const rows = this.summary.n_rows;
    const warnings = (this.summary.warnings ?? []).filter(({ column }) => column === name);
    const select = h("select", { "aria-label": `Kind of ${name}` }, this.choices.map((one) => h("option", { value: one }, one)));
    select.value = this.#kinds.get(name) ?? kind;
    select.classList.toggle("changed", this.#kinds.has(name));
    select.addEventListener("change", () => {
      if (select.value === kind) this.#kinds.delete(name);
      else this.#kinds.set(name, select.value);
      select.classList.toggle("changed", this.#kinds.has(name));
      this.#sayChanges();
    });
    const part = rows ? missing / rows : 0;
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, h("span.column-name", {}, name), warnings.map(({ message }) => h("span.column-warning", {}, icon("alert"), message))),
      h("td", {}, select),
      h("td.muted", {}, evidence, distinct > 0 && !evidence?.includes("distinct") ? h("span.row-sub", {}, ` · ${count(distinct)} distinct`) : null),
      h("td", {}, sketch(about, rows)),
      h("td.missing", {}, missing ? [h("span.bar", { "aria-hidden": "true" }, h("i", { vars: { part: String(part) } })), h("span", {}, share(part))] : h("span.muted", {}, "none")),
    );
  }

  #sayChanges() {
    const query = new URLSearchParams({ dataset: this.name });
    if (this.#kinds.size) query.set("columns", JSON.stringify(Object.fromEntries(this.#kinds)));
    this.train.href = `#/new?${query}`;
    say(this.changes, this.#kinds.size ? `${plural(this.#kinds.size, "column")} changed, for the job that you start from here` : "");
  }

  #firstRows() {
    const names = (this.preview.columns ?? this.summary.columns ?? []).map((column) => column.name ?? column);
    const cells = (row) => (Array.isArray(row) ? row : names.map((name) => row[name]));
    const written = (cell) => (cell === null || cell === undefined || cell === "" ? h("span.muted", {}, "–") : String(cell));
    const rows = (this.preview.rows ?? []).map((row) => h("tr", {}, cells(row).slice(0, COLUMNS).map((cell) => h("td.clip", { title: cell === null ? null : String(cell ?? "") }, written(cell)))));
    const head = h("tr", {}, names.slice(0, COLUMNS).map((name) => h("th", { scope: "col" }, name)));
    return scrolling("First rows", h("table.preview", {}, h("thead", {}, head), h("tbody", {}, rows)));
  }

  async #delete() {
    const sentence = "The file and all its versions are removed from the server's disk. Models that were trained on it stay.";
    if (!(await confirm(`Delete ${this.name}?`, sentence, "Delete"))) return;
    try {
      await api.remove(api.datasetPath(this.name));
      notify(`${this.name} is deleted.`);
      location.hash = "#/datasets";
    } catch (error) {
      report(error);
    }
  }
}
