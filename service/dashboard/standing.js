// How a job stands, in words: what it trains on, where it is, and why it waits.

import { count, duration, nth, plural, term } from "./format.js";
import { isActive, isOver } from "./store.js";

const ASKED = { stop: "Stopping", pause: "Pausing", cancel: "Cancelling" };

const WAITS = {
  server_restart: "Goes on from its checkpoint after a server restart",
  server_left: "Goes on from its checkpoint after a server restart",
  worker_died: "Its process died; it goes on in a new one",
  disk_full: "Waits for space on the disk, then goes on by itself",
};

export const nameOf = (job) => job.name || job.job_id;
export const datasetOf = (job) => (typeof job.dataset === "string" ? job.dataset : (job.dataset?.name ?? job.spec?.dataset ?? null));
export const targetOf = (job) => job.target ?? job.report?.schema?.target ?? job.spec?.target ?? null;

/** "houses → price", or that the rows are made up. */
export function subjectOf(job) {
  const dataset = datasetOf(job);
  const trainer = job.trainer ?? job.spec?.trainer ?? "tabular";
  if (!dataset) return trainer === "tabular" ? "Synthetic data" : trainer;
  return targetOf(job) ? `${dataset} → ${targetOf(job)}` : dataset;
}

/** Return where the job is: {text, why}; `why` says what it waits for or what went wrong. */
export function standingOf(job, store) {
  if (job.requested && !isOver(job)) return { text: `${ASKED[job.requested] ?? "Changing"}…`, why: null };
  switch (job.status) {
    case "QUEUED":
      return { text: placeInLine(job, store), why: whyItWaits(job, store) };
    case "PAUSED":
      return { text: job.step ? `Paused at step ${count(job.step)}` : "Paused", why: WAITS[job.reason] ?? null };
    case "FAILED":
      return { text: "Failed", why: job.error?.message ?? null };
    case "COMPLETED":
      return { text: epochsTaken(job), why: null };
    case "STOPPED":
      return { text: `Stopped${job.epoch ? ` in epoch ${count(job.epoch)}` : ""}`, why: null };
    case "CANCELLED":
      return { text: "Cancelled", why: null };
    default:
      return { text: job.message || job.status, why: job.diverged ? "The loss is not finite" : null };
  }
}

function epochsTaken(job) {
  const taken = job.epoch ? plural(job.epoch, "epoch") : "Completed";
  return job.best_epoch && job.best_epoch !== job.epoch ? `${taken}, best by ${term(job.best?.monitor ?? "val_loss")} was ${count(job.best_epoch)}` : taken;
}

function placeInLine(job, store) {
  const place = store.queue.indexOf(job.job_id) + 1 || job.queue_position;
  if (!place) return "Waiting for a slot";
  return place === 1 ? "Next in line" : `${nth(place)} in line`;
}

function whyItWaits(job, store) {
  if (WAITS[job.reason]) return WAITS[job.reason];
  const { busy, total } = store.server?.slots ?? {};
  if (!total || busy < total) return null;
  return total === 1 ? "The one slot is busy" : `All ${total} slots are busy`;
}

/** "2 min left", or how long it took, or nothing to say yet. */
export function timeOf(job) {
  if (isActive(job)) return job.eta_s || job.eta_s === 0 ? `${duration(job.eta_s)} left` : "";
  return isOver(job) && job.started_at && job.finished_at ? duration(job.timings?.running_s ?? job.finished_at - job.started_at) : "";
}
