// The finished model: how good it is beside knowing nothing, what it looks at, and how to use it.

import * as api from "./api.js";
import { report } from "./dialog.js";
import { button, fill, h, scrolling } from "./dom.js";
import { count, share, title, value } from "./format.js";
import { icon } from "./icons.js";
import { aliasPanel, tablesPanel } from "./judge.js";
import { predictPanel } from "./predict.js";

const UP = new Set(["r2", "accuracy", "f1", "auc"]); // metrics of which more is better
const MOST_COLUMNS = 12;
const MOST_CLASSES = 20;
const NARROW_CLASSES = 6; // as many fit into half the width

/** Draw what is to know of the model of a finished job into `root`; `onRow(row)` hears of each row predicted. */
export function showModel(root, job, onRow) {
  const isTabular = (job.spec?.trainer ?? "tabular") === "tabular";
  fill(
    root,
    h("section.panel.model-scores", {}, h("div.panel-head", {}, h("h2", {}, "The model"), downloads(job, isTabular)), scoreTable(job.metrics ?? {}, job.report?.schema?.labels)),
    isTabular && predictPanel(job, onRow),
    isTabular && h("div.panels.pair", {}, tablesPanel(job), aliasPanel(job)),
    importancePanel(job.report),
    h("div.panels", {}, confusionPanel(job.report) ?? residualPanel(job.report), calibrationPanel(job.report), driftPanel(job.report), warningsPanel(job.report)),
  );
}

function downloads(job, isTabular) {
  const file = (ending) => `${job.job_id}.${ending}`;
  const save = (path, query, name) => async (event) => {
    const pressed = event.currentTarget;
    pressed.disabled = true;
    await api.download(path, query, name).catch(report);
    pressed.disabled = false;
  };
  const made = [button([icon("download"), "Model"], save(api.modelPath(job.job_id), {}, file("pt")), { kind: "tiny" })];
  for (const [format, label] of isTabular ? [["onnx", "ONNX"], ["safetensors", "safetensors"]] : []) {
    made.push(button(label, save(api.modelPath(job.job_id, "/export"), { format }, file(format)), { kind: "tiny", label: `Export as ${label}` }));
  }
  return h("div.model-files", {}, made);
}

function scoreTable(metrics, labels) {
  const names = Object.keys(metrics.validation ?? metrics.train ?? {});
  if (!names.length) return h("p.muted", {}, "This job reported no metrics.");
  const splits = ["validation", "baseline", "test", "train"].filter((split) => metrics[split]);
  const heads = { validation: "Validation", baseline: "Baseline", test: "Test", train: "Training" };
  const head = h("tr", {}, h("th", { scope: "col" }, "Metric"), splits.map((split) => h("th.number", { scope: "col" }, heads[split])), metrics.baseline && h("th.gains", { scope: "col" }, "Against the baseline"));
  const rows = names.map((name) =>
    h("tr", {}, h("th.score-name", { scope: "row" }, title(name)), splits.map((split) => h("td.number", { class: split }, value(metrics[split][name]))), metrics.baseline && h("td.gains", {}, gain(name, metrics))),
  );
  const baseline = metrics.baseline && "The baseline predicts the same for every row: the mean of the target, or how often each class occurs.";
  const one = labels?.length === 2 && `F1 and AUC are those of “${labels[1]}”.`;
  const note = (baseline || one) && h("p.muted.note", {}, [baseline, one].filter(Boolean).join(" "));
  return [scrolling("Metrics", h("table.scores", {}, h("thead", {}, head), h("tbody", {}, rows))), note];
}

/** Return how far the model gets from the baseline to perfection, as a bar and in words. */
function gain(name, { validation = {}, baseline = {} }) {
  const [ours, theirs] = [validation[name], baseline[name]];
  if (!Number.isFinite(ours) || !Number.isFinite(theirs)) return "";
  const room = UP.has(name) ? 1 - theirs : theirs;
  const way = UP.has(name) ? ours - theirs : theirs - ours;
  if (!(room > 0)) return "";
  const part = way / room;
  const words = part >= 0 ? `${share(part)} of the way to perfect` : "worse than the baseline";
  return h("span.gain", {}, h("span.gain-bar", { "aria-hidden": "true" }, h("i", { vars: { part: String(Math.max(0, Math.min(1, part))) } })), h("span.muted", {}, words));
}

function importancePanel({ importance } = {}) {
  const found = importance?.columns ?? [];
  if (!found.length) return null;
  const most = Math.max(...found.map(({ rise }) => rise), 1e-12);
  const rows = (some) => some.map(({ column, rise }) =>
    h("li", {}, h("span.clip", { title: column }, column), h("span.bar", { "aria-hidden": "true" }, h("i", { vars: { part: String(Math.max(0, rise) / most) } })), h("span.number", {}, value(rise, 3))),
  );
  const rest = found.slice(MOST_COLUMNS);
  return h(
    "section.panel",
    {},
    h("h2", {}, "What it looks at"),
    h("p.muted.note", {}, `How much the ${title(importance.metric)} rises on ${count(importance.rows)} validation rows when a column is shuffled.`),
    h("ol.importance", {}, rows(found.slice(0, MOST_COLUMNS))),
    rest.length > 0 && h("details", {}, h("summary", {}, `${count(rest.length)} more columns`), h("ol.importance", {}, rows(rest))),
  );
}

const DRIFTED = 0.25; // of either measure: the log warns from there on

