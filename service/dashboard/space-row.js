// One field that a study searches: its path, and its range or its choices.

import { button, fill, h, say } from "./dom.js";
import { icon } from "./icons.js";

const USUAL = ["lr", "weight_decay", "batch_size", "epochs", "model", "model.hidden", "model.dropout", "optimizer", "schedule", "patience", "grad_clip", "options."];
const LIST = "searched-fields";

let numbered = 0;

export class SpaceRow {
  /** `given` fills it: {path, low, high, isLog}; `remove()` takes it away. */
  constructor({ path = "", low = "", high = "", isLog = false }, remove) {
    const id = `space-${(numbered += 1)}`;
    const input = (label, value, props = {}) => h("input", { "aria-label": label, placeholder: label, value, autocomplete: "off", spellcheck: "false", ...props });
    this.field = input("Field", path, { list: LIST, "aria-describedby": id });
    this.kind = h("select", { "aria-label": "Range or choices", on: { change: () => this.#choose() } }, h("option", { value: "range" }, "from … to"), h("option", { value: "choices" }, "one of"));
    this.low = input("Lowest", low, { inputmode: "decimal" });
    this.high = input("Highest", high, { inputmode: "decimal" });
    this.log = h("input", { type: "checkbox", checked: isLog });
    this.choices = input("Choices, by commas", "");
    this.problem = h("span.field-problem", { id, role: "alert", hidden: true });
    this.range = h("span.space-range", {}, this.low, this.high, h("label.check", { title: "Whether to search on a logarithmic scale, for ranges of several powers of ten" }, this.log, "log"));
    this.element = h("div.space-row", { role: "group", "aria-label": "A searched field" }, h("div.space-parts", {}, this.field, this.kind, this.range, this.choices, button(icon("close"), remove, { kind: "quiet tiny icon-only", label: "No longer search this field" })), this.problem, document.getElementById(LIST) ? null : datalist());
    this.#choose();
  }

  focus() {
    this.field.focus();
  }

  /** The field's path, as it is typed. */
  get path() {
    return this.field.value.trim();
  }

  /** Return {low, high, log} or {choices}, as the server takes it; it says what is wrong with what is typed. */
  read() {
    if (this.kind.value === "choices") return { choices: listed(this.choices.value) };
    const range = { low: number(this.low.value), high: number(this.high.value) };
    return this.log.checked ? { ...range, log: true } : range;
  }

  complain(text) {
    this.problem.hidden = !text;
    say(this.problem, text ?? "");
    if (text) this.field.setAttribute("aria-invalid", "true");
    else this.field.removeAttribute("aria-invalid");
  }

  #choose() {
    const isRange = this.kind.value === "range";
    this.range.hidden = !isRange;
    this.choices.hidden = isRange;
  }
}

function datalist() {
  return fill(h("datalist", { id: LIST }), USUAL.map((value) => h("option", { value })));
}

function number(text) {
  const trimmed = text.trim();
  if (trimmed === "") return null;
  return Number.isFinite(Number(trimmed)) ? Number(trimmed) : trimmed;
}

/** Return what is listed: values of JSON, as [64], [128, 128]; else words and numbers between commas. */
function listed(text) {
  try {
    return JSON.parse(`[${text}]`);
  } catch {
    return text.split(",").map((part) => part.trim()).filter(Boolean).map(number);
  }
}
