// Which columns the list of jobs has beside the usual ones: a menu of what its jobs have measured and were set to.

import { h } from "./dom.js";
import { choices, column } from "./job-columns.js";

/** Return a menu; `chosen()` returns the keys of the columns, `toggle(key)` adds one or takes it away. */
export function columnMenu({ jobs, chosen, toggle }) {
  const list = h("div.menu-list");
  const menu = h("details.menu", {}, h("summary.button", {}, "Columns"), list);
  const draw = () => {
    const groups = Object.entries(choices(jobs())).filter(([, keys]) => keys.length);
    list.replaceChildren(...groups.map(([name, keys]) => h("fieldset", {}, h("legend", {}, name), keys.map(choice))));
  };
  const choice = (key) => h("label.check", {}, h("input", { type: "checkbox", checked: chosen().includes(key), on: { change: () => toggle(key) } }), column(key).label);
  menu.addEventListener("toggle", () => menu.open && draw());
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    menu.open = false;
    menu.firstChild.focus();
  });
  menu.addEventListener("focusout", (event) => {
    if (event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false;
  });
  return menu;
}
