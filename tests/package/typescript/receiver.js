// A program that is told of jobs: it checks each message with the library of Standard Webhooks, and says what it took.

import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.argv[2]);

const server = createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    try {
      const { type, data } = webhook.verify(Buffer.concat(parts).toString(), request.headers);
      console.log(JSON.stringify({ id: request.headers["webhook-id"], type, job: data.job_id ?? null }));
      response.writeHead(204).end();
    } catch (error) {
      console.log(JSON.stringify({ refused: String(error) }));
      response.writeHead(401).end();
    }
  });
});

server.listen(0, "127.0.0.1", () => console.log(server.address().port));
