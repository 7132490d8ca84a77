// The jobs that are chosen in the list, and the bar that says what can be done with them.

import { button, h, say } from "./dom.js";
import { count } from "./format.js";

const MOST_RUNS = 200; // that can be compared

export class Selection {
  ids = new Set();
  #shown = []; // ids in the list's order
  #last = null;
  #changed;

  /** `changed()` is called when others are chosen. */
  constructor(changed) {
    this.#changed = changed;
    this.words = h("span", { role: "status" });
    this.compare = h("a.button.primary");
    this.element = h("div.selected-bar", { hidden: true }, this.words, h("span.spread"), button("Clear", () => this.#clear(), { kind: "quiet" }), this.compare);
  }

  /** Select a job or not; with Shift all between it and the one before, too. */
  select(id, isOn, isRange) {
    const ends = [this.#shown.indexOf(id), isRange ? this.#shown.indexOf(this.#last) : -1].filter((index) => index >= 0);
    const chosen = ends.length === 2 ? this.#shown.slice(Math.min(...ends), Math.max(...ends) + 1) : [id];
    for (const one of chosen) {
      if (isOn) this.ids.add(one);
      else this.ids.delete(one);
    }
    this.#last = id;
    this.#changed();
    this.#draw();
  }

  /** Take the list as it is now; what is gone is not chosen any more. */
  show(shown, isThere) {
    this.#shown = shown;
    for (const id of this.ids) if (!isThere(id)) this.ids.delete(id);
    this.#draw();
  }

  #clear() {
    this.ids.clear();
    this.#changed();
    this.#draw();
  }

  #draw() {
    const number = this.ids.size;
    this.element.hidden = number === 0;
    say(this.words, number > MOST_RUNS ? `${count(number)} selected; ${count(MOST_RUNS)} can be compared` : `${count(number)} selected`);
    say(this.compare, number === 1 ? "Select one more" : `Compare ${count(Math.min(number, MOST_RUNS))}`);
    if (number > 1) this.compare.href = `#/compare/${[...this.ids].slice(0, MOST_RUNS).map(encodeURIComponent).join(",")}`;
    else this.compare.removeAttribute("href");
  }
}
