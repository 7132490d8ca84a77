// A new study: what every trial trains, which fields are searched and where, and how far the search goes.

import * as api from "./api.js";
import { report } from "./dialog.js";
import { button, fill, h, say } from "./dom.js";
import { makeField } from "./fields.js";
import { icon } from "./icons.js";
import { trainSpec } from "./schema.js";
import { SpaceRow } from "./space-row.js";

const OF_TRIALS = ["model", "epochs", "batch_size", "patience", "trainer", "options"]; // of the spec
const OF_STUDY = ["trials", "metric", "name"];
const MORE = ["parallel", "max_seconds", "sampler", "pruner", "direction", "seed", "ensemble"];
const FIRST = { path: "lr", low: "0.0001", high: "0.01", isLog: true };

/** Put the form into `root`; `query` may name a data set. */
export function showStudyForm(root, { query }) {
  const view = new StudyForm(query);
  root.append(view.element);
  view.open().catch(report);
}

class StudyForm {
  #fields = new Map(); // path -> field
  #rows = [];

  constructor(query) {
    this.query = query;
    this.dataset = h("select", { id: "field-spec-dataset", on: { change: () => this.#listTargets().catch(report) } });
    this.target = h("select", { id: "field-spec-target" });
    this.start = h("button.button.primary.large", { type: "submit" }, "Begin the study");
    this.rows = h("div.space-rows");
    this.isOwn = h("input", { type: "checkbox", on: { change: () => this.#choose() } });
    this.searched = h("div", { hidden: true }, this.rows, button([icon("plus"), "Add a field"], () => this.#add({}).focus(), { kind: "tiny" }));
    this.problem = h("p.field-problem", { role: "alert", hidden: true });
    this.form = h("form.panel.create-form", { novalidate: true, hidden: true, on: { submit: (event) => this.#submit(event) } });
    this.element = h("section.create", { "aria-labelledby": "study-form-heading" }, h("header.page-head", {}, h("p.crumbs", {}, h("a", { href: "#/studies" }, "Studies"), " / new"), h("h1", { id: "study-form-heading" }, "New study"), h("p.muted", {}, "A study tries many settings, ends early what is hopeless, and makes one model of the best.")), this.form);
  }

  async open() {
    const [schema, { datasets }] = await Promise.all([trainSpec(), api.get("api/datasets")]);
    fill(this.dataset, h("option", { value: "" }, "Synthetic data (no file needed)"), datasets.map(({ name }) => h("option", { value: name }, name)));
    const wanted = this.query.get("dataset") ?? datasets[0]?.name ?? "";
    this.dataset.value = datasets.some(({ name }) => name === wanted) ? wanted : "";
    this.#layout(schema);
    this.#add(FIRST);
    await this.#listTargets();
    this.form.hidden = false;
  }

  #layout({ properties, study, find }) {
    const make = (name, of, path) => {
      const field = makeField(name, of[name], { path, find });
      this.#fields.set(path, field);
      return field.element;
    };
    const chosen = (name, select) => {
      make(name, properties, `spec.${name}`);
      const field = this.#fields.get(`spec.${name}`);
      select.setAttribute("aria-describedby", field.input.getAttribute("aria-describedby"));
      field.input.replaceWith(select);
      Object.assign(field, { input: select, read: () => select.value || undefined });
      return field.element;
    };
    fill(
      this.form,
      h("div.form-first", {}, chosen("dataset", this.dataset), chosen("target", this.target), OF_STUDY.map((name) => make(name, study, name))),
      h("section.form-section", {}, h("h2", {}, "What is searched"), h("label.check", {}, this.isOwn, "Fields and ranges of my own; otherwise the usual ones are searched"), this.searched, this.problem),
      h("details.more", {}, h("summary", {}, "All settings"), h("section.form-section", {}, h("h2", {}, "The search"), h("div.form-grid", {}, MORE.map((name) => make(name, study, name)))), h("section.form-section", {}, h("h2", {}, "Every trial"), h("div.form-grid", {}, OF_TRIALS.map((name) => make(name, properties, `spec.${name}`))))),
      h("div.create-go", {}, this.start),
    );
  }

  /** Offer the columns of the chosen table, its suggested target first. */
  async #listTargets() {
    const name = this.dataset.value;
    this.#fields.get("spec.target").element.hidden = !name;
    if (!name) return void fill(this.target, h("option", { value: "" }, ""));
    const { dataset } = await api.get(api.datasetPath(name));
    if (this.dataset.value !== name) return; // another was chosen meanwhile
    fill(this.target, h("option", { value: "" }, "Choose a column"), (dataset.summary?.columns ?? []).map((column) => h("option", { value: column.name }, column.name)));
    this.target.value = dataset.summary?.target ?? "";
  }

  #choose() {
    this.searched.hidden = !this.isOwn.checked;
  }

  #add(given) {
    const row = new SpaceRow(given, () => {
      this.#rows = this.#rows.filter((one) => one !== row);
      row.element.remove();
      this.searched.lastChild.focus();
    });
    this.#rows.push(row);
    this.rows.append(row.element);
    return row;
  }

  #read() {
    const request = { spec: {} };
    for (const [path, field] of this.#fields) {
      const value = field.read();
      if (value === undefined) continue;
      if (path.startsWith("spec.")) request.spec[path.slice(5)] = value;
      else request[path] = value;
    }
    if (!request.spec.dataset) delete request.spec.target;
    if (this.isOwn.checked) request.space = Object.fromEntries(this.#rows.map((row) => [row.path, row.read()]));
    return request;
  }

  /** Return what only the form can see: nothing to search, a field without a name, or one named twice. */
  #ownProblems() {
    if (this.dataset.value && !this.target.value && !this.#fields.get("spec.trainer").read()) return [{ loc: "spec.target", msg: "Choose the column to predict." }];
    if (!this.isOwn.checked) return [];
    const paths = this.#rows.map(({ path }) => path);
    if (!paths.length) return [{ loc: "space", msg: "Add a field that is searched." }];
    return this.#rows.flatMap((row, place) => {
      const msg = !row.path ? "Name the field." : paths.indexOf(row.path) < place ? "is named twice" : null;
      return msg ? [{ loc: `space.${row.path}`, msg, row }] : [];
    });
  }

  /** Write each problem beside the field that it is about; returns those that are about none. */
  #complain(details) {
    const owners = [...[...this.#fields].flatMap(([, field]) => [field, ...(field.fields ?? [])]), ...this.#rows];
    const pathOf = (owner) => (owner instanceof SpaceRow ? `space.${owner.path}` : owner.path);
    const owner = ({ loc = "", row }) => row ?? owners.filter((one) => loc === pathOf(one) || loc.startsWith(`${pathOf(one)}.`)).sort((one, other) => pathOf(other).length - pathOf(one).length)[0];
    const left = details.filter((one) => !owner(one));
    for (const one of owners) {
      const own = details.filter((detail) => owner(detail) === one);
      const rest = ({ loc, msg }) => [loc.slice(pathOf(one).length + 1), msg].filter(Boolean).join(" ");
      one.complain(own.map(rest).join("; ") || null);
      if (own.length && one.element.closest("details")) one.element.closest("details").open = true;
    }
    this.problem.hidden = !left.length;
    say(this.problem, left.map(({ loc, msg }) => (loc && loc !== "space" ? `${loc}: ${msg}` : msg)).join("; "));
  }

  async #submit(event) {
    event.preventDefault();
    const own = this.#ownProblems();
    this.#complain(own);
    if (own.length) return void this.form.querySelector("[aria-invalid]")?.focus();
    this.start.disabled = true;
    try {
      const { study_id: id } = await api.post("api/studies", this.#read());
      location.hash = `#/studies/${encodeURIComponent(id)}`;
    } catch (error) {
      this.#complain(error.details ?? []);
      if (error.details?.length) this.form.querySelector("[aria-invalid]")?.focus();
      else report(error);
    }
    this.start.disabled = false;
    return undefined;
  }
}
