// The list of jobs in groups: by data set, tag or study. A study's trials are fetched when its group is opened.

import { get } from "./api.js";
import { tagsOf } from "./job-columns.js";
import { datasetOf } from "./standing.js";

export const GROUPS = { none: "No groups", dataset: "By data set", tag: "By tag", study: "By study" };
const PAGE = 500;

/** Return the list's items: a heading {key, heading, count} before the jobs {key, job} of each group. */
export function grouped(jobs, by, studies) {
  if (by === "none") return jobs.map((job) => ({ key: job.job_id, job }));
  if (by === "study") return [...studies.items(), ...headed(new Map([["Jobs of no study", jobs]]))];
  const groups = new Map();
  const namesOf = { dataset: (job) => [datasetOf(job) ?? "Other data"], tag: (job) => (tagsOf(job).length ? tagsOf(job) : ["No tag"]) }[by];
  for (const job of jobs) {
    for (const name of namesOf(job)) groups.set(name, [...(groups.get(name) ?? []), job]);
  }
  return headed(new Map([...groups].sort(([one], [other]) => one.localeCompare(other, undefined, { numeric: true }))));
}

const headed = (groups) => [...groups].filter(([, jobs]) => jobs.length).flatMap(([name, jobs]) => [{ key: `group/${name}`, heading: name, count: jobs.length }, ...jobs.map((job) => ({ key: `${name}/${job.job_id}`, job }))]);

/** The studies as groups. `changed()` is called when something has come. */
export class StudyGroups {
  #studies = [];
  #trials = new Map(); // study id -> jobs of its trials, where it is open
  #changed;
  #order = () => 0;
  #matches = () => true;

  constructor(changed) {
    this.#changed = changed;
  }

  async load() {
    this.#studies = (await get("api/studies", { limit: 100 })).studies;
    await Promise.all([...this.#trials.keys()].map((id) => this.#fetch(id)));
    this.#changed();
  }

  /** Open or close a group. */
  async toggle(id) {
    if (this.#trials.delete(id)) return this.#changed();
    await this.#fetch(id);
    return this.#changed();
  }

  /** Say how trials are sorted, and which are shown. */
  arrange(order, matches) {
    this.#order = order;
    this.#matches = matches;
  }

  items() {
    return this.#studies.flatMap(({ study_id: id, name, suggested }) => {
      const trials = this.#trials.get(id);
      const heading = { key: `group/${id}`, heading: name ?? id, count: suggested, study: id, isOpen: Boolean(trials) };
      const shown = (trials ?? []).filter(this.#matches).sort(this.#order);
      return [heading, ...shown.map((job) => ({ key: job.job_id, job }))];
    });
  }

  /** Return every trial's job that is known. */
  jobs() {
    return [...this.#trials.values()].flat();
  }

  async #fetch(id) {
    const space = this.#studies.find((study) => study.study_id === id)?.space ?? {};
    const found = [];
    let after = null;
    do {
      const page = await get("api/train/jobs", { study: id, limit: PAGE, after });
      found.push(...page.jobs.map((job) => ({ ...job, settings: settingsOf(job.spec, space) })));
      after = page.next;
    } while (after !== null);
    this.#trials.set(id, found);
  }
}

/** Return those fields of a spec by path that its study searched. */
function settingsOf(spec, space) {
  const found = {};
  for (const [name, value] of Object.entries(spec)) {
    const isNested = value !== null && typeof value === "object" && !Array.isArray(value);
    if (!isNested) found[name] = value;
    else for (const [key, inner] of Object.entries(value)) found[key === "kind" ? name : `${name}.${key}`] = inner;
  }
  return Object.fromEntries(Object.keys(space).map((path) => [path, found[path]]));
}
