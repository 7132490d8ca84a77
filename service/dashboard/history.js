// What happened to a job, newest first: its states, epochs, checkpoints, log lines and what was asked of it; and its
// own output.

import { wordsOf } from "./adjust.js";
import { get } from "./api.js";
import { report } from "./dialog.js";
import { button, fill, h, say } from "./dom.js";
import { count, duration, term, timeOf, title, value } from "./format.js";
import { COMPARED } from "./order.js";

const MOST = 300; // lines kept while events keep coming
const PAGE = 1_000; // events looked through at once for those that are not progress
const MOST_PAGES = 20; // looked through for one line to show

export class History {
  #jobId = null;
  #first = 0; // the seq before the oldest event that was looked at

  constructor() {
    this.earlier = button("Earlier events", () => this.#loadEarlier().catch(report), { kind: "tiny", hidden: true });
    this.list = h("ol.history", { tabindex: 0, "aria-label": "Events, newest first" });
    this.output = h("pre.output", { hidden: true, tabindex: 0, "aria-label": "Output" });
    this.heading = h("h2", {}, "Events");
    this.toggle = button("Show output", () => this.#showOutput(), { kind: "tiny" });
    this.epochs = h("input", { type: "checkbox", checked: true, on: { change: () => this.#showEpochs() } });
    this.filter = h("label.check", {}, this.epochs, "Epochs");
    this.element = h("section.panel.history-panel", {}, h("div.panel-head", {}, this.heading, this.filter, this.toggle), this.list, this.earlier, this.output);
  }

  async load(jobId, lastSeq) {
    this.#jobId = jobId;
    this.#first = lastSeq;
    fill(this.list);
    await this.#loadEarlier();
  }

  /** Add what is before the oldest line, page by page until there is one more to show. */
  async #loadEarlier() {
    let pages = 0;
    let isMore = false;
    do {
      const after = Math.max(0, this.#first - PAGE);
      const { events } = await get("api/train/events", { job_id: this.#jobId, after, limit: Math.max(1, this.#first - after) });
      const lines = events.filter(({ seq }) => seq <= this.#first).map(lineOf).filter(Boolean).reverse();
      this.list.append(...lines);
      this.#first = after;
      pages += 1;
      isMore = lines.some((line) => !this.#isBrief || line.dataset.type !== "epoch");
    } while (!isMore && this.#first > 0 && pages < MOST_PAGES);
    this.earlier.hidden = this.#first === 0;
  }

  add(event) {
    const line = lineOf(event);
    if (!line) return;
    this.list.prepend(line);
    while (this.list.children.length > MOST) (this.#oldestEpoch() ?? this.list.lastChild).remove();
  }

  /** Epochs are what there are many of: they make way first, so that states and warnings stay. */
  #oldestEpoch() {
    return [...this.list.querySelectorAll('[data-type="epoch"]')].at(-1);
  }

  get #isBrief() {
    return this.list.classList.contains("brief");
  }

  #showEpochs() {
    this.list.classList.toggle("brief", !this.epochs.checked);
  }

  async #showOutput() {
    const isShown = !this.output.hidden;
    this.output.hidden = isShown;
    this.list.hidden = this.filter.hidden = !isShown;
    say(this.heading, isShown ? "Events" : "Output");
    say(this.toggle, isShown ? "Show output" : "Show events");
    this.earlier.hidden = !isShown || this.#first === 0;
    if (isShown) return;
    fill(this.output, "Reading…");
    try {
      const { logs } = await get("api/train/logs", { job_id: this.#jobId });
      fill(this.output, logs || "The job has written nothing.");
    } catch (error) {
      report(error);
    }
  }
}

function lineOf(event) {
  const words = SAYS[event.type]?.(event);
  if (!words) return null;
  return h("li", { "data-type": event.type, "data-level": event.level ?? event.status ?? "" }, h("time", {}, timeOf(event.ts)), h("span", {}, words));
}

const SAYS = {
  state: (event) => [h("b", {}, title(event.status.toLowerCase())), stateNote(event)],
  log: (event) => event.message,
  control: (event) => event.verb === "control" ? changeTold(event) : `Asked to ${event.verb}${event.epochs ? ` up to epoch ${count(event.epochs)}` : ""}`,
  edit: (event) => `Changed ${["name", "tags", "notes", "priority"].filter((name) => name in event).join(", ")}`,
  checkpoint: (event) => `Checkpoint at step ${count(event.step)}${event.seconds ? `, ${duration(event.seconds)}` : ""}`,
  metric: (event) => Object.entries(event.values).map(([name, number]) => `${name} ${value(number)}`).join(", "),
  epoch(event) {
    const measured = { ...(event.val_loss !== undefined && { val_loss: event.val_loss }), ...event.metrics };
    const beside = (name) => (COMPARED.includes(name) && event.baseline?.[name] !== undefined ? ` (baseline ${value(event.baseline[name])})` : "");
    const metrics = Object.entries(measured).slice(0, 3).map(([name, number]) => `${title(name)} ${value(number)}${beside(name)}`);
    return [`Epoch ${count(event.epoch)} · ${metrics.join(" · ") || `loss ${value(event.train_loss)}`}`, event.is_best && h("b.best", {}, ` best by ${term(event.monitor ?? "val_loss")}`)];
  },
};

function changeTold(event) {
  const refused = Object.entries(event.refused ?? {}).map(([name, why]) => `${name} ${why}`);
  if (refused.length) return `Change ${event.number} was refused: ${refused.join("; ")}`;
  return `${event.step === undefined ? "Requested" : `From step ${count(event.step)} on`}: ${wordsOf(event)}`;
}

function stateNote({ message, reason, resumed_from_step: from, error }) {
  const notes = [reason?.replaceAll("_", " "), from && `from step ${count(from)}`, error?.message ?? message];
  const text = notes.filter(Boolean).join(" · ");
  return text && ` · ${text}`;
}
