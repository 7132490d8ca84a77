// The machines that jobs run on: each node of the cluster, its cores and GPUs, and the seats that jobs have there.

import * as api from "./api.js";
import { report } from "./dialog.js";
import { fill, h, scrolling } from "./dom.js";
import { bytes, count } from "./format.js";

const EVERY_MS = 2_000;
const COLUMNS = ["Node", "Cores", "GPUs", "Memory", "Seats", "With a job"];

export function showCluster(root) {
  const body = h("div.stack");
  root.append(h("section", { "aria-labelledby": "cluster-heading" }, h("header.page-head", {}, h("h1", { id: "cluster-heading" }, "Cluster"), h("p.muted", {}, "A seat is a slot on a node: it holds what its job needs, and is given back after two minutes without one.")), body));
  const load = async () => {
    const { cluster, slots, problems } = await api.get("health");
    fill(body, cluster ? panel(cluster, slots) : h("p.nothing", {}, "Jobs run on the server's own machine."), problems.map((problem) => h("p.problem", {}, problem)));
  };
  const timer = setInterval(() => load().catch(() => {}), EVERY_MS);
  load().catch(report);
  return () => clearInterval(timer);
}

function panel({ is_joined: isJoined, waiting_seats: waiting, nodes }, { busy, total }) {
  const head = h("tr", {}, COLUMNS.map((text, index) => h("th", { class: index ? "number" : "", scope: "col" }, text)));
  const rows = nodes.map((node) => h("tr", {}, h("td.mono", {}, node.name), [count(node.cores), count(node.gpus), bytes(node.memory_bytes), count(node.seats), count(node.busy)].map((text) => h("td.number", {}, text))));
  const words = [`${count(nodes.length)} ${nodes.length === 1 ? "node" : "nodes"}`, `jobs hold ${count(busy)} of ${count(total)} cores`];
  if (waiting) words.push(`${count(waiting)} ${waiting === 1 ? "seat is" : "seats are"} being made`);
  if (!isJoined) words.push("not connected now: running jobs go on");
  return h("section.panel", {}, h("p.muted", {}, words.join(" · ")), scrolling("Nodes of the cluster", h("table", {}, h("thead", {}, head), h("tbody", {}, rows))));
}
