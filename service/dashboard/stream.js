// The one websocket: a snapshot of all jobs, then what changes, and whole event streams of the jobs that are looked
// at. A lost connection is said, comes back by itself, and goes on after the last event that was seen.

import * as api from "./api.js";

const QUIET_MS = 20_000; // this long without a word, then ask whether somebody is there
const ANSWER_MS = 8_000; // and this long for the answer
const LONGEST_WAIT_MS = 8_000;

const NO_UPGRADE = {
  message: "A proxy in between does not pass on websockets, which this page lives by.",
  hint: "nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\"; examples/deploy has the whole of it.",
};

/** Calls are answered, and the socket is not: this page's origin is refused, or a proxy does not upgrade. */
function whyNoSocket() {
  return api.post("api/train/ws").then(() => NO_UPGRADE, (error) => (error.code === "origin_not_allowed" ? error : NO_UPGRADE));
}

export class Stream {
  #socket = null;
  #watched = new Map(); // job id, or study/id -> {after, onEvent, onReset, studyId}
  #listeners = new Set();
  #failures = 0;
  #isProven = false; // a socket was open once: what fails since is the server or the network, no setting
  #why = null; // which setting keeps sockets out
  #retry = null;
  #watchdog = null;
  #onMessage;
  #onState;

  /** `onMessage` gets every message that is not of a watched stream's own; `onState` gets {state, retryAt}. */
  constructor(onMessage, onState) {
    this.#onMessage = onMessage;
    this.#onState = onState;
    addEventListener("online", () => this.#hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.#hurry());
  }

  open() {
    clearTimeout(this.#retry);
    this.#retry = null;
    const url = api.address("api/train/ws");
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url, api.protocols());
    this.#socket = socket;
    socket.onopen = () => this.#opened(socket);
    socket.onmessage = (message) => this.#heard(socket, JSON.parse(message.data));
    socket.onclose = () => this.#lost(socket);
    if (this.#failures === 0) this.#onState({ state: "connecting", retryAt: null });
  }

  /** Call `listener` with every message; returns how to stop that. */
  onEvent(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Follow all events of a job after `after`; `onReset` is called when that cursor means nothing to the server. */
  watch(jobId, after, onEvent, onReset) {
    const watched = { after, onEvent, onReset };
    this.#watched.set(jobId, watched);
    this.#ask(jobId, after);
    return () => {
      if (this.#watched.get(jobId) !== watched) return;
      this.#watched.delete(jobId);
      this.#send({ unsubscribe: jobId });
    };
  }

  /** Follow all events of a study after `after`, as `watch` does those of a job. */
  watchStudy(studyId, after, onEvent, onReset) {
    const [topic, watched] = [`study/${studyId}`, { after, onEvent, onReset, studyId }];
    this.#watched.set(topic, watched);
    this.#askAgain(topic, watched);
    return () => {
      if (this.#watched.get(topic) !== watched) return;
      this.#watched.delete(topic);
      this.#send({ unsubscribe_study: studyId });
    };
  }

  /** Ask for the jobs that the snapshot left out; the answer comes as a message. */
  askOlder(after) {
    this.#send({ older: after });
  }

  #opened(socket) {
    if (socket !== this.#socket) return;
    this.#failures = 0;
    this.#isProven = true;
    this.#why = null;
    this.#onState({ state: "live", retryAt: null });
    for (const [topic, watched] of this.#watched) this.#askAgain(topic, watched);
    this.#listen();
  }

  #heard(socket, message) {
    if (socket !== this.#socket) return;
    this.#listen();
    const watched = this.#watched.get(message.study_id ? `study/${message.study_id}` : message.job_id);
    if (watched && message.type === "error") {
      watched.onReset(message.error);
    } else if (watched) {
      this.#hearWatched(message, watched);
    }
    this.#onMessage(message);
    for (const listener of [...this.#listeners]) listener(message);
  }

  /** The thinned feed of all jobs may skip ahead of the watched stream: only what follows without a gap counts. */
  #hearWatched(message, watched) {
    if (message.seq === watched.after + 1) {
      watched.after = message.seq;
      watched.onEvent(message);
    }
    const isResumed = message.type === "state" && message.status === "QUEUED" && message.seq >= watched.after;
    if (isResumed) this.#ask(message.job_id, watched.after); // the server ended the stream when the job was over
  }

  #lost(socket) {
    if (socket !== this.#socket) return;
    clearTimeout(this.#watchdog);
    this.#socket = null;
    const wait = Math.min(LONGEST_WAIT_MS, 250 * 2 ** this.#failures) * (0.75 + Math.random() / 2);
    this.#failures += 1;
    this.#onState({ state: "lost", retryAt: Date.now() + wait, why: this.#why });
    this.#retry = setTimeout(() => this.#comeBack(), wait);
  }

  /** A refused handshake does not say why: small calls do, and ask for a token where that is the reason. */
  async #comeBack() {
    if (!this.#isProven || this.#failures > 1) {
      const why = await api.get("api/train/jobs", { limit: 1 }).then(this.#isProven ? () => null : whyNoSocket, () => null);
      if (why !== null) this.#onState({ state: "lost", retryAt: null, why: (this.#why = why) });
    }
    if (this.#socket === null) this.open();
  }

  #hurry() {
    if (this.#retry !== null) this.open();
    else if (this.#socket?.readyState === WebSocket.OPEN) this.#probe();
  }

  #listen() {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => this.#probe(), QUIET_MS);
  }

  #probe() {
    const socket = this.#socket;
    this.#send({ ping: 1 });
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => {
      socket.onclose = null;
      socket.close();
      this.#lost(socket);
    }, ANSWER_MS);
  }

  #askAgain(topic, { studyId, after }) {
    if (studyId) this.#send({ subscribe_study: studyId, after });
    else this.#ask(topic, after);
  }

  #ask(jobId, after) {
    this.#send({ subscribe: jobId, after });
  }

  #send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }
}
