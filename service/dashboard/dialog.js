// What interrupts: a question before something is lost, the token, a short notice of what happened.

import { button, fill, h } from "./dom.js";

let numbered = 0;

/** Show a modal dialog; resolves with the value it was closed by ("" when dismissed), after it is gone. */
function show(heading, content, actions, onOpen = () => {}) {
  const id = `dialog-${(numbered += 1)}`;
  const dialog = h("dialog.dialog", { "aria-labelledby": id });
  const form = h("form", { method: "dialog" }, h("h2", { id }, heading), content, h("div.dialog-actions", {}, actions));
  dialog.append(form);
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue);
    });
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close(""));
    dialog.showModal();
    onOpen(dialog);
  });
}

/** Ask before something is lost; resolves to whether the user agreed. */
export async function confirm(heading, sentence, verb) {
  const actions = [
    h("button.button", { value: "" }, "Keep it"),
    h("button.button.danger", { value: "yes" }, verb),
  ];
  return (await show(heading, h("p", {}, sentence), actions)) === "yes";
}

/** Ask for a number, starting from `value`; resolves to it or to null. */
export async function askNumber(heading, sentence, { label, value, min, verb }) {
  const input = h("input", { type: "number", value, min, step: 1, id: "dialog-number", required: true });
  const content = [h("p", {}, sentence), h("label.field", { for: "dialog-number" }, h("span.field-name", {}, label)), input];
  const actions = [h("button.button", { value: "", formnovalidate: true }, "Not now"), h("button.button.primary", { value: "yes" }, verb)];
  const answer = await show(heading, content, actions, () => input.select());
  return answer === "yes" ? Number(input.value) : null;
}

/** Ask for several texts: fields of {name, label, value, isLong}; resolves to {name: text}, or to null. */
export async function askTexts(heading, fields, verb) {
  const inputs = fields.map(({ name, value, isLong }) => h(isLong ? "textarea" : "input", { id: `dialog-${name}`, value: isLong ? undefined : value, rows: isLong ? 4 : undefined, autocomplete: "off" }));
  inputs.forEach((input, index) => (input.value = fields[index].value));
  const content = fields.map(({ name, label }, index) => h("label.field", { for: `dialog-${name}` }, h("span.field-name", {}, label), inputs[index]));
  const actions = [h("button.button", { value: "" }, "Not now"), h("button.button.primary", { value: "yes" }, verb)];
  const answer = await show(heading, content, actions, () => inputs[0].select());
  return answer === "yes" ? Object.fromEntries(fields.map(({ name }, index) => [name, inputs[index].value.trim()])) : null;
}

/** Ask for the server's token; resolves to it, or to null when dismissed. */
export async function askToken(refusal) {
  const input = h("input", { type: "password", id: "token", autocomplete: "off", spellcheck: "false", required: true });
  const content = [
    h("p", {}, "Whoever runs the server has given you one. It is kept for this tab until you close it."),
    refusal && h("p.problem", { role: "alert" }, refusal.message),
    h("label.field", { for: "token" }, h("span.field-name", {}, "Token")),
    input,
  ];
  const actions = [h("button.button", { value: "", formnovalidate: true }, "Not now"), h("button.button.primary", { value: "yes" }, "Continue")];
  const answer = await show("This server asks for a token", content, actions, () => input.focus());
  return answer === "yes" && input.value ? input.value.trim() : null;
}

/** Say something that happened, for a while; problems stay until they are closed. */
export function notify(sentence, { kind = "", hint = null } = {}) {
  const notice = h("div.notice", { class: kind, role: kind === "problem" ? "alert" : "status" });
  const close = button("✕", () => notice.remove(), { kind: "quiet", label: "Close this notice" });
  fill(notice, h("div", {}, h("p", {}, sentence), hint && h("p.muted", {}, hint)), close);
  document.getElementById("notices").append(notice);
  if (kind !== "problem") setTimeout(() => notice.remove(), 6_000);
}

/** Say what an ApiError says. */
export function report(error) {
  if (error.name === "AbortError") return;
  const isNew = ({ msg }) => msg && !error.message.includes(msg); // a single problem is the message already
  const details = (error.details ?? []).filter(isNew).map(({ loc, msg }) => (loc ? `${loc}: ${msg}` : msg)).join("; ");
  notify(details ? `${error.message} ${details}` : error.message, { kind: "problem", hint: error.hint });
}
