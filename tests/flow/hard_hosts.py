"""Hosts in which it is hard to start processes, by the name given. Each trains a job and says `COMPLETED`."""

import asyncio
import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from traind import TrainingService

TRAINERS = {"silent": f"{Path(__file__).parent}/silent_trainers.py:train"}


async def train(service: TrainingService) -> str:
    """Run a job that has processes of its own."""
    job = await service.submit(trainer="silent", options={"how": "children"})
    return str((await service.wait(job.job_id)).status)


async def _open_and_train(root: str) -> None:
    async with TrainingService(root=root, slots=1, trainers=TRAINERS) as service:
        sys.stdout.write(await train(service) + "\n")


def _run(root: str) -> None:
    asyncio.run(_open_and_train(root))
    sys.stdout.flush()


def daemonic(root: str) -> None:
    """Be what a web server's worker is: a daemonic process of multiprocessing."""
    child = multiprocessing.get_context("fork").Process(target=_run, args=(root,), daemon=True)
    child.start()
    child.join()


async def _until(is_so: Callable[[], object]) -> None:
    while not is_so():  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def _storm(root: str) -> None:
    async with TrainingService(root=root, slots=1, trainers=TRAINERS) as service:
        await _until(lambda: service.health()["is_ready"])
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (max(int(fd.name) for fd in Path("/proc/self/fd").iterdir()), hard)
        )
        (ready,) = service.engine.executor._ahead  # type: ignore[attr-defined]
        os.kill(ready.pid, signal.SIGKILL)
        await _until(lambda: service.health()["problems"])
        sys.stdout.write("\n".join(service.health()["problems"]).replace("\n", " ") + "\n")
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        sys.stdout.write(await train(service) + "\n")
        assert service.health()["problems"] == []


def without_descriptors(root: str) -> None:
    """Have no descriptor left for a moment, while a worker has to be started."""
    asyncio.run(_storm(root))


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2])
