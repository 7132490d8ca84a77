// In which order things stand: which of two values is better, and what goes last.

const UP = new Set(["r2", "accuracy", "f1", "auc"]); // metrics of which more is better

export const COMPARED = ["rmse", "accuracy"]; // what people compare jobs by, where nobody says

/** Whether more of a metric is better; of names that are not known here, less is. */
export const isUp = (metric) => UP.has(metric.split(".").at(-1));

const isHere = (found) => found !== null && found !== undefined && !Number.isNaN(found);
const textOf = (found) => (typeof found === "object" ? JSON.stringify(found) : String(found));
const texts = new Intl.Collator(undefined, { numeric: true });

/** Compare two values: `sign` turns numbers and texts round, what is not there stays last. */
export function compared(one, other, sign = 1) {
  if (!isHere(one) || !isHere(other)) return isHere(other) - isHere(one);
  if (typeof one === "number" && typeof other === "number") return sign * (one - other);
  return sign * texts.compare(textOf(one), textOf(other));
}
