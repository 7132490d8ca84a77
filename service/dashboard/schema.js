// The schema of TrainSpec, from the server's own OpenAPI description: what the form is made of, and what is default.

import { get } from "./api.js";

let loading = null;

/** Return {properties, study, reading, find}: fields of TrainSpec, of a study and of how a file is read, and how to follow a `$ref`. Fetched once. */
export function trainSpec() {
  loading ??= get("api/openapi.json").then(read, (error) => {
    loading = null;
    throw error;
  });
  return loading;
}

function read(openapi) {
  const schemas = openapi.components.schemas;
  for (const { properties = {} } of Object.values(schemas)) {
    for (const schema of Object.values(properties)) schema.default ??= schema["x-default"]; // of what is sent
  }
  const find = (schema) => (schema?.$ref ? { ...schemas[schema.$ref.split("/").at(-1)], ...schema } : schema);
  return { properties: schemas.TrainSpec.properties, study: schemas.SubmitStudy.properties, reading: schemas.Options.properties, find };
}

const isSame = (one, other) => JSON.stringify(sorted(one)) === JSON.stringify(sorted(other));

function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]));
}

/** Return the fields of a spec that are not as they would be by themselves: [[name, value, default], ...]. */
export function differences(spec, { properties }) {
  return Object.entries(spec ?? {})
    .filter(([name, value]) => name in properties && !isSame(value, properties[name].default ?? null))
    .map(([name, value]) => [name, value, properties[name].default ?? null]);
}

/** Return the spec without what is default anyway. */
export function essence(spec, schema) {
  return Object.fromEntries(differences(spec, schema).map(([name, value]) => [name, value]));
}

/** Write a spec's value as people read it. */
export function written(value) {
  if (value === null || value === undefined) return "none";
  if (Array.isArray(value)) return value.map(written).join(", ") || "none";
  if (typeof value !== "object") return String(value);
  const { kind, ...rest } = value;
  const others = Object.entries(rest).map(([name, inner]) => `${name} ${written(inner)}`);
  return [kind, ...others].filter(Boolean).join(", ") || "none";
}
