// One job in the list: its cells, and how they are brought up to date in place.

import { button, fill, h, say, unseen } from "./dom.js";
import { ago, share, title, value } from "./format.js";
import { icon, stateIcon } from "./icons.js";
import { cellOf, mainMetric, tagsOf } from "./job-columns.js";
import { drawSpark, sparkline } from "./spark.js";
import { nameOf, standingOf, subjectOf, timeOf } from "./standing.js";
import { baselineOf, isActive, scores } from "./store.js";
import { verbButton, verbsOf } from "./verbs.js";

const SHOWN_VERBS = 2; // as buttons; the others are on the job's own page
const SHOWN_TAGS = 3;

/** Return the row of a group's heading. */
export function makeHeading({ study }, toggle) {
  const name = study ? h("button.group-name", { type: "button", on: { click: () => toggle(study) } }) : h("span.group-name");
  return h("div.row.group-row", { role: "row" }, h("span", { role: "cell" }, name, h("span.chip-count")), study && h("span", { role: "cell" }, h("a.link", { href: `#/studies/${encodeURIComponent(study)}` }, "The study")));
}

/** Bring the row of a group's heading up to date. */
export function updateHeading(row, { heading, count, study, isOpen }) {
  const [name, number] = row.firstChild.children;
  say(name, heading);
  if (study) name.setAttribute("aria-expanded", String(isOpen));
  say(number, String(count));
}

/** Return the row's element; its parts are kept on it for `updateRow`. */
export function makeRow(job, { onSelect, onEdit, onTag }) {
  const parts = {
    select: h("input", { type: "checkbox", on: { click: (event) => onSelect(job.job_id, event.target.checked, event.shiftKey) } }),
    state: h("span.state-cell", { role: "cell" }),
    name: h("a.row-name", { href: `#/job/${encodeURIComponent(job.job_id)}` }),
    subject: h("span.row-sub"),
    tags: h("span.row-tags"),
    edit: button(icon("pencil"), () => onEdit(row), { kind: "quiet tiny icon-only row-pencil", label: "Change name, tags and notes here", "data-needs": "operator" }),
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
    (parts.title = h("span.row-title", { role: "cell" }, parts.name, h("span.row-second", {}, parts.subject, parts.tags, parts.edit))),
    h("span.row-progress", { role: "cell" }, parts.bar, parts.text, parts.why),
    h("span.row-spark", { role: "cell" }, parts.spark),
    parts.score,
    parts.time,
    parts.age,
    parts.verbs,
  );
  row.parts = parts;
  parts.tags.addEventListener("click", (event) => event.target.dataset.tag !== undefined && onTag(event.target.dataset.tag));
  return row;
}

/** Bring the row up to date. */
export function updateRow(row, job, { store, sparks, selected, extras }) {
  const { parts } = row;
  parts.select.checked = selected.has(job.job_id);
  parts.select.setAttribute("aria-label", `Select ${nameOf(job)}`);
  if (row.dataset.status !== job.status) {
    row.dataset.status = job.status;
    fill(parts.state, stateIcon(job.status), unseen(job.status.toLowerCase()));
  }
  say(parts.name, nameOf(job));
  say(parts.subject, subjectOf(job));
  const { text, why } = standingOf(job, store);
  say(parts.text, isActive(job) && job.step ? `${text} · ${share(job.progress / 100)}` : text);
  say(parts.why, why ?? "");
  parts.why.title = why ?? "";
  parts.bar.hidden = !isActive(job) && job.status !== "PAUSED";
  parts.bar.value = job.progress;
  const metric = mainMetric(job);
  const baseline = metric && baselineOf(job, metric);
  parts.score.title = baseline === undefined ? "" : `The baseline: ${value(baseline)}`;
  fill(parts.score, metric && [h("span.muted", {}, title(metric)), " ", value(scores(job)[metric])]);
  showTags(parts.tags, tagsOf(job));
  parts.name.title = [nameOf(job), job.notes].filter(Boolean).join(" · ");
  showExtras(row, job, extras);
  say(parts.time, timeOf(job));
  say(parts.age, ago(job.created_at));
  drawSpark(parts.spark, sparks.of(job));
  showVerbs(row, job);
}

function showTags(element, tags) {
  const key = tags.join("\n");
  if (element.dataset.key === key) return;
  element.dataset.key = key;
  const more = tags.length - SHOWN_TAGS;
  fill(element, tags.slice(0, SHOWN_TAGS).map((tag) => h("button.tag", { type: "button", "data-tag": tag, title: `Only jobs with the tag ${tag}` }, tag)), more > 0 && h("span.muted", { title: tags.join(", ") }, `+${more}`));
}

/** Show the columns that were added, before the verbs. */
function showExtras(row, job, extras) {
  const cells = row.querySelectorAll(".row-extra");
  if (cells.length !== extras.length) {
    cells.forEach((cell) => cell.remove());
    row.parts.verbs.before(...extras.map(() => h("span.row-extra", { role: "cell" })));
  }
  row.querySelectorAll(".row-extra").forEach((cell, index) => {
    say(cell, cellOf(extras[index], job));
    cell.title = cell.textContent;
  });
}

function showVerbs(row, job) {
  const verbs = verbsOf(job).slice(0, SHOWN_VERBS);
  row.job = job;
  if (row.dataset.verbs === verbs.join()) return;
  row.dataset.verbs = verbs.join();
  fill(row.parts.verbs, verbs.map((verb) => verbButton(verb, () => row.job, { iconOnly: true })));
}
