// A running job's settings changed at its next step: a small form, and the words for what was changed.

import * as api from "./api.js";
import { askTexts, notify } from "./dialog.js";
import { count, title, value } from "./format.js";

const FIELDS = ["lr", "epochs", "patience", "report_every", "checkpoint_every"];
const LABELS = {
  lr: "Learning rate of the next step",
  epochs: "Epochs in all",
  patience: "Patience in epochs, or never",
  report_every: "Steps between reports",
  checkpoint_every: "Seconds between checkpoints, 0 after each epoch",
};

/** Ask what shall be another, and have the job take it up; what is left as it is, or empty, is not sent. */
export async function adjust(job) {
  const { status } = await api.get("api/train/status", { job_id: job.job_id });
  const now = settingsOf(status);
  const fields = FIELDS.map((name) => ({ name, label: LABELS[name], value: now[name] }));
  const given = await askTexts(`Adjust ${status.name || status.job_id} while it runs`, fields, "Take up");
  if (!given) return;
  const changes = Object.fromEntries(FIELDS.filter((name) => given[name] && given[name] !== now[name]).map((name) => [name, read(given[name])]));
  if (!Object.keys(changes).length) return;
  const { step } = await api.post("api/train/control", { job_id: job.job_id, ...changes });
  notify(step === null ? "It takes that up at its next step." : `Taken up from step ${count(step)} on.`);
}

/** The settings as texts: what was said last, by the spec or a change; the rate and the epochs as they are. */
function settingsOf(status) {
  const recipe = status.report?.recipe ?? {};
  const found = { patience: recipe.patience, ...status.spec, epochs: status.epochs, lr: status.lr };
  for (const change of status.changes ?? []) if (change.step !== null) Object.assign(found, said(change));
  return Object.fromEntries(FIELDS.map((name) => [name, textOf(name, name === "lr" ? (status.lr ?? found.lr) : found[name])]));
}

const textOf = (name, setting) => {
  if (name === "patience" && setting === null) return "never";
  return setting === undefined || setting === null || setting === "auto" ? "" : typeof setting === "number" ? String(Number(setting.toPrecision(4))) : String(setting);
};

const read = (text) => (text === "never" ? null : Number.isFinite(Number(text)) ? Number(text) : text);

const said = (change) => Object.fromEntries(FIELDS.filter((name) => name in change).map((name) => [name, change[name]]));

/** What a change sets, in words: "learning rate 0.001, epochs 30". */
export function wordsOf(change) {
  const words = Object.entries(said(change)).map(([name, setting]) => `${name === "lr" ? "learning rate" : title(name).toLowerCase()} ${setting === null ? "never" : value(setting)}`);
  return words.join(", ");
}
