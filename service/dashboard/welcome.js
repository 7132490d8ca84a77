// What a server shows that has trained nothing yet: the ways to start.

import { address, ApiError, post } from "./api.js";
import { report } from "./dialog.js";
import { button, h } from "./dom.js";
import { icon } from "./icons.js";
import { dropZone, put } from "./upload.js";

const SAMPLE = "page/house_prices.csv.gz";

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
    h(
      "div.welcome-tries",
      { "data-needs": "operator" },
      button([icon("play"), "Try it on house prices"], pressed(trySample), { kind: "large primary" }),
      button("Train on synthetic data", pressed(trySynthetic), { kind: "large" }),
    ),
    h("p.muted", {}, "21,613 real sales in King County, USA: what a house will sell for."),
  );
}

/** Return a handler that tries once at a time, and shows the job that comes of it. */
function pressed(attempt) {
  return async (event) => {
    const made = event.currentTarget;
    made.disabled = true;
    try {
      const { job_id: jobId } = await attempt();
      location.hash = `#/job/${encodeURIComponent(jobId)}`;
    } catch (error) {
      report(error);
      made.disabled = false;
    }
  };
}

const trySynthetic = () => post("api/train", { name: "First try", epochs: 20, batch_size: 256 });

/** Put the table that the server ships, as a user puts a file, and train on it. */
async function trySample() {
  const response = await fetch(address(SAMPLE));
  if (!response.ok) throw new ApiError({ message: "The sample is not there." });
  const file = new File([await response.blob()], "house_prices.csv.gz");
  const { dataset } = await put("house_prices", file, {}, () => {}, new AbortController().signal);
  return post("api/train", { dataset: dataset.name, target: "price", name: "House prices" });
}
