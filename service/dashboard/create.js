// A new job: few fields first, the rest behind one click, and what would happen beside them before it starts.

import * as api from "./api.js";
import { report } from "./dialog.js";
import { fill, h, say } from "./dom.js";
import { showDryRun, showRefusal } from "./dryrun.js";
import { makeField } from "./fields.js";
import { essence, trainSpec } from "./schema.js";
import { targetOf } from "./standing.js";

const FIRST = ["dataset", "target", "model", "epochs", "name"];
const GROUPS = [
  ["Training", ["batch_size", "lr", "optimizer", "schedule", "weight_decay", "grad_clip", "patience", "monitor", "clamp", "seed"]],
  ["Data", ["task", "positive", "ignore", "features", "weight", "class_weights", "read", "validation", "synthetic"]],
  ["Running", ["max_seconds", "max_attempts", "checkpoint_every", "report_every", "threads", "workers", "cpus", "gpus", "memory", "device", "priority", "tags", "start_from", "trainer", "options"]],
];
const PAUSE_MS = 500; // after the last change, before the dry run is asked for

/** Put the form into `root`; `query` may name a data set, or the job whose settings to start from. */
export function showCreate(root, { query, stream }) {
  const view = new CreateView(query);
  root.append(view.element);
  view.open().catch(report);
  const stop = stream.onEvent((message) => message.type === "dataset" && view.listDatasets().catch(report));
  return () => {
    stop();
    view.close();
  };
}

class CreateView {
  #fields = new Map();
  #kinds = {}; // kinds of columns that were changed at the data set
  #timer = null;
  #abort = new AbortController();

