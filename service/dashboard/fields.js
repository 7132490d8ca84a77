// Form fields made from JSON schema: each knows its label, its hint, how to show a value and how to read one.

import { fill, h } from "./dom.js";
import { title } from "./format.js";
import { written } from "./schema.js";

// What people call a field, where it is not its own name. What it is, the schema says.
const LABELS = {
  dataset: "Data set",
  target: "Column to predict",
  task: "Task",
  features: "Use only these columns",
  ignore: "Leave out",
  model: "Model",
  epochs: "Epochs",
  batch_size: "Batch size",
  lr: "Learning rate",
  patience: "Patience",
  grad_clip: "Clip gradients at",
  seed: "Seed",
  threads: "Threads",
  workers: "Workers",
  cpus: "Cores",
  gpus: "GPUs",
  memory: "Memory, bytes",
  checkpoint_every: "Checkpoint every",
  report_every: "Report every",
  max_seconds: "Train at most",
  max_attempts: "Attempts",
  priority: "Priority",
  name: "Name",
  tags: "Tags",
  fraction: "Validation share",
  test_fraction: "Test share",
  column: "Split by column",
  hidden: "Layers",
  read: "How the file is written",
  weight: "Column of weights",
  positive: "Positive class",
  clamp: "Keep within the range",
  missing: "Words for missing values",
  skip: "Lines to skip",
  comment: "Comments begin with",
  header: "The first line holds names",
};

const KIND_WORDS = {
  auto: ["Auto", "The recipe that fits the data"],
  fast: ["Fast", "Most of the quality in a fraction of the time"],
  best: ["Best", "Several times the time for the last percent"],
  blend: ["Blend", "Networks and trees together: the most accurate"],
  trees: ["Trees", "Gradient-boosted decision trees"],
  linear: ["Linear", "Simple, and easy to explain"],
  mlp: ["MLP", "A plain network, with layers as you say"],
  tabm: ["TabM", "One network that acts as many"],
};

const WORDS = { true: "yes", false: "no", ",": "comma ,", ".": "point .", " ": "space", "'": "apostrophe '" };
const SIGNS = { "\\t": "\t", tab: "\t", space: " ", none: "" }; // that nobody can type

export const labelOf = (name) => LABELS[name] ?? title(name);

/** Return what a field is, from its schema; `null` is typed as none here. */
const hintOf = (schema) => (schema.description ?? "").replaceAll("null", "none");

/** Return the words a field may take beside numbers, such as "auto", and whether it may be null. */
function shapeOf(schema, find) {
  const options = (schema.anyOf ?? [schema]).map(find);
  const words = options.flatMap((option) => option.enum ?? []);
  return {
    words: words.length && options.some(({ type }) => type === "boolean") ? [...words, true, false] : words,
    isNullable: options.some((option) => option.type === "null"),
    main: options.find((option) => option.type && option.type !== "null" && !option.enum) ?? options[0],
  };
}

/** Return a field {element, read(), write(value), complain(text)} for one property of a schema. */
export function makeField(name, schema, { path = name, find = (one) => one, hint = null } = {}) {
  const resolved = find(schema);
  const { words, isNullable, main } = shapeOf(resolved, find);
  const maker = chooseMaker(resolved, main, words);
  const id = `field-${path.replaceAll(".", "-")}`;
  const field = maker({ id, name, path, schema: resolved, main, words, isNullable, find });
  field.path = path;
  if (field.element) return field; // a group has its own frame
  return framed(field, { id, name, hint: hint ?? hintOf(resolved) });
}

function chooseMaker(schema, main, words) {
  if (schema.discriminator) return taggedField;
  if (main?.properties) return groupField;
  if (main?.type === "array") return listField;
  if (main?.type === "object") return jsonField;
  if (words.length && (!main?.type || main.enum || main.type === "boolean")) return choiceField;
  if (main?.type === "integer" || main?.type === "number") return numberField;
  if (main?.type === "boolean") return flagField;
  return textField;
}

function framed(field, { id, name, hint }) {
  const problem = h("span.field-problem", { id: `${id}-problem`, role: "alert", hidden: true });
  field.input.setAttribute("aria-describedby", `${id}-hint ${id}-problem`);
  field.element = h("div.field", {}, h("label.field-name", { for: id }, labelOf(name)), field.input, h("span.field-hint", { id: `${id}-hint` }, hint), problem);
  field.complain = (text) => {
    problem.hidden = !text;
    fill(problem, text ?? "");
    if (text) field.input.setAttribute("aria-invalid", "true");
    else field.input.removeAttribute("aria-invalid");
  };
  return field;
}

function numberField({ id, main, words, isNullable, schema }) {
  const usual = schema.default ?? null;
  const input = h("input", { id, inputmode: "decimal", autocomplete: "off", placeholder: written(usual) });
  const read = () => {
    const text = input.value.trim().toLowerCase();
    if (text === "") return undefined;
    if (isNullable && text === "none") return null;
    if (words.includes(text)) return text;
    const number = Number(text.replaceAll(",", ""));
    return Number.isFinite(number) ? number : input.value.trim();
  };
  const write = (value) => (input.value = value === undefined || value === usual ? "" : written(value));
  if (main.minimum !== undefined) input.title = `From ${main.minimum}${main.maximum !== undefined ? ` to ${main.maximum}` : ""}`;
  return { input, read, write };
}

