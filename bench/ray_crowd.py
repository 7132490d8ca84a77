"""What many jobs on a cluster, and large checkpoints, cost the server: python -m bench.ray_crowd.

A cluster of three nodes on this machine, whose nodes say that they have as many cores as there are jobs. The jobs of
the crowd report twenty times a second and compute nothing; this program is their server. Then one job with a large
model trains with and without checkpoints, here and on the cluster. Needs `traind[ray]` and 300 MB of memory a job.
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
from typing import Any

from bench.records import say, show, write

from traind import Checkpoint, Progress, Status, TrainingService
from traind.trainer.run.run import Run

CLUSTER = Path(__file__).parent.parent / "tests/cluster/with_cluster.py"
RATE = 20.0  # reports a second
LARGE = {
    "epochs": 3,
    "batch_size": 64,
    "synthetic": {"rows": 12_800},
    "model": {"kind": "mlp", "hidden": [2048, 2048]},
}


def ticks(run: Run[Any]) -> None:
    """Report at a steady rate until told to stop; the trainer of the crowd."""
    step = 0
    while not run.should_stop():
        step += 1
        time.sleep(1.0 / RATE)
        run.report(step=step, total=10**6, loss=1.0)


def used_s(pid: int | None) -> float:
    """Return the processor time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int | None) -> float:
    """Return the memory of a process that is its own or shared, in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def crowd(address: str, jobs: int, seconds: float) -> dict[str, float]:
    """Run that many jobs at once; return what the server's process and the gateway's take."""
    with tempfile.TemporaryDirectory() as root:
        trainers = {"ticks": f"{__file__}:ticks"}
        async with TrainingService(root, executor="ray", ray_address=address, trainers=trainers) as service:
            gateway = service.engine.executor.link.pid
            before = resident_mb(os.getpid())
            ids = [(await service.submit(trainer="ticks", report_every=1)).job_id for _ in range(jobs)]
            for job_id in ids:
                async for event in service.watch(job_id):
                    if isinstance(event, Progress):
                        break
                say(f"{job_id} runs")
            began, at, seqs = time.perf_counter(), [used_s(os.getpid()), used_s(gateway)], await counts(service, ids)
            await asyncio.sleep(seconds)
            took = time.perf_counter() - began
            used = [used_s(pid) - earlier for pid, earlier in zip((os.getpid(), gateway), at, strict=True)]
            events = await counts(service, ids) - seqs
            memory = resident_mb(os.getpid()), resident_mb(gateway)
            for job_id in ids:
                await service.cancel(job_id)
            for job_id in ids:
                await service.wait(job_id)
    return {
        "jobs": jobs,
        "events a second": events / took,
        "server's share of a core": used[0] / took,
        "gateway's share of a core": used[1] / took,
        "server's memory before, MB": before,
        "server's memory, MB": memory[0],
        "gateway's memory, MB": memory[1],
    }


async def counts(service: TrainingService, ids: list[str]) -> int:
    """Return how many events all jobs have."""
    return sum([(await service.status(job_id)).seq for job_id in ids])


async def steps_a_second(service: TrainingService, **spec: Any) -> tuple[float, list[float]]:
    """Train the large model; return its steps a second, and MB a second of each checkpoint."""
    reports, rates = [], []
    job = await service.submit(LARGE | spec)
    async for event in service.watch(job.job_id):
        if isinstance(event, Progress):
            reports.append((event.ts, event.step))
        elif isinstance(event, Checkpoint):
            file = service.layout.root / event.path
            if file.exists():
                rates.append(file.stat().st_size / 1e6 / (time.time() - event.ts))
    assert (await service.status(job.job_id)).status is Status.COMPLETED
    (first_s, first), (last_s, last) = reports[0], reports[-1]
    return (last - first) / (last_s - first_s), rates


async def checkpoints(address: str, repeats: int) -> dict[str, float]:
    """Return how fast checkpoints come from a seat, and what writing and fetching them costs the training."""
    with tempfile.TemporaryDirectory() as here, tempfile.TemporaryDirectory() as there:
        async with (
            TrainingService(here, slots=1) as local,
            TrainingService(there, slots=1, executor="ray", ray_address=address) as ray,
        ):
            rates: list[float] = []
            speeds: dict[str, list[float]] = {}
            for turn in range(repeats):
                for name, service in (("local", local), ("ray", ray)):
                    for every in (3.0, 10_000.0):
                        speed, seen = await steps_a_second(service, checkpoint_every=every)
                        speeds.setdefault(f"{name} {every:g}", []).append(speed)
                        rates += seen if name == "ray" else []
                say(f"round {turn + 1} of {repeats}")
    slower = {name: 1.0 - median(speeds[f"{name} 3"]) / median(speeds[f"{name} 10000"]) for name in ("local", "ray")}
    return {
        "checkpoints of a seat, MB a second": median(rates),
        "slower with one each 3 s, local, %": 100 * slower["local"],
        "slower with one each 3 s, cluster, %": 100 * slower["ray"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=25, help="jobs of the crowd")
    parser.add_argument("--seconds", type=float, default=20.0, help="that the crowd is watched")
    parser.add_argument("--repeats", type=int, default=3, help="of the job with checkpoints")
    asked = parser.parse_args()
    address = os.environ.get("TRAIND_RAY_ADDRESS")
    if address is None:
        inside = [sys.executable, str(CLUSTER), sys.executable, "-m", "bench.ray_crowd", *sys.argv[1:]]
        cores = {"TRAIND_NODE_CORES": str(asked.jobs // 2 + 1)}
        sys.exit(subprocess.run(inside, env={**os.environ, **cores}, check=False).returncode)
    os.environ.pop("TRAIND_EXECUTOR", None)
    figures = {}
    if asked.repeats:
        figures |= asyncio.run(checkpoints(address, asked.repeats))
    if asked.jobs:
        figures |= asyncio.run(crowd(address, asked.jobs, asked.seconds))
    show(
        "Many jobs and large checkpoints on a cluster",
        ("what", "figure"),
        [(n, f"{v:.3g}") for n, v in figures.items()],
    )
    write("ray_crowd", figures)


if __name__ == "__main__":
    main()
