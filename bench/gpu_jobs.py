"""The parts of the check of GPUs that run whole jobs: one job, and two jobs that want one card."""

import argparse
import asyncio
import hashlib
import importlib.util
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.gpu_report import Report
from bench.records import say, show
from msgspec.structs import replace

from traind.data.predict_input import format_of
from traind.trainer.contract.events import AnyEvent, Checkpoint, Progress, Status
from traind.trainer.contract.spec import DatasetFile, Place, Synthetic, TrainSpec
from traind.trainer.run.attempt import run

ROWS = 131_072
BUSY = ("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits")
LOOK_S = 0.1  # between looks at how busy the card is


def job(report: Report, asked: argparse.Namespace) -> dict[str, Any]:
    """Run a whole job on the device, from entry to first step and to its end; how busy the card was meanwhile."""
    if asked.table is not None and importlib.util.find_spec("polars") is None:
        report.skip("the table", "polars is not installed; a synthetic one instead")
        asked.table = None
    spec = TrainSpec(epochs=1 if asked.quick else 4, device=str(report.device))
    if asked.table is None:
        spec = replace(spec, synthetic=Synthetic(rows=ROWS), batch_size=4_096)
    first = [0.0]
    started = time.perf_counter()

    def emit(event: AnyEvent) -> None:
        if isinstance(event, Progress):
            first[0] = first[0] or time.perf_counter() - started
        if isinstance(event, Checkpoint):
            say(f"checkpoint at step {event.step} in {event.seconds or 0.0:.3f} s")

    with tempfile.TemporaryDirectory() as folder, utilisation(report) as busy:
        place = Place(job_id="bench", attempt=1, attempt_dir=folder, dataset=_file(asked.table))
        last = run(spec, emit, place)
    report.check(f"the job ended as {last.status}", is_right=last.status is Status.COMPLETED)
    found = {
        "first_step_s": first[0],
        "whole_s": time.perf_counter() - started,
        "utilisation_percent": statistics.mean(busy) if busy else None,
    }
    show("one job", tuple(found), [tuple(f"{value:.3f}" if value is not None else "-" for value in found.values())])
    return found


def _file(table: Path | None) -> DatasetFile | None:
    if table is None:
        return None
    digest = hashlib.sha256(table.read_bytes()).hexdigest()
    return DatasetFile(table.name, digest, str(table.resolve()), format_of(table), table.stat().st_size)


@contextmanager
def utilisation(report: Report) -> Iterator[list[float]]:
    """Yield a list that fills with how busy the card is, in percent, while the block lasts."""
    seen: list[float] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_S):
            asked = subprocess.run(BUSY, capture_output=True, text=True, check=False)
            seen.extend(float(line) for line in asked.stdout.split()[:1] if line.isdecimal())

    watching = threading.Thread(target=look, daemon=True)
    has_driver = report.is_cuda and shutil.which(BUSY[0]) is not None
    if has_driver:
        watching.start()
    else:
        report.skip("utilisation", "nvidia-smi is not here")
    try:
        yield seen
    finally:
        over.set()
        if has_driver:
            watching.join()


def slots(report: Report, asked: argparse.Namespace) -> dict[str, Any]:
    """Submit to a real service: from submit to first step, and two jobs that ask for one card take turns."""
    if not report.is_cuda:
        report.skip("slots", "of a card")
        return {}
    if importlib.util.find_spec("aiofiles") is None:
        report.skip("slots", "aiofiles is not installed")
        return {}
    found = asyncio.run(_submitted(1 if asked.quick else 5))
    report.check("two jobs on one card at once", is_right=not found.pop("overlapped"))
    show("jobs through the service", tuple(found), [tuple(f"{value:.3f}" for value in found.values())])
    return found


async def _submitted(count: int) -> dict[str, Any]:
    from traind import TrainingService

    spec = TrainSpec(synthetic=Synthetic(rows=20_000), epochs=2, device="cuda")
    waits: list[float] = []
    with tempfile.TemporaryDirectory() as root:
        async with TrainingService(root=root) as service:
            for number in range(count + 1):
                job = await service.submit(spec)
                job = await service.wait(job.job_id)
                if number:  # the first one waits for the fork server
                    waits.append(job.timings["submit_to_first_step_s"])
            pair = [await service.submit(replace(spec, device="cuda:0", epochs=5)) for _ in range(2)]
            ended = [await service.wait(one.job_id) for one in pair]
    times = sorted((one.started_at or 0.0, one.finished_at or 0.0) for one in ended)
    return {"submit_to_first_step_s": statistics.median(waits), "overlapped": times[1][0] < times[0][1]}
