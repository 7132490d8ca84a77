// Icons as strokes on a 16 x 16 grid, drawn in the colour of the text around them. Decoration: the words stand beside.

import { svg } from "./dom.js";

const PATHS = {
  plus: "M8 3v10M3 8h10",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  play: "M5 3.2v9.6L12.6 8z",
  stop: "M4.5 4.5h7v7h-7z",
  close: "M4 4l8 8M12 4l-8 8",
  trash: "M3 4.5h10M6.5 4.5V3h3v1.5M4.5 4.5l.6 8.5h5.8l.6-8.5M6.8 7v3.5M9.2 7v3.5",
  again: "M12.8 8A4.8 4.8 0 1 1 11 4.3M12.8 2.6v2.6h-2.6",
  more: "M3.4 8h.02M8 8h.02M12.6 8h.02",
  check: "M3.5 8.5l3 3 6-7",
  alert: "M8 2.6l6 10.6H2zM8 6.8v2.8M8 11.4v.1",
  clock: "M8 2.5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11zM8 5v3.2l2 1.3",
  upload: "M8 10.5V3M5 5.8L8 3l3 2.8M3 10.5V13h10v-2.5",
  download: "M8 3v7.5M5 7.7l3 2.8 3-2.8M3 10.5V13h10v-2.5",
  copy: "M5.5 5.5h7v7h-7zM10.5 5.5v-2h-7v7h2",
  chevron: "M6 4l4 4-4 4",
  search: "M7 2.8a4.2 4.2 0 1 1 0 8.4 4.2 4.2 0 0 1 0-8.4zM10.2 10.2L13.4 13.4",
  table: "M2.5 3.5h11v9h-11zM2.5 6.5h11M6.5 6.5v6",
  reset: "M3 8a5 5 0 1 0 1.6-3.7M3 2.8v2.6h2.6",
  sun: "M8 5.2a2.8 2.8 0 1 1 0 5.6 2.8 2.8 0 0 1 0-5.6zM8 1.8v1.4M8 12.8v1.4M1.8 8h1.4M12.8 8h1.4M3.6 3.6l1 1M11.4 11.4l1 1M12.4 3.6l-1 1M4.6 11.4l-1 1",
  moon: "M13 9.4A5.4 5.4 0 0 1 6.6 3 5.4 5.4 0 1 0 13 9.4z",
  half: "M8 2.5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11zM8 2.5v11",
  file: "M4 2.5h5l3 3v8H4zM9 2.5v3h3",
  pencil: "M3 13l.6-2.8L10.8 3l2.2 2.2-7.2 7.2zM9.4 4.4l2.2 2.2",
  sliders: "M2.5 5h5M10.5 5h3M9 3.5a1.5 1.5 0 1 1 0 3 1.5 1.5 0 0 1 0-3zM2.5 11h2M7.5 11h6M6 9.5a1.5 1.5 0 1 1 0 3 1.5 1.5 0 0 1 0-3z",
  ring: "M8 3.2a4.8 4.8 0 1 1 0 9.6 4.8 4.8 0 0 1 0-9.6z",
  dash: "M3.6 8h8.8",
};

const FILLED = { half: "M8 2.5a5.5 5.5 0 0 1 0 11z" };

/** Return the icon of that name. */
export function icon(name, extra = "") {
  return svg(
    "svg",
    { viewBox: "0 0 16 16", class: `icon ${extra}`.trim(), "aria-hidden": "true", focusable: "false" },
    svg("path", { d: PATHS[name] }),
    FILLED[name] && svg("path", { d: FILLED[name], fill: "currentColor", stroke: "none" }),
  );
}

const STATES = {
  QUEUED: "clock",
  STARTING: "ring",
  LOADING: "ring",
  RUNNING: "ring",
  PAUSED: "pause",
  COMPLETED: "check",
  STOPPED: "stop",
  CANCELLED: "dash",
  FAILED: "alert",
};

/** Return the sign of a job's state: told apart by shape, not by colour alone. */
export function stateIcon(status) {
  const sign = icon(STATES[status] ?? "ring", "state-icon");
  sign.dataset.state = status;
  return sign;
}
