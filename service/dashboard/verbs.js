// What can be done to a job, said once: which verbs apply, which of them ask first, and how they are carried out.

import * as api from "./api.js";
import { askNumber, askTexts, confirm, notify, report } from "./dialog.js";
import { button } from "./dom.js";
import { icon } from "./icons.js";
import { isOver } from "./store.js";

const nameOf = (job) => job.name || job.job_id;

const VERBS = {
  pause: { label: "Pause", icon: "pause", applies: (job) => !isOver(job) && job.status !== "PAUSED" },
  resume: { label: "Resume", icon: "play", applies: (job) => ["PAUSED", "STOPPED", "FAILED"].includes(job.status) },
  extend: { label: "More epochs", icon: "play", applies: (job) => job.status === "COMPLETED" },
  stop: { label: "Stop", icon: "stop", applies: (job) => !isOver(job) },
  again: { label: "Train again", icon: "again", applies: isOver },
  cancel: { label: "Cancel", icon: "close", applies: (job) => !isOver(job) },
  adjust: { label: "Adjust", icon: "sliders", applies: (job) => job.status === "RUNNING" },
  delete: { label: "Delete", icon: "trash", applies: isOver },
  edit: { label: "Name, tags, notes", icon: "pencil", applies: () => true },
};

/** Return the names of the verbs that apply to the job now, the likeliest first. */
export function verbsOf(job) {
  return Object.keys(VERBS).filter((verb) => VERBS[verb].applies(job) && job.requested !== verb);
}

/** Return a button for the verb on the job that `find()` returns when it is pressed. */
export function verbButton(verb, find, { iconOnly = false, kind = "" } = {}) {
  const { label, icon: sign } = VERBS[verb];
  const content = iconOnly ? icon(sign) : [icon(sign), label];
  const made = button(content, () => carryOut(verb, find()), { kind: `${iconOnly ? "quiet icon-only" : ""} ${kind}`, label: null });
  if (iconOnly) {
    made.title = label;
    made.setAttribute("aria-label", `${label} ${nameOf(find())}`);
  }
  made.dataset.verb = verb;
  made.dataset.needs = "operator";
  return made;
}

/** Carry out the verb; asks first where something is lost. */
export async function carryOut(verb, job) {
  try {
    await ACTS[verb](job);
  } catch (error) {
    report(error);
  }
}

const send = (verb, job, extra = {}) => api.post(`api/train/${verb}`, { job_id: job.job_id, ...extra });

const ACTS = {
  pause: (job) => send("pause", job),
  stop: (job) => send("stop", job),
  resume: (job) => send("resume", job),
  again: (job) => (location.hash = `#/new?from=${encodeURIComponent(job.job_id)}`),

  async extend(job) {
    const sentence = "Training goes on from where it ended, up to this many epochs in all.";
    const epochs = await askNumber("Train on", sentence, {
      label: "Epochs in all",
      value: (job.epochs ?? job.epoch) * 2,
      min: (job.epoch || 0) + 1,
      verb: "Train on",
    });
    if (epochs) await send("resume", job, { epochs });
  },

  adjust: async (job) => (await import("./adjust.js")).adjust(job),

  async edit(job) {
    const { status } = await api.get("api/train/status", { job_id: job.job_id });
    const tags = (status.spec.tags ?? []).join(", ");
    const fields = [
      { name: "name", label: "Name", value: status.name ?? "" },
      { name: "tags", label: "Tags, separated by commas", value: tags },
      { name: "notes", label: "Notes", value: status.notes ?? "", isLong: true },
    ];
    const given = await askTexts(`Name, tags and notes of ${nameOf(job)}`, fields, "Keep");
    if (!given) return;
    const words = given.tags.split(",").map((tag) => tag.trim()).filter(Boolean);
    await api.patch(api.jobPath(job.job_id), { name: given.name || null, tags: words, notes: given.notes || null });
  },

  async cancel(job) {
    const hasWork = job.step > 0 || job.status !== "QUEUED";
    const sentence = "What it has learned so far is thrown away. To keep the best model so far, stop it instead.";
    if (hasWork && !(await confirm(`Cancel ${nameOf(job)}?`, sentence, "Cancel the job"))) return;
    await send("cancel", job);
  },

  async delete(job) {
    const sentence = "Its record, its curves and its model are removed from the server's disk. This cannot be undone.";
    if (!(await confirm(`Delete ${nameOf(job)}?`, sentence, "Delete"))) return;
    await api.remove(api.jobPath(job.job_id));
    notify(`${nameOf(job)} is deleted.`);
    if (location.hash === `#/job/${encodeURIComponent(job.job_id)}`) location.hash = "#/jobs";
  },
};
