// What a TypeScript program does with a traind server, by types that are generated from its OpenAPI document.
// `tsc --strict` compiles it: a line under "@ts-expect-error" is one that the types must refuse.

import createClient from "openapi-fetch";

import type { components, paths } from "./traind.js";

type Job = components["schemas"]["Job"];

const client = createClient<paths, "application/json">({ baseUrl: process.argv[2] ?? "" });

function need<T>(answer: { data?: T; error?: unknown }): T {
  if (answer.data === undefined) throw new Error(JSON.stringify(answer.error));
  return answer.data;
}

const body = { epochs: 1, synthetic: { rows: 200, columns: 3 } };

// @ts-expect-error a number of epochs is no word but "auto"
void ((): components["schemas"]["SubmitRequest"] => ({ epochs: "many" }));
// @ts-expect-error no such state
void ((job: Job): boolean => job.status === "DONE");
// @ts-expect-error no such field
void ((job: Job): unknown => job.progres);

const planned = need(await client.POST("/api/train", { params: { query: { dry_run: true } }, body }));
if (!("recipe" in planned)) throw new Error("a dry run answers with a plan");
const learned: number = planned.parameters;
const rows: number | undefined = planned.rows.train;

const accepted = need(await client.POST("/api/train", { body }));
if (!("job_id" in accepted)) throw new Error("a submit answers with a job");
const jobId: string = accepted.job_id;

let job: Job;
do {
  job = need(await client.GET("/api/train/status", { params: { query: { job_id: jobId } } })).status;
} while (!["COMPLETED", "FAILED", "CANCELLED"].includes(job.status));

const listed = need(await client.GET("/api/train/jobs", { params: { query: { status: "COMPLETED", limit: 10 } } }));
const isListed: boolean = listed.jobs.some((one) => one.job_id === jobId);

const path = { job_id: jobId };
const predicted = need(
  await client.POST("/api/models/{job_id}/predict", { params: { path }, body: { rows: [{ x1: 0.5, x2: "1", x3: null }] } }),
);
const columns = { x1: [0.5, 1], x2: [1, 2], x3: [0, 0] };
const ofColumns = need(await client.POST("/api/models/{job_id}/predict", { params: { path }, body: { columns } }));

const missing = await client.GET("/api/train/status", { params: { query: { job_id: "nobody" } } });
const refused = await client.POST("/api/train", { body: { epochs: 0 } });
const details = refused.error?.error.details.map((detail) => detail.loc);

console.log(
  JSON.stringify({
    status: job.status,
    attempt: job.attempt,
    learned,
    rows,
    isListed,
    predictions: [predicted.predictions, ofColumns.predictions].map((values) => values.length),
    missing: missing.error?.error.code,
    refused: refused.error?.error.code,
    details,
  }),
);
