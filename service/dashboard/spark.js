// The small loss curve of a row in the list: fetched once for rows that come into sight, then grown by live events.

import { get } from "./api.js";
import { svg } from "./dom.js";

const WIDTH = 96;
const HEIGHT = 24;
const POINTS = 40;
const AT_ONCE = 6; // fetches under way

export class Sparks {
  #curves = new Map(); // job id -> {attempt, points: [[step, loss], ...]}
  #wanted = [];
  #busy = 0;
  #changed;

  /** `changed(jobId)` is called when a curve has come. */
  constructor(changed) {
    this.#changed = changed;
  }

  /** Return the points known of a job's loss; fetches them if none are. */
  of(job) {
    const known = this.#curves.get(job.job_id);
    if (known) return known.points;
    if (!job.step) return [];
    const points = job.spark ? job.spark.map((loss, index) => [index, loss]) : [];
    this.#curves.set(job.job_id, { points });
    if (!job.spark) this.#fetch(job.job_id);
    return points;
  }

  /** Take a live event. */
  add(event) {
    const curve = this.#curves.get(event.job_id);
    if (!curve) return;
    if (event.type === "state" && event.resumed_from_step) {
      curve.points = curve.points.filter(([step]) => step <= event.resumed_from_step);
    } else if (event.type === "progress" && Number.isFinite(event.loss)) {
      curve.points.push([event.step, event.loss]);
      if (curve.points.length > POINTS * 3) curve.points = curve.points.filter((_, index) => index % 2 === 0);
    }
  }

  #fetch(jobId) {
    this.#wanted.push(jobId);
    while (this.#busy < AT_ONCE && this.#wanted.length) this.#fetchNext();
  }

  async #fetchNext() {
    const jobId = this.#wanted.pop(); // the newest wish first: it is what is in sight now
    this.#busy += 1;
    try {
      const { series } = await get("api/train/curve", { job_id: jobId, points: POINTS, series: "loss" });
      const { step = [], value = [] } = series.loss ?? {};
      const earlier = step.map((at, index) => [at, value[index]]);
      const curve = this.#curves.get(jobId);
      const last = earlier.at(-1)?.[0] ?? -1;
      curve.points = [...earlier, ...curve.points.filter(([at]) => at > last)];
      this.#changed(jobId);
    } catch {
      this.#curves.delete(jobId); // asked again when the row comes back into sight
    }
    this.#busy -= 1;
    if (this.#wanted.length) this.#fetchNext();
  }
}

/** Return an empty sparkline to be drawn into. */
export function sparkline() {
  const shape = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "spark", "aria-hidden": "true", preserveAspectRatio: "none" };
  return svg("svg", shape, svg("path", { class: "spark-area" }), svg("path", { class: "spark-line" }));
}

/** Draw points [[step, loss], ...] into a sparkline; nothing is drawn of fewer than two. */
export function drawSpark(element, points) {
  const finite = points.filter(([, loss]) => Number.isFinite(loss));
  const [area, line] = element.children;
  const path = finite.length < 2 ? "" : pathOf(finite);
  line.setAttribute("d", path);
  area.setAttribute("d", path && `${path}V${HEIGHT}H0Z`);
}

function pathOf(points) {
  const losses = points.map(([, loss]) => loss);
  const low = Math.min(...losses);
  const height = Math.max(...losses) - low || 1;
  const first = points[0][0];
  const length = points.at(-1)[0] - first || 1;
  const spots = points.map(([step, loss]) => {
    const x = ((step - first) / length) * WIDTH;
    const y = HEIGHT - 2 - ((loss - low) / height) * (HEIGHT - 4);
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  });
  return `M${spots.join("L")}`;
}
