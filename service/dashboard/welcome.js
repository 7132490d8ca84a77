// What a server shows that has trained nothing yet: the two ways to start.

import { post } from "./api.js";
import { report } from "./dialog.js";
import { button, h } from "./dom.js";
import { icon } from "./icons.js";
import { dropZone } from "./upload.js";

/** Return the empty list's invitation. */
export function welcome() {
  const onDone = (dataset) => (location.hash = `#/dataset/${encodeURIComponent(dataset.name)}`);
  return h(
    "div.welcome",
    {},
    h("h2", {}, "Train a model on your table"),
    h("p.lead", {}, "Give it a file and say which column to predict. You watch it learn, and take home a model that predicts."),
    dropZone(onDone),
    h("p.or", {}, "or see it work first"),
    button([icon("play"), "Train on synthetic data"], tryIt, { kind: "large" }),
  );
}

async function tryIt(event) {
  event.currentTarget.disabled = true;
  try {
    const { job_id: jobId } = await post("api/train", { name: "First try", epochs: 20, batch_size: 256 });
    location.hash = `#/job/${encodeURIComponent(jobId)}`;
  } catch (error) {
    report(error);
  }
}
