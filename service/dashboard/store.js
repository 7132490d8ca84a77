// What the page knows: the jobs by id, the queue, the server, the connection. Filled by the stream, read by the views,
// which are told at most once a frame that something changed.

export const ACTIVE = ["STARTING", "LOADING", "RUNNING"];
export const TERMINAL = ["COMPLETED", "STOPPED", "CANCELLED", "FAILED"];

export class Store {
  jobs = new Map();
  queue = []; // job ids in the order they will start
  server = null; // {version, started_at, slots: {busy, total}}
  connection = { state: "connecting", retryAt: null };
  heardAt = null; // when the server last said something, ms
  isLoaded = false; // the first snapshot is in
  #listeners = new Set();
  #isDue = false;
  #unconfirmed = new Set(); // jobs from before the connection was lost, until the server names them again
  #fetchJob;
  #fetching = new Map();

  /** `fetchJob(id)` returns the record of a job that was heard of for the first time. */
  constructor(fetchJob) {
    this.#fetchJob = fetchJob;
  }

  /** Call `listener` after changes, at most once a frame; returns how to stop that. */
  listen(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  changed() {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      for (const listener of [...this.#listeners]) listener();
    });
  }

  connected(connection) {
    this.connection = connection;
    this.changed();
  }

  /** Take one message of the websocket. */
  receive(message) {
    this.heardAt = Date.now();
    if (message.type === "snapshot") this.#snapshot(message);
    else if (message.type === "older") this.#listed(message);
    else if (message.type === "queue") this.#queued(message);
    else if (message.type === "deleted") this.jobs.delete(message.job_id);
    else if (message.job_id && message.seq && !message.study_id) this.#event(message); // a study's are about its trials
    this.changed();
  }

  /** Take a job's record, whole or in short; where events were faster, theirs is newer. */
  put(job) {
    this.#unconfirmed.delete(job.job_id);
    const known = this.jobs.get(job.job_id);
    this.jobs.set(job.job_id, known && known.seq > job.seq ? { ...job, ...known } : { ...known, ...job });
    this.changed();
  }

  #snapshot(message) {
    this.#unconfirmed = new Set(this.jobs.keys());
    this.server = message.server;
    this.#queued(message.queue);
    this.#listed(message);
    this.isLoaded = true;
  }

  /** Take a page of jobs in short; after the last page, what no page named is gone. */
  #listed({ jobs, next }) {
    for (const job of jobs) this.put(job);
    if (next !== null) return;
    for (const jobId of this.#unconfirmed) this.jobs.delete(jobId);
  }

  #queued({ order, slots }) {
    this.queue = order;
    if (slots) this.server = { ...this.server, slots };
  }

  #event(event) {
    const job = this.jobs.get(event.job_id);
    if (!job) this.#discover(event.job_id);
    else if (event.seq > job.seq) this.jobs.set(job.job_id, { ...job, ...fold(job, event), seq: event.seq });
  }

  async #discover(jobId) {
    if (this.#fetching.has(jobId)) return;
    const fetching = this.#fetchJob(jobId).then((job) => this.put(job), () => {});
    this.#fetching.set(jobId, fetching);
    await fetching;
    this.#fetching.delete(jobId);
  }
}

const MESSAGES = { QUEUED: "Waiting for a slot", STARTING: "Starting", LOADING: "Loading data", RUNNING: "Training" };

/** Return what the event changes of a job, as the server's own fold does. */
export function fold(job, event) {
  switch (event.type) {
    case "state":
      return entered(job, event);
    case "progress":
      return progressed(job, event);
    case "epoch":
      return epochEnded(event);
    case "control":
      return event.verb === "control" ? {} : { requested: event.verb === "resume" ? null : event.verb };
    case "edit":
      return Object.fromEntries(["name", "tags", "notes", "priority"].filter((name) => name in event).map((name) => [name, event[name]]));
    default:
      return {};
  }
}

function entered(job, event) {
  const { status } = event;
  const message = event.message || (MESSAGES[status] ?? "");
  const changes = { status, message, reason: event.reason ?? null, entered_at: event.ts };
  for (const field of ["attempt", "pid", "total_steps", "resumed_from_step", "epochs"]) {
    if (event[field] !== undefined) changes[field] = event[field];
  }
  if (status === "STARTING") changes.started_at = job.started_at ?? event.ts;
  if (status === "QUEUED") Object.assign(changes, { finished_at: null, error: null });
  if (!ACTIVE.includes(status)) Object.assign(changes, { pid: null, eta_s: null });
  if (status === "PAUSED") changes.requested = null;
  if (!TERMINAL.includes(status)) return changes;
  Object.assign(changes, { requested: null, finished_at: event.ts, error: event.error ?? null });
  if (status === "COMPLETED") changes.progress = 100;
  if (event.result?.metrics) changes.metrics = event.result.metrics;
  if (event.result?.metrics?.baseline) changes.baseline = event.result.metrics.baseline;
  if (event.result?.best_epoch) changes.best_epoch = event.result.best_epoch;
  return changes;
}

function progressed(job, event) {
  const { attempt, epoch, step, progress, loss, diverged = false } = event;
  const changes = { attempt, epoch, step, progress, loss, diverged };
  for (const field of ["total_steps", "lr", "samples_per_s"]) {
    if (event[field] !== undefined && event[field] !== null) changes[field] = event[field];
  }
  const total = changes.total_steps ?? job.total_steps;
  const from = job.resumed_from_step ?? 0;
  if (total && step > from) changes.eta_s = ((event.ts - job.entered_at) * (total - step)) / (step - from);
  changes.message = job.epochs ? `Training epoch ${epoch}/${job.epochs}` : `Training, step ${step}`;
  return changes;
}

function epochEnded({ epoch, val_loss: loss, metrics = {}, baseline, monitor = "val_loss", is_best: isBest }) {
  const measured = loss === undefined ? metrics : { ...metrics, val_loss: loss };
  const changes = { epoch, metrics: measured, ...(baseline && { baseline }) };
  if (isBest) Object.assign(changes, { best: { epoch, monitor, value: measured[monitor] ?? null, metrics: measured }, best_epoch: epoch });
  return changes;
}

/** Return whether the job can still change by itself. */
export const isOver = (job) => TERMINAL.includes(job.status);
export const isActive = (job) => ACTIVE.includes(job.status);

/** Return a metric of predicting the same for every row, to show beside the model's; undefined where it is not known. */
export function baselineOf(job, metric) {
  const known = job.baseline?.[metric] ?? job.metrics?.baseline?.[metric];
  return Number.isFinite(known) ? known : undefined;
}

/** Return the validation metrics to show for a job, best epoch's first: {rmse: 0.1, ...}. */
export function scores(job) {
  const finished = job.metrics?.validation;
  if (finished) return finished;
  return job.best?.epoch ? job.best.metrics : job.metrics ?? {};
}
