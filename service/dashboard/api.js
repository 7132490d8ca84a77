// The HTTP API as the page uses it. Addresses are relative to the page, so that any prefix works. The token is asked
// for once, kept for this tab's session, and goes into a header, never into an address.

const KEY = `traind.token ${new URL(".", document.baseURI).pathname}`;

/** What the server (or the way to it) answered instead: the API's one error shape. */
export class ApiError extends Error {
  constructor({ code = "error", message = "The server answered in a way that this page does not know.", hint = null, details = [] } = {}, status = 0) {
    super(message);
    Object.assign(this, { code, hint, details, status });
  }
}

let token = sessionStorage.getItem(KEY);
let asking = null;
let askForToken = async () => null;

/** Say who asks the user for a token; it gets the last refusal, or null, and returns the token or null. */
export function onTokenNeeded(ask) {
  askForToken = ask;
}

/** Return the full address of an API path, with the query's set values. */
export function address(path, query = {}) {
  const url = new URL(path, new URL(".", document.baseURI));
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined) url.searchParams.set(name, value);
  }
  return url;
}

export const hasToken = () => token !== null;

/** Return the headers that say who asks. */
export function credentials() {
  return token === null ? {} : { Authorization: `Bearer ${token}` };
}

/** Return the websocket's subprotocols: a browser cannot send headers there. */
export function protocols() {
  if (token === null) return ["traind"];
  const text = btoa(String.fromCharCode(...new TextEncoder().encode(token)));
  return ["traind", `traind.token.${text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`];
}

async function renewToken(refusal) {
  asking ??= askForToken(hasToken() ? refusal : null).finally(() => (asking = null));
  const given = await asking;
  if (given === null) throw refusal;
  token = given;
  sessionStorage.setItem(KEY, given);
}

/** Carry out `send` and again with a token when the server wants one; `send` throws an ApiError of status 401 then. */
export async function authorized(send) {
  for (;;) {
    const used = token;
    try {
      return await send();
    } catch (error) {
      if (error.status !== 401) throw error;
      if (used === token) await renewToken(error);
    }
  }
}

/** Return the API's error in an answer's text, whatever it holds. */
export function errorIn(text, status) {
  try {
    return new ApiError(JSON.parse(text).error, status);
  } catch {
    return new ApiError({ code: `http_${status}`, message: `The server answered ${status}.` }, status);
  }
}

async function send(method, path, { query, body, signal, accept }) {
  const headers = { ...credentials() };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(address(path, query), {
      method,
      headers,
      signal,
      cache: "no-store",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError({ code: "unreachable", message: "The server cannot be reached." });
  }
  if (!response.ok) throw errorIn(await response.text(), response.status);
  return accept === "blob" ? response.blob() : response.json();
}

/** Return the answer of one call, or throw an ApiError. */
export function call(method, path, options = {}) {
  return authorized(() => send(method, path, options));
}

export const get = (path, query, signal) => call("GET", path, { query, signal });
export const post = (path, body, query, signal) => call("POST", path, { body, query, signal });
export const patch = (path, body) => call("PATCH", path, { body });
export const remove = (path) => call("DELETE", path);
export const jobPath = (jobId) => `api/train/jobs/${encodeURIComponent(jobId)}`;
export const modelPath = (jobId, rest = "") => `api/models/${encodeURIComponent(jobId)}${rest}`;
export const studyPath = (studyId, rest = "") => `api/studies/${encodeURIComponent(studyId)}${rest}`;
export const datasetPath = (name, rest = "") => `api/datasets/${encodeURIComponent(name)}${rest}`;

export const aliasPath = (name) => `api/models/aliases/${encodeURIComponent(name)}`;

/** Send a table as it is; returns the answer, or saves it as the file `filename`. */
export async function sendTable(path, file, filename) {
  const answered = await authorized(async () => {
    const format = /\.(csv|tsv|jsonl|parquet)(\.gz)?$/i.exec(file.name)?.[0].slice(1).toLowerCase();
    const headers = { ...credentials(), "Content-Type": "application/octet-stream" };
    const response = await fetch(address(path, { format }), { method: "POST", headers, body: file, cache: "no-store" });
    if (!response.ok) throw errorIn(await response.text(), response.status);
    return filename ? response.blob() : response.json();
  });
  if (filename) save(answered, filename);
  return answered;
}

/** Have the browser keep a blob as a file. */
export function save(blob, filename) {
  const link = document.createElement("a");
  link.download = filename;
  link.href = URL.createObjectURL(blob);
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Save what a GET answers as a file. It goes through memory, so that a token goes along and an error is shown here. */
export async function download(path, query, filename) {
  save(await call("GET", path, { query, accept: "blob" }), filename);
}
