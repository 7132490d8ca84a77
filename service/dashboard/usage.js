// The lines to do the same from a program: curl, Python over HTTP, Python with the file.

import * as api from "./api.js";
import { button, fill, h } from "./dom.js";

const KINDS = { curl: "curl", client: "Python client", file: "Python, from the file" };

/** Return {element, show(row)}: the lines that predict this row with the job's model. */
export function usagePanel(job) {
  const isTabular = (job.spec?.trainer ?? "tabular") === "tabular";
  let row = isTabular ? {} : { column: 1.5 };
  let kind = "curl";
  const code = h("pre.code", { tabindex: 0, "aria-label": "Code" });
  const choices = h("div.chips", { role: "group", "aria-label": "Language" });
  const draw = () => {
    fill(code, LINES[kind](job, row));
    for (const choice of choices.children) choice.setAttribute("aria-pressed", String(choice.dataset.kind === kind));
  };
  for (const [name, label] of Object.entries(KINDS)) {
    const press = () => {
      kind = name;
      draw();
    };
    choices.append(h("button.chip", { type: "button", "data-kind": name, on: { click: press } }, label));
  }
  const element = h("section.panel.usage", {}, h("div.panel-head", {}, h("h2", {}, "Use it from a program"), copyButton(() => code.textContent)), choices, code, !isTabular && h("p.muted.note", {}, "Rows are what the trainer's predict(model, rows) takes; a trainer without one has a file, and no predictions."));
  const show = (given) => {
    row = given;
    draw();
  };
  draw();
  return { element, show };
}

/** Return a button that copies what `text()` returns, and says that it did. */
export function copyButton(text, label = "Copy") {
  const copy = async () => {
    await navigator.clipboard.writeText(text()).catch(() => {});
    fill(made, "Copied");
    setTimeout(() => fill(made, label), 1_500);
  };
  const made = button(label, copy, { kind: "tiny" });
  return made;
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** Write plain values as Python writes them. */
function python(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "object") return `{${Object.entries(value).map(([key, inner]) => `${python(key)}: ${python(inner)}`).join(", ")}}`;
  return JSON.stringify(value);
}

const LINES = {
  curl(job, row) {
    const url = api.address(api.modelPath(job.job_id, "/predict"));
    const token = api.hasToken() ? ` \\\n  -H "Authorization: Bearer $TRAIND_TOKEN"` : "";
    return `curl -s ${quoted(url.href)} \\\n  -H 'Content-Type: application/json'${token} \\\n  -d ${quoted(JSON.stringify({ rows: [row] }))}`;
  },
  client(job, row) {
    return `from traind import Client\n\nasync with Client(${python(api.address("").href)}) as client:\n    answer = await client.predict(${python(job.job_id)}, [${python(row)}])\n    print(answer.predictions)`;
  },
  file(job, row) {
    return `import traind\n\nmodel = traind.load_model(${python(job.model ?? `models/${job.job_id}.pt`)})\nprint(model.predict([${python(row)}]))`;
  },
};
