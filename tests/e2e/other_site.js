// What a page of another site can try against a server it knows the address of. Each attempt says what came of it:
// "read <what>" where an answer could be looked at, "sent" where only the sending worked, "refused" otherwise.
const target = new URL(location.hash.slice(1));
const http = target.origin;
const socket = `ws://${target.host}`;
const spec = JSON.stringify({ epochs: 1, synthetic: { rows: 100 }, name: "planted" });
const json = { "Content-Type": "application/json" };
const SECONDS = 15;

const within = (promise) =>
  Promise.race([promise, new Promise((done) => setTimeout(done, SECONDS * 1000, "refused: silence"))]).catch(
    (error) => `refused: ${error}`,
  );

const asked = async (path, options = {}) => {
  const answer = await fetch(http + path, options);
  const text = answer.type === "opaque" ? "" : await answer.text();
  return text === "" ? "sent" : answer.ok ? `read ${text.slice(0, 60)}` : `refused: ${answer.status}`;
};

const element = (tag, attributes) =>
  new Promise((done) => {
    const made = Object.assign(document.createElement(tag), attributes);
    made.onload = () => done(tag === "iframe" ? framed(made) : "read: loaded");
    made.onerror = () => done("refused: error");
    document.body.append(made);
  });

const framed = (frame) => {
  try {
    return frame.contentDocument === null ? "refused: opaque" : `read ${frame.contentDocument.title || "a document"}`;
  } catch (error) {
    return `refused: ${error}`;
  }
};

const form = (action, enctype, name, value) =>
  new Promise((done) => {
    const frame = Object.assign(document.createElement("iframe"), { name: `f${Math.random()}` });
    const made = Object.assign(document.createElement("form"), { action, enctype, method: "post", target: frame.name });
    made.append(Object.assign(document.createElement("input"), { name, value }));
    document.body.append(frame, made);
    frame.onload = () => done("sent");
    made.submit();
  });

const listened = (made, opened) =>
  new Promise((done) => {
    made.onmessage = ({ data }) => done(`read ${String(data).slice(0, 60)}`);
    made.onopen = () => opened?.(made);
    made.onerror = () => done("refused: error");
  });

const ATTEMPTS = {
  "fetch jobs": () => asked("/api/train/jobs"),
  "fetch jobs with credentials": () => asked("/api/train/jobs", { credentials: "include" }),
  "fetch jobs blindly": () => asked("/api/train/jobs", { mode: "no-cors" }),
  "fetch health": () => asked("/health"),
  "fetch the page": () => asked("/"),
  "event source": () => listened(new EventSource(`${http}/api/train/events?job_id=${target.searchParams.get("job")}`)),
  "post json": () => asked("/api/train", { method: "POST", headers: json, body: spec }),
  "post json blindly": () => asked("/api/train", { method: "POST", mode: "no-cors", headers: json, body: spec }),
  "post text blindly": () => asked("/api/train", { method: "POST", mode: "no-cors", body: spec }),
  "post a blob of json blindly": () =>
    asked("/api/train", { method: "POST", mode: "no-cors", body: new Blob([spec], { type: "application/json" }) }),
  "put a data set": () => asked("/api/datasets/planted", { method: "PUT", body: "a,b\n1,2\n" }),
  "delete a data set": () => asked("/api/datasets/kept", { method: "DELETE" }),
  "delete a job": () => asked(`/api/train/jobs/${target.searchParams.get("job")}`, { method: "DELETE" }),
  beacon: async () => (navigator.sendBeacon(`${http}/api/train`, new Blob([spec], { type: "text/plain" })) ? "sent" : ""),
  "form, text/plain": () => form(`${http}/api/train`, "text/plain", `${spec.slice(0, -1)}, "tags": ["`, '"]}'),
  "form, urlencoded": () => form(`${http}/api/train`, "application/x-www-form-urlencoded", "epochs", "1"),
  "form, multipart": () => form(`${http}/api/train`, "multipart/form-data", "epochs", "1"),
  script: () => element("script", { src: `${http}/api/train/jobs` }),
  "script of the page": () => element("script", { src: `${http}/page/app.js` }),
  module: () => element("script", { type: "module", src: `${http}/page/api.js` }),
  style: () => element("link", { rel: "stylesheet", href: `${http}/page/base.css` }),
  image: () => element("img", { src: `${http}/page/icon.svg` }),
  "image of a call": () => element("img", { src: `${http}/api/train/jobs` }),
  "frame of the page": () => element("iframe", { src: `${http}/` }),
  "frame of a call": () => element("iframe", { src: `${http}/api/train/jobs` }),
  websocket: () => listened(new WebSocket(`${socket}/api/train/ws`)),
  "websocket, subprotocol": () => listened(new WebSocket(`${socket}/api/train/ws`, ["traind"])),
};

const tried = {};
for (const [name, attempt] of Object.entries(ATTEMPTS)) tried[name] = (await within(attempt())) || "refused";
window.tried = tried;
