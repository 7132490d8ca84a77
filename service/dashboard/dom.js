// Elements from plain values. Text goes in as text nodes only, so no string of anybody's ever becomes markup.

const SVG = "http://www.w3.org/2000/svg";

/** Return a new element: h("a.button.primary", {href: "#/new", on: {click}}, "New job"). */
export function h(selector, props = {}, ...children) {
  const [tag, ...classes] = selector.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  assign(element, props);
  append(element, children);
  return element;
}

/** Return a new SVG element with these attributes. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  append(element, children);
  return element;
}

function assign(element, props) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (name === "class") {
      element.classList.add(...value.split(" ").filter(Boolean));
    } else if (name === "vars") {
      for (const [key, text] of Object.entries(value)) element.style.setProperty(`--${key}`, text);
    } else if (typeof value === "boolean" && !name.startsWith("aria-")) {
      element.toggleAttribute(name, value);
    } else {
      element.setAttribute(name, value);
    }
  }
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/** Put these children in place of what the element holds. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** Set the element's text if it differs: an unchanged node is not drawn again nor read out again. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Return text for screen readers alone. */
export function unseen(text) {
  return h("span.unseen", {}, text);
}

/** Return a frame in which something wide scrolls sideways, by keyboard too. */
export function scrolling(label, ...children) {
  return h("div.scroll", { tabindex: 0, role: "region", "aria-label": label }, children);
}

/** Return a button; `label` names it where it shows only an icon. */
export function button(content, onClick, { kind = "", label = null, ...props } = {}) {
  return h("button.button", { type: "button", class: kind, "aria-label": label, title: label, on: { click: onClick }, ...props }, content);
}
