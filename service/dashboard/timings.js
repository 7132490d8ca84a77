// Where a job's time went: one bar of its phases, with their durations beside it.

import { fill, h } from "./dom.js";
import { duration } from "./format.js";

const PHASES = [
  ["queued_s", "Queued", "QUEUED"],
  ["starting_s", "Starting", "STARTING"],
  ["loading_s", "Loading data", "LOADING"],
  ["running_s", "Training", "RUNNING"],
];

/** Draw the job's timings into `root`, the phase that is under way up to now. */
export function showTimings(root, job) {
  const spans = PHASES.map(([key, label, status]) => ({ key, label, seconds: secondsOf(job, key, status), isNow: job.status === status }));
  const known = spans.filter(({ seconds }) => seconds !== null);
  const text = JSON.stringify([known, job.timings?.submit_to_first_step_s]);
  if (root.dataset.shown === text) return;
  root.dataset.shown = text;
  const first = job.timings?.submit_to_first_step_s;
  fill(
    root,
    h("div.timings", { "aria-hidden": "true" }, known.map(({ key, seconds }) => h("i", { class: key, vars: { grow: String(Math.max(seconds, 1e-6)) } }))),
    h("dl.timing-list", {}, known.map(({ key, label, seconds, isNow }) => h("div", {}, h("dt", {}, h("i", { class: key }), label), h("dd", {}, isNow && key !== "running_s" ? "now" : `${duration(seconds)}${isNow ? " so far" : ""}`)))),
    first !== undefined && h("p.muted.timing-first", {}, `First step ${duration(first)} after submitting`),
  );
}

/** Return the seconds of a phase; of the one that is under way those up to now. */
function secondsOf(job, key, status) {
  const earlier = key === "running_s" ? job.ran_s : job.timings?.[key];
  if (job.status !== status) return job.timings?.[key] ?? null;
  return (earlier ?? 0) + Math.max(0, Date.now() / 1000 - job.entered_at);
}
