// What a job would do, before it does it: task, columns with their kinds, warnings, size and time.

import { fill, h } from "./dom.js";
import { brief, bytes, count, duration, title } from "./format.js";
import { icon } from "./icons.js";
import { written } from "./schema.js";

const COLUMNS = 60;

/** Show the dry run's answer in `root`. */
export function showDryRun(root, answer) {
  const schema = answer.schema ?? {};
  const columns = schema.columns ?? [];
  const features = columns.filter(({ role }) => role === "feature");
  const ignored = columns.filter(({ role }) => role === "ignored");
  const facts = [
    schema.target && ["Predicts", schema.target],
    schema.task && ["Task", `${schema.task}${schema.labels?.length ? `, ${count(schema.labels.length)} classes` : ""}`],
    ["Rows to learn from", count(answer.rows?.train)],
    ["Rows to check with", count(answer.rows?.validation)],
    answer.rows?.test && ["Rows to test with", count(answer.rows.test)],
    columns.length > 0 && ["Columns used", count(features.length)],
    ["Epochs, at most", count(answer.epochs)],
    ["Parameters", brief(answer.parameters)],
    ["Memory, about", bytes(answer.memory_bytes)],
    ["Time, at most about", duration(answer.seconds)],
  ].filter(Boolean);
  fill(
    root,
    h("h2", {}, "What will happen"),
    h("dl.settings", {}, facts.map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, text)))),
    schema.task_reason && h("p.muted.note", {}, schema.task_reason),
    warnings(answer.warnings ?? []),
    recipe(answer.recipe),
    columnList("Columns it learns from", features, false),
    columnList("Left out", ignored, true),
  );
}

/** Show why the job would be refused. */
export function showRefusal(root, error) {
  const details = error.details ?? [];
  fill(
    root,
    h("h2", {}, "Not yet"),
    h("div.warning.bad", {}, icon("alert"), h("div", {}, h("p", {}, error.message), error.hint && h("p", {}, error.hint))),
    details.length > 1 && h("ul.stack.note", {}, details.map(({ loc, msg, line, column, message }) => h("li", {}, h("code", {}, loc ?? [line && `line ${line}`, column].filter(Boolean).join(", ")), " ", msg ?? message))),
  );
}

function warnings(list) {
  if (!list.length) return null;
  return h("ul.stack", {}, list.map((warning) => h("li.warning", {}, icon("alert"), h("span", {}, warning.message))));
}

/** Return what the recipe chose with its reasons, folded away; null where it chose nothing. */
export function recipe(chosen) {
  const reasons = Object.entries(chosen?.reasons ?? {});
  if (!reasons.length) return null;
  const rows = reasons.map(([name, reason]) => h("li", {}, h("b", {}, title(name)), ` ${name in chosen && typeof chosen[name] !== "object" ? written(chosen[name]) : ""} `, h("span.muted", {}, reason)));
  return h("details", {}, h("summary", {}, "What was chosen, and why"), h("ul.reasons", {}, rows));
}

function columnList(heading, columns, isOpen) {
  if (!columns.length) return null;
  const rows = columns.slice(0, COLUMNS).map(({ name, kind, evidence, role_reason: reason }) =>
    h("li", {}, h("span.clip", { title: name }, name), h("span.tag", {}, kind), h("span.muted", {}, reason || evidence)),
  );
  const rest = columns.length - COLUMNS;
  return h("details", { open: isOpen || columns.length <= 12 }, h("summary", {}, `${heading} (${count(columns.length)})`), h("ul.column-list", {}, rows, rest > 0 && h("li.muted", {}, `and ${count(rest)} more`)));
}
