// A list of any length, of which only the rows in sight are in the document. It scrolls with the page itself.

const SPARE = 8; // rows kept ready above and below what is seen

export class VirtualList {
  #host;
  #make;
  #update;
  #rows = new Map(); // key -> {element, item}
  #items = [];
  #height = 0;
  #variable;

  /** `make(item)` returns a row's element, `update(element, item)` brings it up to date. Rows are as high as the variable `height` says. */
  constructor(host, { key, make, update, height = "--row" }) {
    this.#host = host;
    this.#variable = height;
    this.key = key;
    this.#make = make;
    this.#update = update;
    this.#measure();
    this.onScroll = () => this.#draw();
    this.onResize = () => {
      this.#measure();
      this.#draw();
    };
    addEventListener("scroll", this.onScroll, { passive: true });
    addEventListener("resize", this.onResize);
    host.addEventListener("keydown", (event) => this.#keyed(event));
  }

  close() {
    removeEventListener("scroll", this.onScroll);
    removeEventListener("resize", this.onResize);
  }

  show(items) {
    this.#items = items;
    this.#draw();
  }

  #measure() {
    this.#height = parseFloat(getComputedStyle(document.documentElement).getPropertyValue(this.#variable));
  }

  #draw() {
    const height = this.#height;
    this.#host.style.height = `${this.#items.length * height}px`;
    const top = this.#host.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(-top / height) - SPARE);
    const last = Math.min(this.#items.length, Math.ceil((innerHeight - top) / height) + SPARE);
    const wanted = new Map();
    for (let index = first; index < last; index += 1) wanted.set(this.key(this.#items[index]), index);
    for (const [key, row] of this.#rows) {
      if (wanted.has(key)) continue;
      const index = row.element.contains(document.activeElement) ? this.#items.findIndex((item) => this.key(item) === key) : -1;
      if (index >= 0) wanted.set(key, index); // the row that has the focus stays, however far it is scrolled away
      else this.#drop(key, row);
    }
    for (const [key, index] of wanted) this.#place(key, index);
    this.#order();
  }

  #drop(key, row) {
    row.element.remove();
    this.#rows.delete(key);
  }

  #place(key, index) {
    const item = this.#items[index];
    let row = this.#rows.get(key);
    if (!row) {
      row = { element: this.#make(item), item: null, index: -1 };
      this.#rows.set(key, row);
    }
    if (row.item !== item) this.#update(row.element, item);
    row.item = item;
    if (row.index !== index) {
      row.element.style.transform = `translateY(${index * this.#height}px)`;
      row.element.setAttribute("aria-rowindex", index + 2);
      row.element.dataset.index = index;
    }
    row.index = index;
  }

  /** Keep the document's order that of the list: Tab and screen readers follow it. */
  #order() {
    let next = this.#host.firstChild;
    for (const { element } of [...this.#rows.values()].sort((one, other) => one.index - other.index)) {
      if (element === next) next = next.nextSibling;
      else this.#host.insertBefore(element, next);
    }
  }

  /** Refresh every row in sight although its item is the same: times pass. */
  refresh() {
    for (const row of this.#rows.values()) this.#update(row.element, row.item);
  }

  #keyed(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const row = event.target.closest?.("[data-index]");
    if (!step || !row || event.target.matches("input, select")) return;
    const index = Number(row.dataset.index) + step;
    if (index < 0 || index >= this.#items.length) return;
    event.preventDefault();
    this.reveal(index).querySelector("a")?.focus({ preventScroll: true });
  }

  /** Scroll a row into sight and return its element. */
  reveal(index) {
    const top = this.#host.getBoundingClientRect().top + index * this.#height;
    const margin = this.#height * 2;
    if (top < margin) scrollBy(0, top - margin);
    else if (top + margin > innerHeight) scrollBy(0, top + margin - innerHeight);
    this.#draw();
    return this.#rows.get(this.key(this.#items[index])).element;
  }
}
