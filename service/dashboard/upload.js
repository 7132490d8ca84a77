// A file dragged or chosen becomes a data set: sent as it is, with a bar that shows how far it is.

import * as api from "./api.js";
import { notify, report } from "./dialog.js";
import { button, fill, h, say } from "./dom.js";
import { makeField } from "./fields.js";
import { bytes, duration } from "./format.js";
import { icon } from "./icons.js";
import { trainSpec } from "./schema.js";

const KINDS = ".csv,.tsv,.txt,.jsonl,.ndjson,.parquet,.xlsx,.gz";

/** "House Prices (2).csv.gz" -> "House-Prices-2": what the server takes as a name. */
export function datasetName(filename) {
  const stem = filename.replace(/\.gz$/i, "").replace(/\.(csv|tsv|txt|jsonl|ndjson|parquet|xlsx)$/i, "");
  const plain = stem.replace(/[^A-Za-z0-9_.-]+/g, "-").replace(/^[^A-Za-z0-9]+|-+$/g, "").slice(0, 64);
  return plain || "data";
}

/** "a.csv.gz" -> "csv.gz": the content alone decides where the name says nothing. */
function formatOf(filename) {
  const match = /\.(csv|tsv|jsonl|ndjson|parquet|xlsx)(\.gz)?$/i.exec(filename);
  return match ? `${match[1].toLowerCase().replace("ndjson", "jsonl")}${match[2] ? ".gz" : ""}` : null;
}

/** Send the file, read as the `options` say; `onProgress(sent, total)` while it goes. Resolves to the API's answer. */
export function put(name, file, options, onProgress, signal) {
  return api.authorized(() => sendFile(name, file, options, onProgress, signal));
}

function sendFile(name, file, options, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", api.address(api.datasetPath(name), { format: formatOf(file.name), ...options }));
    for (const [header, text] of Object.entries(api.credentials())) request.setRequestHeader(header, text);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded, event.total);
    request.onload = () => {
      if (request.status < 300) resolve(JSON.parse(request.responseText));
      else reject(api.errorIn(request.responseText, request.status));
    };
    request.onerror = () => reject(new api.ApiError({ code: "unreachable", message: "The upload was cut off." }));
    request.onabort = () => reject(new DOMException("The upload was cancelled.", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

/** Return the place to drop a file on or to choose one at; `onDone(dataset)` is called with each that is in. */
export function dropZone(onDone, { isSmall = false } = {}) {
  const input = h("input.unseen", { type: "file", accept: KINDS, id: "file", multiple: true });
  const state = h("div.drop-state");
  const label = h(
    "label.drop",
    { for: "file", class: isSmall ? "small" : "" },
    icon("upload"),
    h("span.drop-title", {}, "Drop a table here, or ", h("span.link", {}, "choose a file")),
    h("span.muted", {}, "CSV, TSV, JSON lines, Parquet or Excel; gzip is fine"),
  );
  const how = wayOfReading();
  const zone = h("div.drop-zone", { "data-needs": "operator" }, input, label, how.element, state);
  const takeAll = async (files) => {
    for (const file of files) await takeOne(file, how.read(), state, onDone);
  };
  input.addEventListener("change", () => {
    takeAll([...input.files]);
    input.value = "";
  });
  acceptDrops(zone, takeAll);
  return zone;
}

/** Return {element, read()}: what may be said of how a file is written, behind one click; read() is for the query. */
function wayOfReading() {
  let fields = [];
  const grid = h("div.form-grid");
  const element = h("details.more.drop-how", {}, h("summary", {}, "Say how the file is written"), h("p.muted", {}, "Only where that is not found out: see the preview of what was put."), grid);
  const fillIn = async () => {
    const { reading, find } = await trainSpec();
    fields = Object.entries(reading).map(([name, schema]) => [name, makeField(name, schema, { path: `read.${name}`, find })]);
    fill(grid, fields.map(([, field]) => field.element));
  };
  element.addEventListener("toggle", () => fillIn().catch(report), { once: true });
  const written = (value) => (Array.isArray(value) ? value.join(",") : value);
  const read = () => Object.fromEntries(fields.map(([name, field]) => [name, written(field.read())]).filter(([, value]) => value !== undefined));
  return { element, read };
}

function acceptDrops(zone, takeAll) {
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    takeAll([...event.dataTransfer.files]);
  });
}

async function takeOne(file, options, state, onDone) {
  const name = datasetName(file.name);
  const bar = h("progress", { max: 1, value: 0, "aria-label": `Upload of ${file.name}` });
  const text = h("span.muted", { role: "status" });
  const abort = new AbortController();
  fill(state, h("div.drop-progress", {}, h("span", {}, file.name), bar, text, button("Cancel", () => abort.abort(), { kind: "quiet" })));
  const started = performance.now();
  const onProgress = (sent, total) => {
    bar.value = sent / total;
    const left = ((performance.now() - started) / 1000 / sent) * (total - sent);
    const isSent = sent === total;
    say(text, isSent ? "Reading the columns…" : `${bytes(sent)} of ${bytes(total)}, ${duration(left)} left`);
    if (isSent) bar.removeAttribute("value");
  };
  try {
    const { dataset } = await put(name, file, options, onProgress, abort.signal);
    notify(`${file.name} is in, as “${dataset.name}”.`);
    onDone(dataset);
  } catch (error) {
    report(error);
  }
  fill(state);
}