function choiceField({ id, path, words, isNullable, schema }) {
  const nothing = path.startsWith("read.") ? "found out" : "none";
  const input = h("select", { id }, isNullable && h("option", { value: "" }, nothing), words.map((word) => h("option", { value: String(word) }, WORDS[word] ?? String(word).replaceAll("_", " "))));
  const read = () => (input.value === String(schema.default ?? "") ? undefined : (words.find((word) => String(word) === input.value) ?? null));
  const write = (value) => (input.value = String(value ?? schema.default ?? ""));
  write();
  return { input, read, write };
}

function textField({ id, main, schema }) {
  const usual = schema.default ?? null;
  const input = h("input", { id, autocomplete: "off", placeholder: usual === null ? "" : String(usual) });
  const shown = (value) => (main.maxLength === 1 ? (Object.keys(SIGNS).find((sign) => SIGNS[sign] === value) ?? value) : value);
  const meant = () => (main.maxLength === 1 ? (SIGNS[input.value] ?? input.value) : input.value);
  return { input, read: () => (input.value === "" || input.value === usual ? undefined : meant()), write: (value) => (input.value = value === usual ? "" : (shown(value) ?? "")) };
}

function flagField({ id, schema }) {
  const input = h("input", { id, type: "checkbox" });
  const write = (value) => (input.checked = value ?? schema.default ?? false);
  write();
  return { input, read: () => (input.checked === (schema.default ?? false) ? undefined : input.checked), write };
}

function listField({ id, main, find, schema }) {
  const isNumbers = ["integer", "number"].includes(find(main.items ?? {}).type);
  const input = h("input", { id, autocomplete: "off", placeholder: written(schema.default) === "none" ? "" : written(schema.default) });
  const read = () => {
    const parts = input.value.split(",").map((part) => part.trim()).filter(Boolean);
    if (!parts.length) return undefined;
    return isNumbers ? parts.map((part) => (Number.isFinite(Number(part)) ? Number(part) : part)) : parts;
  };
  return { input, read, write: (value) => (input.value = (value ?? []).join(", ")) };
}

function jsonField({ id }) {
  const input = h("textarea", { id, rows: 3, spellcheck: "false", class: "mono", placeholder: "{}" });
  const read = () => {
    if (!input.value.trim()) return undefined;
    try {
      return JSON.parse(input.value);
    } catch {
      return input.value; // the server says what is wrong with it, beside the field
    }
  };
  return { input, read, write: (value) => (input.value = value && Object.keys(value).length ? JSON.stringify(value, null, 2) : "") };
}

function groupField({ name, path, main, find, isNullable }) {
  const fields = Object.entries(main.properties).map(([key, schema]) => makeField(key, schema, { path: `${path}.${key}`, find }));
  const element = h("fieldset.field-group", {}, h("legend", {}, labelOf(name)), h("div.form-grid", {}, fields.map((field) => field.element)));
  const read = () => {
    const given = fields.map((field) => [field.path.split(".").at(-1), field.read()]).filter(([, value]) => value !== undefined);
    return given.length ? Object.fromEntries(given) : undefined;
  };
  const write = (value) => fields.forEach((field) => field.write(value?.[field.path.split(".").at(-1)]));
  return { element, fields, read, write, isNullable, complain: () => {} };
}

/** One of several kinds, each with fields of its own: the model. */
function taggedField({ id, name, path, schema, find }) {
  const tag = schema.discriminator.propertyName;
  const kinds = new Map(Object.entries(schema.discriminator.mapping).map(([kind, $ref]) => [kind, find({ $ref })]));
  const cards = [...kinds].map(([kind, { description = "" }]) => card(id, kind, KIND_WORDS[kind] ?? [title(kind), description.replaceAll("`", "")]));
  const inner = h("div.form-grid.tagged", { hidden: true });
  let fields = [];
  const chosen = () => cards.find(({ firstChild }) => firstChild.checked)?.firstChild.value;
  const choose = () => {
    const { properties } = kinds.get(chosen());
    fields = Object.entries(properties).filter(([key]) => key !== tag).map(([key, one]) => makeField(key, one, { path: `${path}.${key}`, find }));
    fill(inner, fields.map((field) => field.element));
    inner.hidden = !fields.length;
  };
  const read = () => {
    const own = fields.map((field) => [field.path.split(".").at(-1), field.read()]).filter(([, value]) => value !== undefined);
    return chosen() === schema.default?.[tag] && !own.length ? undefined : { [tag]: chosen(), ...Object.fromEntries(own) };
  };
  const write = (value) => {
    const wanted = value?.[tag] ?? schema.default?.[tag];
    for (const { firstChild } of cards) firstChild.checked = firstChild.value === wanted;
    choose();
    fields.forEach((field) => field.write(value?.[field.path.split(".").at(-1)]));
  };
  write();
  const element = h("fieldset.field.choices", { on: { change: (event) => event.target.name === id && choose() } }, h("legend.field-name", {}, labelOf(name)), h("div.cards", {}, cards), inner);
  return { element, get fields() { return fields; }, read, write, complain: () => {} };
}

function card(group, kind, [heading, text]) {
  return h("label.card", {}, h("input", { type: "radio", name: group, value: kind }), h("span.card-title", {}, heading), h("span.muted", {}, text));
}