/** Return how far the rows of a job that started from another one are from what that one learned, the farthest first. */
function driftPanel({ drift } = {}) {
  if (!drift?.length) return null;
  const rows = [...drift].sort((one, other) => other.distance - one.distance).map(({ column, measure, distance, unseen, far }) => {
    const isCategory = measure === "total_variation";
    const odd = isCategory ? unseen : far;
    const what = isCategory ? `shares moved by ${share(distance)}` : `median moved by ${value(distance, 2)} interquartile ranges`;
    const more = odd > 0 && `; ${count(odd)} rows ${isCategory ? "of unseen values" : "far outside"}`;
    return h("li", {}, h("span.clip", { title: column }, column), h("span", { class: distance > DRIFTED || odd > 0 ? "drifted" : "muted" }, what, more));
  });
  const rest = rows.slice(MOST_COLUMNS);
  return h(
    "section.panel",
    { "aria-label": "Drift" },
    h("h2", {}, "How its rows have drifted"),
    h("p.muted.note", {}, "From those that the job it started from learned."),
    h("ol.drift", {}, rows.slice(0, MOST_COLUMNS)),
    rest.length > 0 && h("details", {}, h("summary", {}, `${count(rest.length)} more columns`), h("ol.drift", {}, rest)),
  );
}

function confusionPanel(about) {
  const { counts, labels } = about?.confusion ?? {};
  if (!counts || !labels) return null;
  const size = Math.min(counts.length, MOST_CLASSES);
  const shown = labels.slice(0, size);
  const head = h("tr", {}, h("td", {}), shown.map((label) => h("th", { scope: "col" }, label)));
  const rows = shown.map((label, actual) => {
    const all = counts[actual].reduce((sum, number) => sum + number, 0) || 1;
    const cells = counts[actual].slice(0, size).map((number, predicted) =>
      h("td.number", { class: number === 0 ? "none" : actual === predicted ? "right" : "wrong", vars: { part: String(number / all) }, title: `${share(number / all)} of the rows that are ${label}` }, count(number)),
    );
    return h("tr", {}, h("th", { scope: "row" }, label), cells);
  });
  const all = about.schema?.labels?.length ?? counts.length;
  const cut = all > size && h("p.muted.note", {}, `The first ${size} of ${count(all)} classes.`);
  return h("section.panel", { class: size > NARROW_CLASSES ? "wide" : "" }, h("h2", {}, "Where it errs"), h("p.muted.note", {}, "Down: what the validation rows are. Across: what is predicted."), scrolling("Confusion matrix", h("table.confusion", {}, h("thead", {}, head), h("tbody", {}, rows))), cut);
}

function residualPanel(about) {
  const quantiles = Object.entries(about?.residuals ?? {}).map(([at, error]) => [Number(at), error]).filter(([at, error]) => Number.isFinite(at) && Number.isFinite(error));
  if (quantiles.length < 3) return null;
  quantiles.sort((one, other) => one[0] - other[0]);
  const [low, high] = [quantiles[0][1], quantiles.at(-1)[1]];
  const place = (error) => String((error - low) / (high - low || 1));
  const find = (at) => quantiles.find(([quantile]) => quantile === at)?.[1] ?? null;
  const box = find(0.25) !== null && find(0.75) !== null && h("i.box", { vars: { from: place(find(0.25)), to: place(find(0.75)) } });
  const zero = low < 0 && high > 0 && h("i.zero", { vars: { at: place(0) } });
  const marks = quantiles.filter(([at]) => at >= 0.05 && at <= 0.95).map(([at, error]) => h("div", {}, h("dt", {}, at === 0.5 ? "Median" : share(at)), h("dd", {}, value(error, 3))));
  return h(
    "section.panel",
    {},
    h("h2", {}, "How far off it is"),
    h("p.muted.note", {}, "Predicted minus actual on the validation rows. The box holds the middle half, the line all but the outermost 2%."),
    h("div.residuals", { "aria-hidden": "true" }, h("i.whisker"), box, zero, find(0.5) !== null && h("i.median", { vars: { at: place(find(0.5)) } })),
    h("dl.quantiles", {}, marks),
    intervals(about),
  );
}

/** Return how often intervals hold, in a sentence each. */
function intervals({ intervals: found = [] }) {
  const told = ({ level, coverage, median_width: width }) => h("li", {}, `Intervals of ${share(level)} hold ${share(coverage)} of them; half are narrower than ${value(width, 3)}.`);
  return found.length > 0 && h("ul.stack.muted.intervals", {}, found.map(told));
}

function calibrationPanel(about) {
  const { bins, expected_calibration_error: error, temperature } = about?.calibration ?? {};
  if (!bins?.length) return null;
  const labels = about.schema?.labels ?? [];
  const of = labels.length === 2 ? `is “${labels[1]}”` : "is right";
  const rows = bins.map(({ predicted, observed, rows: number }) =>
    h("tr", {}, h("td.number", {}, share(predicted)), h("td.number", {}, share(observed)), h("td.gains", {}, h("span.gain-bar", { "aria-hidden": "true" }, h("i", { vars: { part: String(observed) } }))), h("td.number", {}, count(number))),
  );
  const head = h("tr", {}, ["Predicted", "Happened", "", "Rows"].map((name) => h("th.number", { scope: "col" }, name)));
  const tempered = temperature !== 1 && `They are tempered by ${value(temperature, 3)}.`;
  return h(
    "section.panel",
    {},
    h("h2", {}, "How far its probabilities hold"),
    h("p.muted.note", {}, [`How often a validation row ${of}, by the predicted probability; they are ${share(error)} apart in the mean.`, tempered].filter(Boolean).join(" ")),
    scrolling("Reliability", h("table.scores", {}, h("thead", {}, head), h("tbody", {}, rows))),
  );
}

function warningsPanel(about) {
  const warnings = about?.schema?.warnings ?? [];
  if (!warnings.length) return null;
  return h("section.panel", {}, h("h2", {}, "About the data"), h("ul.stack", {}, warnings.map((warning) => h("li.warning", {}, icon("alert"), h("span", {}, warning.message)))));
}
