// Runs beside each other: their records and curves, fetched a few at a time, and what comes of them live.

import * as api from "./api.js";
import { Curves } from "./curves.js";
import { fold, isOver } from "./store.js";

export const MOST_RUNS = 200;
const AT_ONCE = 6; // runs that are fetched
const WATCHED = 24; // live streams: a socket takes no more than 32
const MOST_FETCHES = 4; // of a run, for series that it does not have after all
const AGAIN_MS = 5_000; // between two looks at a run that is not watched
const POINTS = [[20, 2_000], [60, 800], [MOST_RUNS, 400]]; // of a curve: the more runs, the fewer can be told apart

/** Return the colour of the run of that place: neighbours are told apart, on light and dark ground. */
export const colorOf = (place) => `oklch(${[0.6, 0.7, 0.52][place % 3]} 0.16 ${Math.round((place * 137.5 + 280) % 360)})`;

/** Return the jobs that these names mean, ids of jobs and `study:ID` for a study's trials: {ids, ups}. `ups` says of which metrics studies want more. */
export async function meant(names) {
  const [ids, ups] = [[], new Map()];
  for (const name of names) {
    if (!name.startsWith("study:")) ids.push(name);
    else {
      const { study } = await api.get(api.studyPath(name.slice(6)), { importance: false });
      ups.set(study.metric, study.direction === "maximize");
      ids.push(...(await bestTrials(study)).map(({ job_id: jobId }) => jobId));
    }
  }
  return { ids: [...new Set(ids)], ups };
}

/** Return the trials of a study, best first, then those without a value. */
async function bestTrials(study) {
  const sign = study.direction === "maximize" ? -1 : 1;
  const rank = ({ value }) => (Number.isFinite(value) ? sign * value : Infinity);
  const trials = await allTrials(study.study_id);
  return trials.sort((one, other) => rank(one) - rank(other) || one.trial - other.trial);
}

/** Return all trials of a study, in order. */
export async function allTrials(studyId) {
  const found = [];
  let after = 0;
  while (after !== null) {
    const page = await api.get(api.studyPath(studyId, "/trials"), { after });
    found.push(...page.trials);
    after = page.next;
  }
  return found;
}

export class Runs {
  all = []; // {id, place, job, curves, isMissing}
  loaded = 0;
  #changed;
  #stream;
  #stops = new Map(); // job id -> how to end its stream
  #points;
  #waiting = [];
  #isClosed = false;
  #isLoading = false; // for the first time
  #again;

  /** `wanted` names the series to fetch; `changed(run)` is called when a run's record or curves are others now. */
  constructor(ids, wanted, stream, changed) {
    this.wanted = new Set(wanted);
    this.all = ids.map(blank);
    this.#points = POINTS.find(([most]) => ids.length <= most)?.[1] ?? 400;
    this.#stream = stream;
    this.#changed = changed;
    this.#again = setInterval(() => this.#refresh(), AGAIN_MS);
  }

