// One job in the list: its cells, and how they are brought up to date in place.

import { fill, h, say, unseen } from "./dom.js";
import { ago, share, title, value } from "./format.js";
import { stateIcon } from "./icons.js";
import { drawSpark, sparkline } from "./spark.js";
import { nameOf, standingOf, subjectOf, timeOf } from "./standing.js";
import { isActive, scores } from "./store.js";
import { verbButton, verbsOf } from "./verbs.js";

const SHOWN_VERBS = 2; // as buttons; the others are on the job's own page

/** Return the row's element; its parts are kept on it for `updateRow`. */
export function makeRow(job, { onSelect }) {
  const parts = {
    select: h("input", { type: "checkbox", on: { click: (event) => onSelect(job.job_id, event.target.checked, event.shiftKey) } }),
    state: h("span.state-cell", { role: "cell" }),
    name: h("a.row-name", { href: `#/job/${encodeURIComponent(job.job_id)}` }),
    subject: h("span.row-sub"),
    bar: h("progress", { max: 100, "aria-label": "Progress" }),
    text: h("span.row-text"),
    why: h("span.row-why"),
    spark: sparkline(),
    score: h("span.row-score", { role: "cell" }),
    time: h("span.row-time", { role: "cell" }),
    age: h("span.row-age", { role: "cell" }),
    verbs: h("span.row-verbs", { role: "cell" }),
  };
  const row = h(
    "div.row",
    { role: "row" },
    h("span.row-select", { role: "cell" }, parts.select),
    parts.state,
    h("span.row-title", { role: "cell" }, parts.name, parts.subject),
    h("span.row-progress", { role: "cell" }, parts.bar, parts.text, parts.why),
    h("span.row-spark", { role: "cell" }, parts.spark),
    parts.score,
    parts.time,
    parts.age,
    parts.verbs,
  );
  row.parts = parts;
  return row;
}

/** Bring the row up to date. */
export function updateRow(row, job, { store, sparks, selected }) {
  const { parts } = row;
  parts.select.checked = selected.has(job.job_id);
  parts.select.setAttribute("aria-label", `Select ${nameOf(job)}`);
  if (row.dataset.status !== job.status) {
    row.dataset.status = job.status;
    fill(parts.state, stateIcon(job.status), unseen(job.status.toLowerCase()));
  }
  say(parts.name, nameOf(job));
  parts.name.title = nameOf(job);
  say(parts.subject, subjectOf(job));
  const { text, why } = standingOf(job, store);
  say(parts.text, isActive(job) && job.step ? `${text} · ${share(job.progress / 100)}` : text);
  say(parts.why, why ?? "");
  parts.why.title = why ?? "";
  parts.bar.hidden = !isActive(job) && job.status !== "PAUSED";
  parts.bar.value = job.progress;
  const [metric, number] = Object.entries(scores(job)).find(([, number]) => Number.isFinite(number)) ?? [];
  fill(parts.score, metric && [h("span.muted", {}, title(metric)), " ", value(number)]);
  say(parts.time, timeOf(job));
  say(parts.age, ago(job.created_at));
  drawSpark(parts.spark, sparks.of(job));
  showVerbs(row, job);
}

function showVerbs(row, job) {
  const verbs = verbsOf(job).slice(0, SHOWN_VERBS);
  row.job = job;
  if (row.dataset.verbs === verbs.join()) return;
  row.dataset.verbs = verbs.join();
  fill(row.parts.verbs, verbs.map((verb) => verbButton(verb, () => row.job, { iconOnly: true })));
}
