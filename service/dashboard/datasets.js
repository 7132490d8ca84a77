// The data sets of this server, and the place to drop another.

import { get } from "./api.js";
import { report } from "./dialog.js";
import { fill, h } from "./dom.js";
import { ago, bytes, count } from "./format.js";
import { icon } from "./icons.js";
import { dropZone } from "./upload.js";

/** Put the list into `root`; returns what ends it. */
export function showDatasets(root, { stream }) {
  const list = h("div");
  const open = (dataset) => (location.hash = `#/dataset/${encodeURIComponent(dataset.name)}`);
  root.append(
    h(
      "section.datasets",
      { "aria-labelledby": "datasets-heading" },
      h("header.page-head", {}, h("h1", { id: "datasets-heading" }, "Data sets"), h("p.muted", {}, "Tables that jobs train on. Putting one again under its name makes a new version; jobs keep the one they began with.")),
      dropZone(open, { isSmall: true }),
      list,
    ),
  );
  const draw = async () => {
    const { datasets } = await get("api/datasets");
    fill(list, datasets.length ? h("ul.dataset-list", {}, datasets.map(card)) : h("p.nothing", {}, "There are no data sets yet."));
  };
  draw().catch(report);
  return stream.onEvent((message) => {
    if (message.type === "dataset" || message.type === "snapshot") draw().catch(() => {});
  });
}

function card({ name, size_bytes: size, created_at: created, format, summary }) {
  const columns = summary?.n_columns;
  const facts = [summary?.n_rows !== undefined && `${count(summary.n_rows)} rows`, columns && `${count(columns)} columns`, bytes(size)].filter(Boolean);
  const warnings = summary?.n_warnings ?? 0;
  return h(
    "li.dataset-card",
    {},
    icon("table"),
    h("div", {}, h("a.row-name", { href: `#/dataset/${encodeURIComponent(name)}` }, name), h("p.muted", {}, facts.join(" · "))),
    warnings > 0 && h("span.badge", { "data-state": "PAUSED" }, icon("alert"), count(warnings), h("span.unseen", {}, " warnings")),
    h("span.tag", {}, format),
    h("span.muted.dataset-age", {}, ago(created)),
  );
}
