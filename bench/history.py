"""What past jobs cost: python -m bench.history [--jobs 100000] [--repeats 2] [--keep FOLDER].

One job is really run; the others are copies of it, with all that a job leaves: its record and events in the database,
its status file, and its folders and files, which are empty, since a server looks at their names at most. In turns a
server is started on a root without a past and on that one, then asked for lists and given jobs. The disk's pages are
in memory: the first round is not counted.
"""

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median

import msgspec
from bench.records import Repeats, say, show, write
from bench.server import Server, megabytes, serving

from traind.service.jobs.job import Job
from traind.service.record.store import Change, Store
from traind.service.settings import Layout
from traind.trainer.contract.events import Status

PAGES, SUBMITS = 20, 10
NEWEST, OLDEST = "/api/train/jobs?limit=100", "/api/train/jobs?limit=100&after=101"
AT_ONCE, TOLD_EVERY = 500, 20_000  # jobs a transaction, and a word
TINY = {"synthetic": {"rows": 100}}
UNITS = {
    "start-up, s": 1.0,
    "list page, ms": 1e3,
    "last list page, ms": 1e3,
    "submit, ms": 1e3,
    "server PSS, MB": 1.0,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000, help="past jobs on disk")
    parser.add_argument("--repeats", type=int, default=2, help="starts of a server on each root")
    parser.add_argument("--keep", type=Path, help="where the roots are, or are made and left")
    asked = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = asked.keep or stack.enter_context(tempfile.TemporaryDirectory(prefix="traind-bench-"))
        roots = {"none": Path(folder, "none"), f"{asked.jobs} jobs": Path(folder, "past")}
        if not all(root.exists() for root in roots.values()):
            write_past(roots.values(), asked.jobs)
        found: dict[str, Repeats] = {name: {} for name in roots}
        for turn in range(asked.repeats + 1):
            for name, root in roots.items():
                measure(root, found[name] if turn else {})
                say(f"round {turn} of {asked.repeats}: {name}")
    rows = [
        (what, *(f"{factor * median(taken[what]):.2f}" for taken in found.values())) for what, factor in UNITS.items()
    ]
    show("a server with and without past jobs", ("", *roots), rows)
    write("history", {"jobs": asked.jobs, **found})


def write_past(roots: Iterable[Path], jobs: int) -> None:
    """Run one job on each root, and fill the last one with copies of it."""
    for root in roots:
        with serving(slots=1, root=root) as server:
            past = server.job()["job_id"]
    asyncio.run(fill(root, past, jobs))
    say(f"{jobs} past jobs written")


async def fill(root: Path, job_id: str, count: int) -> None:
    """Write `count` copies of a finished job."""
    layout = Layout(root)
    store = await Store.open(layout.database_path)
    job = await store.job(job_id)
    assert job is not None
    assert job.status is Status.COMPLETED
    record = msgspec.json.encode(job)
    events = await store.events(job_id, 0, job.seq)
    left = sorted(path.relative_to(layout.job_dir(job_id)) for path in layout.job_dir(job_id).rglob("*.*"))
    status = (layout.jobs_dir / f"{job_id}.json").read_bytes()
    for first in range(0, count, AT_ONCE):
        names = [f"past_{number:07}" for number in range(first, min(first + AT_ONCE, count))]
        await store.commit([_copy(record, events, job_id, name) for name in names], is_synced=False)
        for name in names:
            (layout.jobs_dir / f"{name}.json").write_bytes(status.replace(job_id.encode(), name.encode()))
            layout.model_path(name).touch()
            layout.attempt_dir(name, 1).mkdir(parents=True)
            for path in left:
                (layout.job_dir(name) / path).touch()
        if first % TOLD_EVERY == 0:
            say(f"writing past jobs: {first} of {count}")
    await store.close()


def _copy(record: bytes, events: list[tuple[int, bytes]], old: str, new: str) -> Change:
    def renamed(body: bytes) -> bytes:
        return body.replace(old.encode(), new.encode())

    return Change(msgspec.json.decode(renamed(record), type=Job), [(seq, renamed(body)) for seq, body in events])


def measure(root: Path, taken: Repeats) -> None:
    """Start a server on a root and note what it takes to start, to list and to submit, and its memory."""
    with serving(slots=1, root=root) as server:
        taken.setdefault("start-up, s", []).append(server.ready_s)
        server.call(NEWEST)
        for _ in range(PAGES):
            taken.setdefault("list page, ms", []).append(_timed(lambda: server.call(NEWEST)))
            taken.setdefault("last list page, ms", []).append(_timed(lambda: server.call(OLDEST)))
        submits = [submit(server) for _ in range(SUBMITS + 1)]
        taken.setdefault("submit, ms", []).extend(submits[1:])
        taken.setdefault("server PSS, MB", []).append(megabytes(server.process.pid, "Pss"))


def submit(server: Server) -> float:
    """Return the seconds of submitting a job to an idle server."""
    made: list[str] = []
    seconds = _timed(lambda: made.append(server.submit(**TINY)))
    server.finished(made[0])
    return seconds


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
