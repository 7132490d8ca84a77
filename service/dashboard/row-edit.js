// A job's name, tags and notes, changed in its row. Enter keeps, Escape does not.

import { jobPath, patch } from "./api.js";
import { report } from "./dialog.js";
import { h } from "./dom.js";
import { tagsOf } from "./job-columns.js";

/** Put fields in place of a row's title until they are kept or left. */
export function editRow(row, job) {
  const cell = row.parts.title;
  if (cell.querySelector("form")) return;
  const field = (name, label, text) => h("input", { name, "aria-label": label, placeholder: label, value: text, autocomplete: "off", spellcheck: "false" });
  const before = { name: job.name ?? "", tags: tagsOf(job).join(", "), notes: job.notes ?? "" };
  const form = h("form.row-edit", {}, field("name", "Name", before.name), h("div", {}, field("tags", "Tags, by commas", before.tags), field("notes", "Notes", before.notes)), h("button.unseen", { type: "submit" }, "Keep"));
  let isDone = false;
  const leave = (isFocused) => {
    isDone = true;
    form.remove();
    cell.classList.remove("editing");
    if (isFocused) row.parts.name.focus();
  };
  const keep = async (isFocused) => {
    if (isDone) return;
    const given = Object.fromEntries(["name", "tags", "notes"].map((name) => [name, form.elements[name].value.trim()]));
    const changes = Object.fromEntries(Object.entries(given).filter(([name, text]) => text !== before[name]));
    if ("tags" in changes) changes.tags = [...new Set(changes.tags.split(",").map((tag) => tag.trim()).filter(Boolean))];
    for (const name of ["name", "notes"]) if (changes[name] === "") changes[name] = null;
    isDone = true;
    try {
      if (Object.keys(changes).length) await patch(jobPath(job.job_id), changes);
      leave(isFocused);
    } catch (error) {
      isDone = false;
      report(error);
    }
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    keep(true);
  });
  form.addEventListener("keydown", (event) => {
    event.stopPropagation(); // arrows belong to the field, not to the list
    if (event.key === "Escape") leave(true);
  });
  form.addEventListener("focusout", (event) => form.contains(event.relatedTarget) || keep(false));
  cell.classList.add("editing");
  cell.append(form);
  form.elements.name.select();
}
