"""Retraining every night: new rows, training from yesterday's model, kept only if it is better.

    traind serve --webhooks hooks.toml          # names http://127.0.0.1:8090/trained, tags = ["retrain"]
    python retrain.py listen --secret-file hook.secret --port 8090
    python retrain.py night rows.csv             # from cron: the table as it is tonight

`night` puts the rows and submits a job that starts from the model that the alias means. `listen` hears from traind
when the job has ended, and lets the alias mean it if it scores better on the rows of the data set `holdout`. Either
may be killed at any moment and run again: the same rows are the same job, and a message that was not answered comes
again.
"""

import argparse
import asyncio
import hashlib
from pathlib import Path

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from traind import Client, ServiceError

DATASET, TARGET, ALIAS, TAG = "rows", "value", "production", "retrain"
BETTER = {"dataset": "holdout", "metric": "rmse"}


async def night(client: Client, rows: Path) -> str:
    """Put tonight's rows and have them trained on; return the job's id. The same rows are the same job."""
    digest = hashlib.sha256(await asyncio.to_thread(rows.read_bytes)).hexdigest()
    job_id = f"retrain_{digest[:12]}"
    try:
        return (await client.status(job_id)).job_id  # submitted before we were killed
    except ServiceError as error:
        if error.code != "job_not_found":
            raise
    await client.put_dataset(DATASET, rows)
    champion = (await client.aliases()).get(ALIAS)
    spec = {"dataset": DATASET, "target": TARGET, "tags": [TAG]}
    if champion is not None:
        spec["start_from"] = {"job_id": champion["job_id"], "keep": "weights"}
    return (await client.submit(spec, job_id=job_id)).job_id


async def promote(client: Client, job_id: str) -> str:
    """Let the alias mean the job's model if it is better; return what came of it. Twice does no harm."""
    try:
        made = await client.set_alias(ALIAS, job_id, BETTER)
    except ServiceError as error:
        if error.code != "not_better":
            raise
        return error.message
    return f"{ALIAS} means {made.job_id}" if made else ""


def listener(client: Client, secret: str) -> web.Application:
    """Return the app that traind tells of ended jobs."""
    verifier = Webhook(secret)

    async def trained(request: web.Request) -> web.Response:
        try:
            message = verifier.verify(await request.read(), dict(request.headers))
        except WebhookVerificationError:
            return web.Response(status=401)
        if message["type"] == "job.completed":
            print(await promote(client, message["data"]["job_id"]), flush=True)
        return web.Response(status=204)  # only now: had we been killed before, it would come again

    app = web.Application()
    app.router.add_post("/trained", trained)
    return app


async def listen(server: str, secret: str, port: int) -> None:
    """Listen until we are ended."""
    async with Client(server) as client:
        runner = web.AppRunner(listener(client, secret))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        print(f"listening on port {port}", flush=True)
        await asyncio.Event().wait()


async def one_night(server: str, rows: Path) -> None:
    """Put one night's rows."""
    async with Client(server) as client:
        print(await night(client, rows), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default="http://127.0.0.1:3001")
    commands = parser.add_subparsers(dest="command", required=True)
    listening = commands.add_parser("listen")
    listening.add_argument("--secret-file", type=Path, required=True)
    listening.add_argument("--port", type=int, default=8090)
    commands.add_parser("night").add_argument("rows", type=Path)
    given = parser.parse_args()
    if given.command == "night":
        asyncio.run(one_night(given.server, given.rows))
    else:
        asyncio.run(listen(given.server, given.secret_file.read_text().strip(), given.port))
