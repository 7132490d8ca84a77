// One row in, one prediction out: a form of the model's columns, filled with rows of its own data to start from.

import * as api from "./api.js";
import { button, fill, h } from "./dom.js";
import { share, value } from "./format.js";
import { icon } from "./icons.js";
import { datasetOf } from "./standing.js";

const SHOWN = 12; // columns at once; the others behind one click
const EXAMPLES = 20;
const INTERVAL = 0.9; // of rows like the one predicted, whose value the interval holds
const MOST_CHOICES = 50; // of a column whose values are all known

/** Return the panel, or null where the model's columns are not known; `onRow(row)` hears of each row predicted. */
export function predictPanel(job, onRow) {
  const columns = (job.report?.schema?.columns ?? []).filter((column) => column.role === "feature");
  if (!columns.length) return null;
  return new PredictForm(job, columns, onRow).element;
}

class PredictForm {
  #examples = [];
  #next = 0;
  choices = 0; // lists of suggestions so far
  #isTouched = false; // then what is in the form is the user's

  constructor(job, columns, onRow) {
    Object.assign(this, { job, columns, onRow });
    this.target = job.report.schema.target;
    this.inputs = new Map(columns.map((column) => [column.name, this.#input(column)]));
    this.answer = h("div.prediction", { role: "status" });
    this.go = h("button.button.primary", { disabled: true }, "Predict"); // until there is a row to predict
    this.another = button([icon("again"), "Another row"], () => this.#fillIn(), { kind: "tiny", hidden: true });
    const fields = columns.map(({ name, kind }) => h("label.field", {}, h("span.field-name.clip", { title: `${name}: ${kind}` }, name), this.inputs.get(name)));
    const rest = fields.splice(SHOWN);
    const form = h(
      "form.predict-form",
      { on: { submit: (event) => this.#predict(event), input: () => (this.#isTouched = true) } },
      h("div.predict-fields", {}, fields),
      rest.length > 0 && h("details", {}, h("summary", {}, `${rest.length} more columns`), h("div.predict-fields", {}, rest)),
      h("div.predict-go", {}, this.go, this.answer),
    );
    this.element = h("section.panel.predict", {}, h("div.panel-head", {}, h("h2", {}, "Predict ", h("span.muted", {}, this.target)), this.another), form);
    this.#loadExamples();
  }

  #input({ name, kind }) {
    const isNumber = kind === "numeric";
    return h("input", { name, autocomplete: "off", spellcheck: "false", inputmode: isNumber ? "decimal" : "text", placeholder: "missing" });
  }

  /** Make a choice of a column of few values; of one with more, its most frequent values are suggested. */
  #offer({ name, kind, sketch }) {
    const input = this.inputs.get(name);
    const levels = (sketch?.levels ?? []).map(([level]) => String(level));
    if (!input || !levels.length || kind === "numeric") return;
    if (sketch.others || levels.length > MOST_CHOICES) {
      const list = h("datalist", { id: `choices-${this.choices += 1}` }, levels.map((level) => h("option", { value: level })));
      input.setAttribute("list", list.id);
      input.after(list);
      return;
    }
    const select = h("select", { name }, h("option", { value: "" }, "missing"), levels.sort(byName).map((level) => h("option", { value: level }, level)));
    write(select, input.value);
    input.replaceWith(select);
    this.inputs.set(name, select);
  }

  async #loadExamples() {
    const dataset = datasetOf(this.job);
    if (dataset) {
      const { columns, rows } = await api.get(api.datasetPath(dataset, "/preview"), { rows: EXAMPLES }).catch(() => ({ rows: [] }));
      const names = (columns ?? []).map((column) => column.name ?? column);
      for (const column of columns ?? []) this.#offer(column);
      this.#examples = rows.map((row) => (Array.isArray(row) ? Object.fromEntries(row.map((cell, index) => [names[index], cell])) : row));
    } else {
      this.#examples = [Object.fromEntries(this.columns.map(({ name }, index) => [name, Math.round(Math.sin(index + 1) * 100) / 100]))];
    }
    this.another.hidden = this.#examples.length < 2;
    if (this.#examples.length && !this.#isTouched) this.#fillIn();
    this.go.disabled = false;
  }

  #fillIn() {
    const row = this.#examples[this.#next % this.#examples.length];
    this.#next += 1;
    for (const [name, input] of this.inputs) write(input, String(row[name] ?? ""));
    this.example = row; // of tables too wide for a form, the columns that are not in it
    this.actual = row[this.target];
    fill(this.answer);
    this.onRow(this.#row());
  }

  /** The row as the API takes it: numbers as numbers, an empty field as a missing value, all else as its text. */
  #row() {
    const unseen = this.job.report.schema.n_columns > this.job.report.schema.columns.length ? this.example : {};
    const cells = this.columns.map(({ name, kind }) => {
      const text = this.inputs.get(name).value.trim();
      if (text === "") return [name, null];
      return [name, kind === "numeric" && Number.isFinite(Number(text)) ? Number(text) : text];
    });
    return { ...unseen, ...Object.fromEntries(cells) };
  }

  async #predict(event) {
    event.preventDefault();
    this.#isTouched = true;
    const row = this.#row();
    this.onRow(row);
    try {
      const answer = await api.post(api.modelPath(this.job.job_id, "/predict"), { rows: [row], ...this.#interval() });
      this.#show(answer);
    } catch (error) {
      const details = (error.details ?? []).map(({ loc, msg }) => h("p", {}, `${loc}: ${msg}`));
      fill(this.answer, h("div.problem", {}, h("p", {}, error.message), details));
    }
  }

  /** An interval too, where the model's report says how often such intervals hold. */
  #interval() {
    return (this.job.report.intervals ?? []).some(({ level }) => level === INTERVAL) ? { interval: INTERVAL } : {};
  }

  #show({ predictions: [prediction], probabilities: [probabilities] = [], intervals: [interval] = [] }) {
    const text = typeof prediction === "number" ? value(prediction, 6) : String(prediction);
    const actual = this.actual === undefined || this.actual === null ? null : h("span.muted", {}, `the file says ${typeof this.actual === "number" ? value(this.actual, 6) : this.actual}`);
    const likely = Object.entries(probabilities ?? {}).sort((one, other) => other[1] - one[1]).slice(0, 5);
    fill(
      this.answer,
      h("p.prediction-value", {}, h("output", {}, text), actual),
      interval && h("p.muted", {}, `${share(INTERVAL)} of such rows lie between ${value(interval[0], 6)} and ${value(interval[1], 6)}.`),
      likely.length > 0 && h("ol.importance", {}, likely.map(([label, part]) => h("li", {}, h("span.clip", {}, label), h("span.bar", { "aria-hidden": "true" }, h("i", { vars: { part: String(part) } })), h("span.number", {}, share(part))))),
    );
  }
}

const byName = (one, other) => one.localeCompare(other, undefined, { numeric: true });

/** Put a text into a field; what is not among its choices becomes one. */
function write(field, text) {
  if (field.tagName === "SELECT" && ![...field.options].some((option) => option.value === text)) field.append(h("option", { value: text }, text));
  field.value = text;
}
