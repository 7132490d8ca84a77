// The page's beginning: the stream into the store, the address into a view, and what stands around every view.

import * as api from "./api.js";
import { askToken } from "./dialog.js";
import { fill, h, say } from "./dom.js";
import { count, timeOf } from "./format.js";
import { icon } from "./icons.js";
import { showJobs } from "./jobs.js";
import { Store } from "./store.js";
import { Stream } from "./stream.js";

const ROUTES = {
  jobs: async () => showJobs,
  job: async () => (await import("./job.js")).showJob,
  new: async () => (await import("./create.js")).showCreate,
  datasets: async () => (await import("./datasets.js")).showDatasets,
  dataset: async () => (await import("./dataset.js")).showDataset,
  studies: async () => (await styled(import("./studies.js"))).showStudies,
  "new-study": async () => (await styled(import("./study-form.js"))).showStudyForm,
  study: async () => (await styled(import("./study.js"))).showStudy,
  compare: async () => (await styled(import("./compare.js"))).showCompare,
  cluster: async () => (await import("./cluster.js")).showCluster,
  webhooks: async () => (await import("./webhooks.js")).showWebhooks,
};
const TITLES = { jobs: "Jobs", job: "Job", new: "New job", datasets: "Data sets", dataset: "Data set", studies: "Studies", "new-study": "New study", study: "Study", compare: "Compare", webhooks: "Webhooks", cluster: "Cluster" };

/** Wait for a view of many runs, and for their style sheet, which the first view does not need. */
async function styled(loading) {
  if (!document.querySelector('link[href="page/runs.css"]')) {
    const link = h("link", { rel: "stylesheet", href: "page/runs.css" });
    const loaded = new Promise((resolve) => ["load", "error"].forEach((name) => link.addEventListener(name, resolve)));
    document.head.append(link);
    await loaded;
  }
  return loading;
}

const store = new Store(async (jobId) => (await api.get("api/train/status", { job_id: jobId })).status);
const stream = new Stream(received, (connection) => store.connected(connection));

function received(message) {
  const before = store.server?.started_at;
  store.receive(message);
  if (message.next) stream.askOlder(message.next); // search and counts cover all jobs, those of long ago too
  if (message.type !== "snapshot") return;
  setRole(message.server.role ?? "operator");
  if (before && store.server?.started_at !== before) say(document.getElementById("said"), "The server was started again.");
}

/** Show what one may do: all that changes something is hidden from a viewer. */
function setRole(role) {
  if (document.documentElement.dataset.role === role) return;
  document.documentElement.dataset.role = role;
  if (route().view.startsWith("new")) show();
}

/** Return {view, id, query} of an address such as #/job/J or #/new?dataset=D. */
function route() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [view, id = ""] = path.split("/");
  const name = view === "studies" && id ? "study" : view;
  return { view: Object.hasOwn(ROUTES, name) ? name : "jobs", id: decode(id), query: new URLSearchParams(query) };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

let leave = () => {};
let turn = 0;

async function show() {
  const { view, id, query } = route();
  if (view.startsWith("new") && document.documentElement.dataset.role === "viewer") {
    location.hash = view === "new" ? "#/jobs" : "#/studies";
    return;
  }
  const mine = (turn += 1);
  const open = await ROUTES[view]();
  if (mine !== turn) return;
  leave();
  const main = document.getElementById("main");
  main.className = `view-${view}`;
  fill(main);
  scrollTo(0, 0);
  document.title = `${view === "compare" ? TITLES[view] : id || TITLES[view]} · traind`;
  for (const link of document.querySelectorAll("nav a")) {
    const isHere = link.dataset.view.split(" ").includes(view);
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  leave = open(main, { store, stream, id, query }) ?? (() => {});
}

/** Draw what stands around every view: the connection and the slots. */
function drawShell() {
  const { connection, server, heardAt } = store;
  const link = document.getElementById("connection");
  link.dataset.state = connection.state;
  say(link.lastElementChild, { live: "Live", connecting: "Connecting", lost: "Not connected" }[connection.state]);
  const lost = document.getElementById("lost");
  const isLost = connection.state === "lost";
  if (lost.hidden === isLost) lost.hidden = !isLost;
  if (isLost) say(lost.firstElementChild, connection.why ? [connection.why.message, connection.why.hint].filter(Boolean).join(" ").replaceAll("`", "") : heardAt ? `The connection is lost. What you see is from ${timeOf(heardAt / 1000)}; it comes back by itself.` : "The server cannot be reached. It is tried again and again.");
  const slots = document.getElementById("slots");
  slots.hidden = !server?.slots;
  if (server?.slots) drawSlots(slots, server.slots);
  document.getElementById("to-cluster").hidden = !server?.has_cluster;
}

function drawSlots(element, { busy, total }) {
  const words = `${count(busy)} of ${count(total)} ${total === 1 ? "slot" : "slots"} busy`;
  if (element.dataset.words === words) return;
  element.dataset.words = words;
  const lamps = total <= 16 ? Array.from({ length: total }, (_, index) => h("i", { class: index < busy ? "on" : "" })) : [];
  fill(element, h("span.lamps", { "aria-hidden": "true" }, lamps), h("span", {}, words));
}

const THEMES = { auto: ["half", "Colours: as the system"], light: ["sun", "Colours: light"], dark: ["moon", "Colours: dark"] };

function setUpTheme() {
  const root = document.documentElement;
  const toggle = document.getElementById("theme");
  const draw = () => {
    const [sign, label] = THEMES[root.dataset.theme] ?? THEMES.auto;
    fill(toggle, icon(sign));
    toggle.setAttribute("aria-label", label);
    toggle.title = label;
    dispatchEvent(new Event("resize")); // canvases take their colours again
  };
  toggle.addEventListener("click", () => {
    const names = Object.keys(THEMES);
    root.dataset.theme = names[(names.indexOf(root.dataset.theme) + 1) % names.length];
    localStorage.setItem("traind.theme", root.dataset.theme);
    draw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
}

async function start() {
  api.onTokenNeeded(askToken);
  setUpTheme();
  store.listen(drawShell);
  addEventListener("hashchange", show);
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address is the view's
    document.getElementById("main").focus();
  });
  show();
  await api.get("api/train/jobs", { limit: 1 }).catch(() => {}); // asks for a token where one is needed
  stream.open();
}

start();
