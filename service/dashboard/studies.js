// The studies of this server, newest first.

import { get } from "./api.js";
import { report } from "./dialog.js";
import { button, fill, h } from "./dom.js";
import { ago, count, term, title, value } from "./format.js";
import { icon, stateIcon } from "./icons.js";

const SOON_MS = 400; // after a study has changed the list is fetched again
const PAGE = 100;

/** Put the list into `root`; returns what ends it. */
export function showStudies(root, { stream }) {
  const list = h("div");
  const more = button("Older studies", () => load(true).catch(report), { hidden: true });
  let [shown, next, due] = [[], null, null];
  root.append(
    h(
      "section.studies",
      { "aria-labelledby": "studies-heading" },
      h("header.job-head", {}, h("div.job-title", {}, h("h1", { id: "studies-heading" }, "Studies"), h("p.muted", {}, "A study tries many settings, ends early what is hopeless, and makes one model of the best.")), h("a.button", { href: "#/new-study", "data-needs": "operator" }, icon("plus"), "New study")),
      list,
      more,
    ),
  );
  const load = async (isOlder) => {
    const page = await get("api/studies", { limit: isOlder ? PAGE : Math.max(PAGE, shown.length), after: isOlder ? next : null });
    shown = isOlder ? [...shown, ...page.studies] : page.studies;
    next = page.next;
    more.hidden = next === null;
    fill(list, shown.length ? h("ul.dataset-list", {}, shown.map(card)) : empty());
  };
  load(false).catch(report);
  const stop = stream.onEvent(({ type, seq }) => {
    if (!["study", "study_deleted", "snapshot"].includes(type) || seq || due) return;
    due = setTimeout(() => {
      due = null;
      load(false).catch(() => {});
    }, SOON_MS);
  });
  return () => {
    clearTimeout(due);
    stop();
  };
}

function card(study) {
  const { study_id: id, name, status, spec, trials, suggested, running, best, metric, created_at: created } = study;
  const subject = [spec.dataset ?? (spec.trainer === "tabular" ? "Synthetic data" : spec.trainer), spec.target].filter(Boolean).join(" → ");
  const found = best ? `best ${term(metric)} ${value(best.value)}` : "no value yet";
  return h(
    "li.dataset-card",
    {},
    stateIcon(status),
    h("div", {}, h("a.row-name", { href: `#/studies/${encodeURIComponent(id)}` }, name ?? id), h("p.muted", {}, [subject, `${count(suggested - running)} of ${count(trials)} trials`, found].join(" · "))),
    h("span.badge", { "data-state": status }, title(status.toLowerCase())),
    h("span.muted.dataset-age", {}, ago(created)),
  );
}

function empty() {
  return h("div.nothing", {}, h("p", {}, "There are no studies yet."), h("p", {}, "Begin one here, with ", h("code", {}, "traind tune --dataset FILE --target COLUMN --server ADDRESS"), ", or by POST api/studies."));
}
