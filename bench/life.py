"""What steering a running job and telling others of it cost: python -m bench.life.

The time from asking for another learning rate until the answer says at which step it was taken up, beside the time of
one step of that job, and of one commit that the disk has confirmed: the request is on disk before the worker hears of
it. And jobs whose every change of state goes to a webhook beside plain ones, in turns: their steps, and the processor
time of this process, which is server and receiver, as a share of the job's running. The receiver answers at once, or
never.
"""

import argparse
import asyncio
import base64
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from statistics import median
from typing import Any

from aiohttp import web
from bench.records import Repeats, ratio, say, show, write

from traind import TrainingService

CHANGES = 100
RUNNING = {"epochs": 100_000, "batch_size": 256, "synthetic": {"rows": 20_000}, "patience": None}
STEPS = {"epochs": 40, "batch_size": 64, "synthetic": {"rows": 5_000}, "patience": None}
EVENTS = ["QUEUED", "STARTING", "LOADING", "RUNNING", "COMPLETED"]
WANTED_S = 0.005  # beyond one step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of jobs with and without webhooks")
    asked = parser.parse_args()
    taken_up, step_s = asyncio.run(control())
    commits = committed()
    say(f"{len(taken_up)} changes were taken up")
    rates = asyncio.run(told(asked.rounds))
    beyond = median(taken_up) - step_s
    rows = [
        ("from asking to taken up, median ms", f"{1e3 * median(taken_up):.2f}"),
        ("one step, ms", f"{1e3 * step_s:.2f}"),
        (f"beyond one step, ms ({1e3 * WANTED_S:.0f} wanted)", f"{1e3 * beyond:.2f}"),
        ("a commit that the disk confirms, median ms", f"{1e3 * median(commits):.2f}"),
    ]
    plain = median(rates["plain: processor"])
    for name in ("answering", "silent"):
        more = median(rates[f"{name}: processor"]) - plain
        rows += [
            (f"rate of steps with a webhook, {name}, over a plain job's", f"{ratio(rates, name, 'plain'):.3f}"),
            (f"processor time more, {name}, of a job's running (1 % asked)", f"{more:.2%}"),
        ]
    show("Steering and telling", ("what", "measured"), rows)
    write("life", {"taken_up": taken_up, "step": [step_s], "commit": commits, **rates})


async def control() -> tuple[list[float], float]:
    """Return seconds from asking to the answer that names the step, and the seconds of one step."""
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        async with TrainingService(folder, slots=1) as service:
            job = await service.submit(RUNNING)
            async for event in service.watch(job.job_id):
                if getattr(event, "type", "") == "progress" or getattr(event, "step", 0):
                    break
            for number in range(CHANGES + 5):
                began = time.perf_counter()
                answer = await service.control(job.job_id, lr=1e-3 * (1 + number / 1_000))
                assert answer.step is not None
                if number >= 5:  # the first ones warm up
                    taken.append(time.perf_counter() - began)
                await asyncio.sleep(0.01)  # at another moment of a step
            rate = (await service.status(job.job_id)).samples_per_s or 0.0
            await service.cancel(job.job_id)
    return taken, float(RUNNING["batch_size"]) / rate  # type: ignore[arg-type]


async def told(rounds: int) -> Repeats:
    """Return rows a second of the same job, in turns: told to nobody, to who answers, and to who does not."""
    rates: Repeats = {name: [] for one in ("plain", "answering", "silent") for name in (one, f"{one}: processor")}
    with tempfile.TemporaryDirectory() as folder:
        secret = secret_in(folder)
        async with receiver() as url:
            services = {
                name: TrainingService(f"{folder}/{name}", slots=1, webhooks=hooks(url, path, secret))
                for name, path in (("plain", None), ("answering", "answer"), ("silent", "wait"))
            }
            async with services["plain"], services["answering"], services["silent"]:
                for turn in range(rounds + 1):
                    for name, service in services.items():
                        before = time.process_time()
                        done = await service.wait((await service.submit(STEPS)).job_id)
                        if turn:
                            rates[name].append(done.samples_per_s or 0.0)
                            used = time.process_time() - before
                            rates[f"{name}: processor"].append(used / done.timings["running_s"])
                    say(f"round {turn} of {rounds}")
    return rates


def committed() -> list[float]:
    """Return the seconds of commits to a database as the server's, each confirmed by the disk."""
    taken = []
    with tempfile.TemporaryDirectory() as folder, closing(sqlite3.connect(Path(folder, "one.db"))) as db:
        db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE one(value)")
        for number in range(50):
            began = time.perf_counter()
            db.execute("INSERT INTO one VALUES(?)", (number,))
            db.commit()
            taken.append(time.perf_counter() - began)
    return taken


def secret_in(folder: str) -> Path:
    """Return a file with a signing secret that its owner alone may read."""
    path = Path(folder, "secret")
    path.write_text(base64.b64encode(bytes(range(32))).decode())
    path.chmod(0o600)
    return path


def hooks(url: str, path: str | None, secret: Path) -> Sequence[dict[str, Any]]:
    """Return the webhooks of one service."""
    return [] if path is None else [{"name": "told", "url": url + path, "secret_file": str(secret), "events": EVENTS}]


@asynccontextmanager
async def receiver() -> AsyncIterator[str]:
    """Serve a program that answers at once, and one that does not until it ends."""
    is_over = asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=204)

    async def wait(_: web.Request) -> web.Response:
        await is_over.wait()
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/answer", answer)
    app.router.add_post("/wait", wait)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    is_over.set()
    await runner.cleanup()


if __name__ == "__main__":
    main()
