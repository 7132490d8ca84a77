// The studies of this server, newest first.

import { get, post } from "./api.js";
import { askTexts, report } from "./dialog.js";
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
      h("header.job-head", {}, h("div.job-title", {}, h("h1", { id: "studies-heading" }, "Studies"), h("p.muted", {}, "A study tries many settings, ends early what is hopeless, and makes one model of the best.")), button([icon("plus"), "New study"], () => begin().catch(report), { "data-needs": "operator" })),
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

/** Ask what is to be found, and begin the study: the usual fields are searched. */
async function begin() {
  const { datasets } = await get("api/datasets");
  const fields = [
    { name: "dataset", label: "Data set (empty: synthetic data)", value: datasets[0]?.name ?? "" },
    { name: "target", label: "Column to predict (empty: as the data suggest)", value: datasets[0]?.summary?.target ?? "" },
    { name: "trials", label: "Trials, at most", value: "50" },
    { name: "metric", label: "Metric to compare trials by: val_loss, rmse, accuracy ...", value: "val_loss" },
    { name: "name", label: "Name", value: "" },
  ];
  const given = await askTexts("Look for the best settings", fields, "Begin");
  if (!given) return;
  const spec = Object.fromEntries(["dataset", "target"].filter((name) => given[name]).map((name) => [name, given[name]]));
  const trials = Number.isFinite(Number(given.trials)) ? Number(given.trials) : given.trials;
  const { study_id: id } = await post("api/studies", { spec, trials, metric: given.metric || "val_loss", name: given.name || null });
  location.hash = `#/studies/${encodeURIComponent(id)}`;
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
