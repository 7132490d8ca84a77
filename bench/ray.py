"""What a Ray cluster costs beside this machine's own slots, side by side in one run: python -m bench.ray.

Two services in one program, one with two local slots, one with two seats on a cluster of three nodes on this machine;
what is measured is done in turn on both. Needs `traind[ray]`.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from bench.records import show, write

from traind import Progress, TrainingService

CLUSTER = Path(__file__).parent.parent / "tests/cluster/with_cluster.py"
SHORT = {"epochs": 1, "batch_size": 64, "synthetic": {"rows": 500}, "model": {"kind": "mlp", "hidden": [16]}}
LONGER = {"epochs": 20, "batch_size": 16, "synthetic": {"rows": 2_000}}


async def first_step_s(service: TrainingService, repeats: int) -> float:
    """Seconds from submit to the first gradient step, median of jobs that come one after the other."""
    seconds = []
    for _ in range(repeats):
        done = await service.wait((await service.submit(SHORT)).job_id)
        seconds.append(done.timings["submit_to_first_step_s"])
    return median(seconds)


async def burst_s(service: TrainingService, jobs: int) -> float:
    """Seconds that many short jobs take that are submitted at once."""
    began = time.perf_counter()
    submitted = [await service.submit(SHORT) for _ in range(jobs)]
    for job in submitted:
        assert (await service.wait(job.job_id)).status == "COMPLETED"
    return time.perf_counter() - began


async def watch_s(service: TrainingService) -> float:
    """Seconds from a step's report in the worker to a watcher, median over a job."""
    late = [
        time.time() - event.ts
        async for event in service.watch((await service.submit(LONGER)).job_id)
        if isinstance(event, Progress)
    ]
    return median(late)


async def measure(address: str, repeats: int, jobs: int) -> None:
    with tempfile.TemporaryDirectory() as here, tempfile.TemporaryDirectory() as there:
        async with (
            TrainingService(here, slots=2) as local,
            TrainingService(there, slots=2, executor="ray", ray_address=address) as ray,
        ):
            for service in (local, ray):  # both have been used before anything is measured
                await burst_s(service, 4)
            steps = {name: await first_step_s(s, repeats) for name, s in (("local", local), ("ray", ray))}
            bursts = {name: await burst_s(s, jobs) for name, s in (("local", local), ("ray", ray))}
            watched = {name: await watch_s(s) for name, s in (("local", local), ("ray", ray))}
    figures = {"submit to first step": steps, "a burst of short jobs": bursts, "step to watcher": watched}
    rows = [
        (what, f"{took['local'] * 1e3:.0f}", f"{took['ray'] * 1e3:.0f}", f"{took['ray'] / took['local']:.2f}")
        for what, took in figures.items()
    ]
    show("Seats of a cluster beside local slots", ("milliseconds", "local", "ray", "ratio"), rows)
    write("ray", figures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20, help="jobs of which the first step is timed")
    parser.add_argument("--jobs", type=int, default=100, help="short jobs of the burst")
    asked = parser.parse_args()
    address = os.environ.get("TRAIND_RAY_ADDRESS")
    if address is None:
        inside = [sys.executable, "-m", "bench.ray", *sys.argv[1:]]
        sys.exit(subprocess.run([sys.executable, str(CLUSTER), *inside], check=False).returncode)
    os.environ.pop("TRAIND_EXECUTOR", None)
    asyncio.run(measure(address, asked.repeats, asked.jobs))


if __name__ == "__main__":
    main()
