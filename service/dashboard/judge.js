// The finished model on other rows: its scores on a labelled table, predictions of a file to take away, and the names
// (aliases) it goes by: champion and challenger side by side before a name moves.

import * as api from "./api.js";
import { notify, report } from "./dialog.js";
import { button, fill, h, scrolling } from "./dom.js";
import { count, dateOf, title, value } from "./format.js";

const METRICS = { regression: ["rmse", "mae", "r2"], classes: ["log_loss", "accuracy", "f1", "auc"] };

/** Return the panel of scores and predictions of whole tables. */
export function tablesPanel(job) {
  const file = h("input", { type: "file", id: "score-file" });
  const dataset = h("select", { id: "score-dataset" }, h("option", { value: "" }, "a file of yours"));
  const found = h("div.scored", { role: "status" });
  const send = async (rest) => {
    if (dataset.value && rest === "/evaluate") return api.post(api.modelPath(job.job_id, rest), { dataset: dataset.value });
    if (!file.files.length) throw new api.ApiError({ message: "Choose a file first." });
    return api.sendTable(api.modelPath(job.job_id, rest), file.files[0], rest === "/predict" ? `${job.job_id}-predictions.csv` : null);
  };
  const act = (rest) => async (event) => {
    const pressed = event.currentTarget;
    pressed.disabled = true;
    try {
      const answer = await send(rest);
      if (rest === "/evaluate") fill(found, scoreTable([[job.job_id, answer.score]]));
    } catch (error) {
      report(error);
    }
    pressed.disabled = false;
  };
  api.get("api/datasets").then(({ datasets }) => dataset.append(...datasets.map(({ name }) => h("option", { value: name }, name))), () => {});
  return h(
    "section.panel.judge",
    {},
    h("h2", {}, "On other rows"),
    h("p.muted.note", {}, "A table with the target gets scores; any table with the model's columns gets predictions."),
    h("div.form-grid", {}, h("label.field", {}, h("span.field-name", {}, "Table"), dataset), h("label.field", {}, h("span.field-name", {}, "File"), file)),
    h("div.judge-go", {}, button("Score it", act("/evaluate"), { kind: "primary" }), button("Predictions of the file", act("/predict"))),
    found,
  );
}

/** Return the panel of the names that models go by. */
export function aliasPanel(job) {
  const list = h("div.aliases");
  const past = h("div.alias-past", { role: "status" });
  const name = h("input", { id: "alias-name", placeholder: "production", autocomplete: "off" });
  const dataset = h("select", { id: "alias-dataset" }, h("option", { value: "" }, "in any case"));
  const kind = job.report?.schema?.task === "regression" ? "regression" : "classes";
  const metric = h("select", { id: "alias-metric" }, METRICS[kind].map((one) => h("option", { value: one }, title(one))));
  const beside = h("div.scored", { role: "status" });
  const load = async () => {
    const { aliases } = await api.get("api/models/aliases");
    const rows = Object.entries(aliases).map(([alias, { job_id: meant, since }]) =>
      h("tr", {}, h("th", { scope: "row" }, alias), h("td", {}, linked(meant, job)), h("td.muted.when", {}, dateOf(since)), h("td", {}, button("History", () => showHistory(alias), { kind: "tiny", label: `History of ${alias}` }))),
    );
    fill(list, rows.length ? scrolling("Names", h("table", {}, h("tbody", {}, rows))) : h("p.muted", {}, "No name yet. A name is used wherever a job's id is: whoever predicts by it gets the model it means."));
    return aliases;
  };
  const showHistory = async (alias) => {
    try {
      const { history } = (await api.get(api.aliasPath(alias))).alias;
      const moves = history.toReversed().map((one) => h("li", {}, h("span.muted", {}, dateOf(one.at)), " ", one.job_id ? linked(one.job_id, job) : "pointed at nothing", one.comparison && h("span.muted", {}, `, ${inWords(one.comparison)}`)));
      fill(past, h("h3", {}, `What ${alias} has meant`), h("ol.alias-moves", {}, moves));
    } catch (error) {
      report(error);
    }
  };
  const move = async () => {
    const body = { job_id: job.job_id };
    if (dataset.value) body.if_better = { dataset: dataset.value, metric: metric.value };
    try {
      const { is_moved: isMoved } = await api.call("PUT", api.aliasPath(name.value.trim()), { body });
      notify(isMoved ? `${name.value} means this model now.` : `${name.value} meant this model already.`);
      await load();
    } catch (error) {
      report(error);
    }
  };
  const compare = async () => {
    try {
      const meant = (await load())[name.value.trim()]?.job_id;
      if (!meant || !dataset.value) throw new api.ApiError({ message: "Say which name, and on which data set." });
      const jobs = [...new Set([meant, job.job_id])];
      const scores = await Promise.all(jobs.map((id) => api.post(api.modelPath(id, "/evaluate"), { dataset: dataset.value })));
      fill(beside, scoreTable(jobs.map((id, index) => [id === job.job_id ? "this model" : `${name.value} now`, scores[index].score])));
    } catch (error) {
      report(error);
    }
  };
  api.get("api/datasets").then(({ datasets }) => dataset.append(...datasets.map((one) => h("option", { value: one.name }, `if better on ${one.name}`))), () => {});
  load().catch(report);
  const field = (label, input) => h("label.field", {}, h("span.field-name", {}, label), input);
  return h(
    "section.panel.judge",
    {},
    h("h2", {}, "Names for models"),
    list,
    past,
    h("div.form-grid", {}, field("Name", name), field("Move it here", dataset), field("By", metric)),
    h("div.judge-go", {}, button("Point it at this model", move, { kind: "primary" }), button("Compare first", compare)),
    beside,
  );
}

function linked(jobId, here) {
  return jobId === here.job_id ? h("b", {}, "this model") : h("a", { href: `#/job/${encodeURIComponent(jobId)}` }, jobId);
}

function inWords({ metric, dataset, score, before }) {
  const against = before === null || before === undefined ? "" : ` against ${value(before)}`;
  return `${title(metric)} on ${dataset}: ${value(score)}${against}`;
}

function scoreTable(scored) {
  const names = Object.keys(scored[0][1].metrics);
  const head = h("tr", {}, h("th", { scope: "col" }, "Metric"), scored.map(([label]) => h("th.number", { scope: "col" }, label)), h("th.number", { scope: "col" }, "Baseline"));
  const rows = names.map((name) => h("tr", {}, h("th", { scope: "row" }, title(name)), scored.map(([, score]) => h("td.number", {}, value(score.metrics[name]))), h("td.number", {}, value(scored[0][1].baseline[name]))));
  const left = scored[0][1].left_out.map(({ reason, rows: some }) => h("li", {}, `${count(some)} rows left out: ${reason}`));
  return [h("p.muted", {}, `${count(scored[0][1].rows)} rows`), left.length > 0 && h("ul", {}, left), scrolling("Scores", h("table.scores", {}, h("thead", {}, head), h("tbody", {}, rows)))];
}