  constructor(query) {
    this.query = query;
    this.dataset = h("select", { id: "field-dataset" });
    this.target = h("select", { id: "field-target" });
    this.form = h("form.panel.create-form", { novalidate: true, hidden: true, on: { submit: (event) => this.#submit(event) } });
    this.outlook = h("aside.panel.outlook", { "aria-live": "polite", "aria-label": "What will happen" });
    this.start = h("button.button.primary.large", { type: "submit" }, "Start training");
    this.note = h("p.muted");
    this.element = h(
      "section.create",
      { "aria-labelledby": "create-heading" },
      h("header.page-head", {}, h("h1", { id: "create-heading" }, "New job"), this.note),
      h("div.create-columns", {}, this.form, this.outlook),
    );
  }

  async open() {
    const [schema, earlier] = await Promise.all([trainSpec(), this.#earlier()]);
    this.schema = schema;
    this.#layout();
    await this.listDatasets();
    const spec = earlier ? essence(earlier.spec, schema) : { dataset: this.query.get("dataset") ?? undefined };
    if (earlier && !spec.target) spec.target = targetOf(earlier) ?? undefined;
    if (this.query.has("columns")) spec.columns = JSON.parse(this.query.get("columns"));
    if (earlier) say(this.note, `Filled in as ${earlier.name ?? earlier.job_id} was.`);
    await this.#write(spec);
    this.form.hidden = false; // not before: what is typed must not be written over
    this.form.addEventListener("input", () => this.#changed());
    this.#changed(0);
  }

  close() {
    clearTimeout(this.#timer);
    this.#abort.abort();
  }

  async #earlier() {
    const jobId = this.query.get("from");
    return jobId ? (await api.get("api/train/status", { job_id: jobId })).status : null;
  }

  #layout() {
    const { properties, find } = this.schema;
    const make = (name) => {
      const field = name === "dataset" ? chosen("dataset", this.dataset, find(properties.dataset)) : name === "target" ? chosen("target", this.target, find(properties.target)) : makeField(name, properties[name], { find });
      this.#fields.set(name, field);
      return field.element;
    };
    const known = new Set([...FIRST, "columns", ...GROUPS.flatMap(([, names]) => names)]);
    const others = Object.keys(properties).filter((name) => !known.has(name));
    const groups = [...GROUPS.slice(0, 2), [GROUPS[2][0], [...GROUPS[2][1], ...others]]];
    const sections = groups.map(([heading, names]) => h("section.form-section", {}, h("h3", {}, heading), h("div.form-grid", {}, names.filter((name) => name in properties).map(make))));
    this.kinds = h("p.muted.note", { hidden: true });
    fill(
      this.form,
      h("div.form-first", {}, FIRST.filter((name) => name in properties).map(make)),
      this.kinds,
      h("details.more", {}, h("summary", {}, "All settings"), sections),
      h("div.create-go", {}, this.start),
    );
    this.dataset.addEventListener("change", () => {
      this.#kinds = {};
      this.#listTargets().catch(report);
    });
  }

  async listDatasets() {
    const { datasets } = await api.get("api/datasets");
    const before = this.dataset.value;
    fill(this.dataset, h("option", { value: "" }, "Synthetic data (no file needed)"), datasets.map(({ name }) => h("option", { value: name }, name)));
    this.dataset.value = datasets.some(({ name }) => name === before) ? before : "";
  }

  async #listTargets(wanted = "") {
    const name = this.dataset.value;
    this.#fields.get("target").element.hidden = !name;
    this.#fields.get("synthetic").element.hidden = Boolean(name);
    if (!name) return void fill(this.target, h("option", { value: "" }, ""));
    const { dataset } = await api.get(api.datasetPath(name));
    if (this.dataset.value !== name) return; // another was chosen meanwhile
    const columns = dataset.summary?.columns ?? [];
    fill(this.target, h("option", { value: "" }, "Choose a column"), columns.map((column) => h("option", { value: column.name }, column.name)));
    this.target.value = wanted;
  }

  async #write(spec) {
    this.dataset.value = spec.dataset ?? "";
    if (spec.dataset && this.dataset.value !== spec.dataset) {
      say(this.note, `The data set ${spec.dataset} is not there any more.`);
      this.dataset.value = "";
    }
    this.#kinds = spec.columns ?? {};
    await this.#listTargets(spec.target);
    for (const [name, field] of this.#fields) if (name !== "dataset" && name !== "target") field.write(spec[name]);
    const isDetailed = Object.keys(spec).some((name) => !FIRST.includes(name) && name !== "columns");
    this.form.querySelector(".more").open = isDetailed;
  }

  #read() {
    const spec = {};
    for (const [name, field] of this.#fields) {
      const value = field.read();
      if (value !== undefined && !(name === "synthetic" && this.dataset.value)) spec[name] = value;
    }
    if (Object.keys(this.#kinds).length && this.dataset.value) spec.columns = this.#kinds;
    return spec;
  }

  /** Whether a table was chosen, and not yet what is to be predicted: the last column is no good guess for people. */
  #lacksTarget(spec) {
    return Boolean(spec.dataset) && !spec.target && !spec.start_from && (spec.trainer ?? "tabular") === "tabular";
  }

  #changed(wait = PAUSE_MS) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), wait);
    const kinds = Object.entries(this.#kinds);
    this.kinds.hidden = !kinds.length;
    say(this.kinds, `Columns taken otherwise: ${kinds.map(([name, kind]) => `${name} as ${kind}`).join(", ")}.`);
  }

  /** Ask what would happen; only the newest question's answer is shown. */
  async #look() {
    this.#abort.abort();
    const mine = (this.#abort = new AbortController());
    const spec = this.#read();
    if (this.#lacksTarget(spec)) {
      this.#complain([]);
      this.outlook.removeAttribute("aria-busy");
      return void fill(this.outlook, h("h2", {}, "What will happen"), h("p.muted", {}, "Choose the column to predict first."));
    }
    this.outlook.setAttribute("aria-busy", "true");
    if (!this.outlook.firstChild) fill(this.outlook, h("h2", {}, "What will happen"), h("p.muted", {}, "Looking at the data…"));
    try {
      const answer = await api.post("api/train", spec, { dry_run: true }, mine.signal);
      this.#complain([]);
      showDryRun(this.outlook, answer);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.#complain(error.details ?? []);
      showRefusal(this.outlook, error);
    }
    if (mine === this.#abort) this.outlook.removeAttribute("aria-busy");
  }

  /** Write each of the server's problems beside the field that it is about. */
  #complain(details) {
    const all = [...this.#fields.values()].flatMap((field) => [field, ...(field.fields ?? [])]);
    for (const field of all) {
      const own = details.filter(({ loc }) => loc === field.path || (loc.startsWith(`${field.path}.`) && !field.fields));
      field.complain(own.map(({ msg }) => msg).join("; ") || null);
      if (own.length && field.element.closest("details")) field.element.closest("details").open = true;
    }
  }

  async #submit(event) {
    event.preventDefault();
    const spec = this.#read();
    if (this.#lacksTarget(spec)) {
      this.#complain([{ loc: "target", msg: "Choose the column to predict." }]);
      return void this.target.focus();
    }
    this.start.disabled = true;
    try {
      const { job_id: jobId } = await api.post("api/train", spec);
      location.hash = `#/job/${encodeURIComponent(jobId)}`;
    } catch (error) {
      this.#complain(error.details ?? []);
      report(error);
      this.form.querySelector("[aria-invalid]")?.focus();
    }
    this.start.disabled = false;
  }
}

/** Return a field around a select that the view fills itself. */
function chosen(name, select, schema) {
  const field = makeField(name, schema);
  field.input.replaceWith(select);
  select.setAttribute("aria-describedby", `field-${name}-hint field-${name}-problem`);
  field.input = select;
  const problem = field.element.querySelector(".field-problem");
  field.complain = (text) => {
    problem.hidden = !text;
    say(problem, text ?? "");
    select.toggleAttribute("aria-invalid", Boolean(text));
    if (text) select.setAttribute("aria-invalid", "true");
  };
  field.read = () => select.value || undefined;
  return field;
}
