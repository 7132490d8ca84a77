// The table of a study's trials: sorted by any column, the best first. Ten thousand stay smooth: only rows in sight exist.

import { fill, h, say } from "./dom.js";
import { count, duration, title, value } from "./format.js";
import { stateIcon } from "./icons.js";
import { compared } from "./order.js";
import { written } from "./schema.js";
import { uses } from "./trial-scale.js";
import { VirtualList } from "./virtual.js";

const LONG = 10; // characters that may not fit
const STATES = { PRUNED: "CANCELLED" }; // drawn as

export class TrialTable {
  #trials = [];
  #columns = [];
  #sort = { key: "value", isDown: false };
  #isUp = false;

  constructor({ onPick }) {
    this.rows = h("div.rows", { role: "rowgroup" });
    this.head = h("div.row.row-head.trial-row", { role: "row" });
    this.table = h("div.list.trial-list", { role: "table", "aria-label": "Trials" }, h("div", { role: "rowgroup" }, this.head), this.rows);
    this.element = h("section", {}, h("h2.trial-heading", {}, "Trials"), h("div.scroll", { tabindex: 0, role: "region", "aria-label": "Trials" }, this.table));
    this.list = new VirtualList(this.rows, {
      key: ({ trial }) => trial,
      make: (trial) => h("div.row.trial-row", { role: "row", "data-trial": trial.trial, on: { pointerenter: () => onPick(trial.trial), pointerleave: () => onPick(null) } }),
      update: (row, trial) => this.#update(row, trial),
      height: "--trial-row",
    });
  }

  close() {
    this.list.close();
  }

  show(study, trials) {
    this.#trials = trials;
    this.#isUp = study.direction === "maximize";
    const paths = Object.keys(study.space);
    const columns = [
      { key: "trial", label: "Trial", of: (trial) => trial.trial, write: (found) => count(found) },
      { key: "status", label: "State", of: (trial) => trial.status, write: (found) => title(found.toLowerCase()) },
      { key: "value", label: title(study.metric), of: (trial) => trial.value, write: (found) => value(found), isUp: this.#isUp },
      ...paths.map((path) => ({ key: `set:${path}`, label: path, of: (trial) => (uses(study, trial.params, path) ? trial.params[path] : undefined), write: (found) => (typeof found === "number" ? value(found) : found === undefined ? "–" : written(found)) })),
      { key: "epochs", label: "Epochs", of: (trial) => trial.epochs || undefined, write: (found) => count(found) },
      { key: "seconds", label: "Training", of: (trial) => trial.timings?.running_s, write: (found) => duration(found) },
    ];
    if (columns.map(({ label }) => label).join("\n") !== this.#columns.map(({ label }) => label).join("\n")) {
      this.#columns = columns;
      this.table.style.setProperty("--columns", columns.length);
      this.#drawHead();
    }
    this.#columns = columns;
    this.#draw();
  }

  /** Mark the trial that the pointer is at in a chart. */
  mark(trial) {
    for (const row of this.rows.children) row.classList.toggle("picked", Number(row.dataset.trial) === trial);
  }

  #drawHead() {
    fill(
      this.head,
      this.#columns.map((column) => {
        const { key, isDown } = this.#sort;
        const isHere = key === column.key;
        const way = isHere ? (isDown === Boolean(column.isUp) ? "ascending" : "descending") : "none";
        const press = () => {
          this.#sort = { key: column.key, isDown: isHere && !isDown };
          this.#drawHead();
          this.#draw();
          this.head.querySelector(`[data-sort="${CSS.escape(column.key)}"]`).focus();
        };
        return h("span", { role: "columnheader", "aria-sort": way }, h("button.sort", { type: "button", "data-sort": column.key, on: { click: press } }, column.label, h("i", { "aria-hidden": "true" }, isHere ? (way === "ascending" ? "↑" : "↓") : "")));
      }),
    );
  }

  #draw() {
    const { key, isDown } = this.#sort;
    const column = this.#columns.find((one) => one.key === key) ?? this.#columns[0];
    const sign = (column.isUp ? -1 : 1) * (isDown ? -1 : 1);
    const sorted = [...this.#trials].sort((one, other) => compared(column.of(one), column.of(other), sign) || one.trial - other.trial);
    this.table.setAttribute("aria-rowcount", sorted.length + 1);
    this.list.show(sorted);
  }

  #update(row, trial) {
    const texts = this.#columns.map(({ of, write }) => write(of(trial)));
    const job = `#/job/${encodeURIComponent(trial.job_id)}`;
    const state = STATES[trial.status] ?? trial.status;
    const note = trial.error?.message ?? (trial.pruned_at ? `others were better at epoch ${trial.pruned_at}` : "");
    if (row.children.length !== texts.length) fill(row, texts.map((_, index) => h("span", { role: "cell" }, index === 0 ? h("a.row-name", { href: job }) : null)));
    texts.forEach((text, index) => {
      const cell = row.children[index];
      if (index === 1) fill(cell, stateIcon(state), " ", text, note && h("span.muted", { title: note }, ` ${note}`));
      else say(index === 0 ? cell.firstChild : cell, text);
      if (index === 1 || text.length > LONG) cell.title = index === 1 ? note : text;
    });
  }
}