  close() {
    this.#isClosed = true;
    clearInterval(this.#again);
    for (const stop of this.#stops.values()) stop();
  }

  /** Fetch every run; resolves when all have been, throws what kept one from it other than that it is not there. */
  async load() {
    this.#isLoading = true;
    this.#waiting = [...this.all];
    const workers = Array.from({ length: AT_ONCE }, () => this.#work());
    const ended = await Promise.allSettled(workers);
    this.#isLoading = false;
    const failed = ended.find(({ status }) => status === "rejected");
    if (failed) throw failed.reason;
  }

  /** Take runs that are new, after those that are there; fetches them. */
  async add(ids) {
    const known = new Set(this.all.map(({ id }) => id));
    const fresh = ids.filter((id) => !known.has(id)).map((id, index) => blank(id, known.size + index));
    this.all.push(...fresh);
    this.#waiting.push(...fresh);
    if (fresh.length && !this.#isLoading) await this.#work();
  }

  /** Fetch again what was not reached. */
  async retry() {
    if (this.#isLoading) return;
    this.#waiting = this.all.filter(({ job, isMissing }) => !job && !isMissing);
    await Promise.all(Array.from({ length: AT_ONCE }, () => this.#work()));
  }

  async #work() {
    for (let run = this.#waiting.shift(); run && !this.#isClosed; run = this.#waiting.shift()) await this.#fetch(run);
  }

  async #fetch(run) {
    try {
      const past = await this.#past(run);
      run.curves.load(past);
      run.job = past.status ?? run.job;
    } catch (error) {
      if (error.code !== "job_not_found") throw error;
      run.isMissing = true;
    }
    this.loaded = this.all.filter(({ job, isMissing }) => job || isMissing).length;
    this.#tell(run);
    if (!this.#lacks(run) || run.version > MOST_FETCHES) this.#follow(run);
    else this.#waiting.push(run); // what was wanted while it was under way
  }

  #lacks({ job, curves }) {
    return Boolean(job) && [...this.wanted].some((name) => curves.known.has(name) && !curves.series.has(name));
  }

  #past(run) {
    const series = [...this.wanted].some((name) => name.includes(",")) ? null : [...this.wanted].join(",");
    const status = run.job && isOver(run.job) ? null : true;
    return api.get("api/train/curve", { job_id: run.id, points: this.#points, series, status });
  }

  /** Fetch one more series of every run that has it. */
  async want(name) {
    if (this.wanted.has(name)) return;
    this.wanted.add(name);
    const lacking = this.all.filter((run) => this.#lacks(run));
    for (const run of lacking) this.#unfollow(run);
    this.#waiting.push(...lacking);
    await Promise.all(Array.from({ length: AT_ONCE }, () => this.#work()));
  }

  #tell(run) {
    run.version += 1;
    if (!this.#isClosed) this.#changed(run);
  }

  /** Watch a run that is not over, while there is room for one more. */
  #follow(run) {
    if (this.#isClosed || !run.job || isOver(run.job) || this.#stops.has(run.id) || this.#stops.size >= WATCHED) return;
    const again = () => {
      this.#unfollow(run);
      this.#fetch(run).catch(() => {});
    };
    this.#stops.set(run.id, this.#stream.watch(run.id, run.curves.seq, (event) => this.#hear(run, event), again));
  }

  #unfollow(run) {
    this.#stops.get(run.id)?.();
    this.#stops.delete(run.id);
  }

  #hear(run, event) {
    run.curves.add(event);
    const ran = run.curves.secondsAt(run.curves.lastStep);
    const timings = Number.isFinite(ran) ? { ...run.job.timings, running_s: ran } : run.job.timings;
    run.job = { ...run.job, ...fold(run.job, event), timings };
    this.#tell(run);
    if (event.type === "state" || event.type === "edit") this.#renew(run).catch(() => {});
  }

  async #renew(run) {
    run.job = (await api.get("api/train/status", { job_id: run.id })).status;
    if (isOver(run.job)) this.#unfollow(run);
    this.#tell(run);
  }

  /** Look again at runs that are not over and not watched. */
  #refresh() {
    if (document.hidden) return;
    const others = this.all.filter(({ id, job }) => job && !isOver(job) && !this.#stops.has(id));
    for (const run of others.slice(0, AT_ONCE)) this.#fetch(run).catch(() => {});
  }
}

const blank = (id, place) => ({ id, place, job: null, curves: new Curves(), isMissing: false, isHidden: false, version: 0 });

const ELSEWHERE = new Set(["name", "tags", "priority", "start_from", "dataset", "target", "trainer"]);
const CHOSEN = ["epochs", "batch_size", "lr", "optimizer", "schedule", "weight_decay", "patience"]; // by the recipe, where the spec says auto

/** Return what a job was trained with, by path: {"lr": 0.001, "model": "mlp", "model.hidden": [128, 128], ...}. */
export function settingsOf(job) {
  const { spec, report = {}, dataset } = job;
  const found = { dataset: spec.dataset ?? null, "dataset version": dataset?.digest?.slice(0, 12) ?? null, target: spec.target ?? report.schema?.target ?? null, trainer: spec.trainer };
  for (const [name, value] of Object.entries(spec)) {
    if (ELSEWHERE.has(name)) continue;
    const isNested = value !== null && typeof value === "object" && !Array.isArray(value);
    if (!isNested) found[name] = value;
    else for (const [key, inner] of Object.entries(value)) found[key === "kind" ? name : `${name}.${key}`] = inner;
  }
  const recipe = report.recipe ?? {};
  for (const name of CHOSEN) if (found[name] === "auto" && recipe[name] !== undefined) found[name] = recipe[name];
  if (found.model === "auto" && recipe.network?.kind) found.model = recipe.network.kind;
  return found;
}

/** Return the paths in which these jobs differ, in the order of the first. */
export function differing(all) {
  const paths = new Set(all.flatMap((settings) => Object.keys(settings)));
  return [...paths].filter((path) => new Set(all.map((settings) => JSON.stringify(settings[path] ?? null))).size > 1);
}
