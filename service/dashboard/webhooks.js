// Who is told of jobs: the operator's webhooks, what was delivered to each, and a test message.

import * as api from "./api.js";
import { notify, report } from "./dialog.js";
import { button, fill, h, scrolling } from "./dom.js";
import { count, dateOf } from "./format.js";

const EVERY_MS = 3_000;

export function showWebhooks(root) {
  const list = h("div.stack");
  root.append(h("section", { "aria-labelledby": "webhooks-heading" }, h("header.page-head", {}, h("h1", { id: "webhooks-heading" }, "Webhooks"), h("p.muted", {}, "Programs that are told when jobs end. The server's operator names them, with --webhooks.")), list));
  const load = async () => {
    const { webhooks } = await api.get("api/webhooks");
    const panels = await Promise.all(webhooks.map(panel));
    fill(list, panels.length ? panels : h("p.nothing", {}, "There is none."));
  };
  const timer = setInterval(() => load().catch(() => {}), EVERY_MS);
  load().catch(report);
  return () => clearInterval(timer);
}

async function panel({ name, address, events, tags, deliveries: { waiting, delivered, given_up: lost } }) {
  const { deliveries } = await api.get(`api/webhooks/${encodeURIComponent(name)}/deliveries`, { limit: 20 });
  const test = async () => {
    try {
      await api.call("POST", `api/webhooks/${encodeURIComponent(name)}/test`);
      notify(`A test for ${name} is on its way.`);
    } catch (error) {
      report(error);
    }
  };
  const head = h("tr", {}, ["When", "About", "State", "Tries", "Problem"].map((text) => h("th", { class: text === "Tries" ? "number" : "", scope: "col" }, text)));
  const about = ({ job_id: jobId, seq }) => (jobId === "test" ? "a test" : h("a", { href: `#/job/${encodeURIComponent(jobId)}`, title: `event ${seq}` }, jobId));
  const rows = deliveries.map((one) => h("tr", {}, h("td.when", {}, dateOf(one.created_at)), h("td.mono", {}, about(one)), h("td", {}, one.state.replace("_", " ")), h("td.number", {}, count(one.attempts)), h("td", {}, one.problem ?? "")));
  return h(
    "section.panel",
    {},
    h("div.panel-head", {}, h("h2", {}, name, " ", h("span.muted", {}, address)), button("Send a test", test, { kind: "tiny" })),
    h("p.muted", {}, `${events.map((event) => event.toLowerCase()).join(", ")}${tags.length ? ` of jobs tagged ${tags.join(" or ")}` : ""} · ${count(delivered)} delivered, ${count(waiting)} waiting, ${count(lost)} given up`),
    rows.length > 0 && scrolling(`Deliveries to ${name}`, h("table", {}, h("thead", {}, head), h("tbody", {}, rows))),
  );
}
