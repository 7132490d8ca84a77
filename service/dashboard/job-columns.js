// The columns of the list of jobs: what stands in each, and how it is sorted by it.

import { ago, title, value } from "./format.js";
import { COMPARED, compared, isUp } from "./order.js";
import { datasetOf, nameOf, targetOf } from "./standing.js";
import { scores } from "./store.js";

const STATES = ["RUNNING", "LOADING", "STARTING", "QUEUED", "PAUSED", "FAILED", "STOPPED", "COMPLETED", "CANCELLED"];

const took = (job) => job.timings?.running_s ?? (job.started_at && job.finished_at ? job.finished_at - job.started_at : undefined);
const own = (values, name) => (Object.hasOwn(values ?? {}, name) ? values[name] : undefined); // a name is anybody's
export const tagsOf = (job) => job.tags ?? job.spec?.tags ?? [];

/** Return the metric that a job is compared by: what decided its best epoch, or one that people know. */
export function mainMetric(job) {
  const names = Object.entries(scores(job)).filter(([, number]) => Number.isFinite(number)).map(([name]) => name);
  const monitor = job.best?.monitor;
  return [monitor !== "val_loss" && monitor, ...COMPARED, names.find((name) => name !== "val_loss"), names[0]].find((name) => names.includes(name));
}

/** Jobs of one metric stand together, the best of each first: an accuracy is never compared with an RMSE. */
function byScore(one, other, sign) {
  const [metric, another] = [mainMetric(one), mainMetric(other)];
  if (metric !== another) return compared(metric, another);
  return metric === undefined ? 0 : compared(scores(one)[metric], scores(other)[metric], isUp(metric) ? -sign : sign);
}

/** {label, of(job), isDown}: `isDown` where the largest is what one wants to see first. */
const FIXED = {
  state: { label: "State", of: (job) => STATES.indexOf(job.status) },
  name: { label: "Job", of: nameOf },
  progress: { label: "Progress", of: (job) => job.progress, isDown: true },
  loss: { label: "Loss", of: (job) => job.loss },
  score: { label: "Best score", compare: byScore },
  time: { label: "Time", of: took, isDown: true },
  started: { label: "Started", of: (job) => job.created_at, isDown: true },
};
export const HEADS = Object.keys(FIXED);

const ABOUT = {
  dataset: { label: "Data set", of: datasetOf },
  target: { label: "Target", of: targetOf },
  trainer: { label: "Trainer", of: (job) => job.trainer ?? job.spec?.trainer },
  model: { label: "Model", of: (job) => job.model_kind ?? job.spec?.model?.kind },
  tags: { label: "Tags", of: (job) => tagsOf(job).join(", ") || null },
  notes: { label: "Notes", of: (job) => job.notes },
  epoch: { label: "Epochs", of: (job) => job.epoch || undefined, isDown: true },
  best: { label: "Best epoch", of: (job) => job.best_epoch },
  finished: { label: "Ended", of: (job) => job.finished_at, isDown: true, write: (found) => ago(found) },
};

/** Return the column of a key: `state`, `metric:rmse`, `setting:lr`, `notes` ...; undefined where there is none. */
export function column(key) {
  const [kind, ...rest] = key.split(":");
  const name = rest.join(":");
  if (Object.hasOwn(FIXED, key)) return { key, ...FIXED[key] };
  if (Object.hasOwn(ABOUT, key)) return { key, ...ABOUT[key] };
  if (kind === "metric" && name) return { key, label: title(name), of: (job) => own(scores(job), name), isDown: isUp(name) };
  if (kind === "setting" && name) return { key, label: name, of: (job) => own(job.settings, name) };
  return undefined;
}

/** Return a comparison by the column of that key; "-" before it turns it round. */
export function order(sort) {
  const isReversed = sort.startsWith("-");
  const { of, isDown, compare } = column(sort.replace(/^-/, "")) ?? column("started");
  const sign = isReversed ? -1 : 1;
  if (compare) return (one, other) => compare(one, other, sign);
  return (one, other) => compared(of(one), of(other), isDown ? -sign : sign);
}

/** Return how a column is sorted now, for who cannot see the arrow. */
export function direction(key, sort) {
  if (sort.replace(/^-/, "") !== key) return "none";
  return Boolean(column(key).isDown) === sort.startsWith("-") ? "ascending" : "descending";
}

/** Return what stands in a column's cell. */
export function cellOf({ of, write }, job) {
  const found = of(job);
  if (found === null || found === undefined) return "–";
  if (write) return write(found);
  if (typeof found === "number") return Number.isInteger(found) ? String(found) : value(found);
  return typeof found === "object" ? JSON.stringify(found) : String(found);
}

/** Return the columns that can be added, by what they are about: {Metrics: [...], Settings: [...], About: [...]}. */
export function choices(jobs) {
  const [metrics, settings] = [new Set(), new Set()];
  for (const job of jobs) {
    for (const [name, number] of Object.entries(scores(job))) if (Number.isFinite(number)) metrics.add(`metric:${name}`);
    for (const name of Object.keys(job.settings ?? {})) settings.add(`setting:${name}`);
  }
  return { Metrics: [...metrics].sort(), Settings: [...settings].sort(), About: Object.keys(ABOUT) };
}
