"""The service inside programs that were there before it, and that must not notice."""

import asyncio
import gc
import json
import logging
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from traind import Status, TrainingService
from traind.service.errors import RootBusy

EMBEDDING = Path(__file__).parents[2] / "docs/embedding.md"
TINY = {"epochs": 1, "synthetic": {"rows": 200}}
HOST = '''
"""A program with a slow main module, a fork server of its own, and an app around traind."""
import asyncio, json, multiprocessing, os, sys, time

with open("main-module-ran", "a") as file:
    file.write(f"{os.getpid()}\\n")
time.sleep(0.8)

import aiohttp
from aiohttp import web
from traind import TrainingService

def preloaded(_):
    return "traind.trainer.worker.boot" in sys.modules, "colorsys" in sys.modules

async def main():
    app = web.Application()
    app.router.add_get("/", lambda request: web.Response(text="the host's own"))
    app.add_subapp("/deep/training/", TrainingService(root="root", slots=1).web_app(hosts=None))
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    async with aiohttp.ClientSession(base_url=f"http://127.0.0.1:{port}") as session:
        own = await (await session.get("/", headers={"Host": "any.example"})).text()
        told = {"own": own, "statuses": []}
        for _ in range(2):
            spec = {"epochs": 1, "synthetic": {"rows": 200}}
            job_id = (await (await session.post("/deep/training/api/train", json=spec)).json())["job_id"]
            async with session.ws_connect(f"/deep/training/api/train/ws?job_id={job_id}") as live:
                told["statuses"].append([message.json() async for message in live][-1]["status"])
    await runner.cleanup()
    return told

if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["colorsys"])
    with context.Pool(1) as pool:
        before = pool.map(preloaded, [0])
        told = asyncio.run(main())
        told["host_workers"] = [*before, *pool.map(preloaded, [0])]
    print(json.dumps(told))
'''


def test_a_host_with_a_slow_main_module_and_a_fork_server_does_not_notice(tmp_path: Path) -> None:
    (tmp_path / "host.py").write_text(HOST)
    command = [sys.executable, "host.py"]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["own"] == "the host's own"
    assert told["statuses"] == ["COMPLETED", "COMPLETED"]
    assert told["host_workers"] == [[False, True], [False, True]]  # its own preload, none of ours
    runs = (tmp_path / "main-module-ran").read_text().split()
    assert len(runs) == 2, "the host, and its own pool's worker: none of ours runs the host's main module"


async def test_two_services_live_in_one_process_and_leave_it_as_it_was(tmp_path: Path) -> None:
    before = state_of_the_process()
    async with TrainingService(root=tmp_path / "one") as one, TrainingService(root=tmp_path / "two", slots=1) as two:
        jobs = [await service.submit(TINY, job_id="same-name") for service in (one, two)]
        assert jobs[0].job_id == jobs[1].job_id
        ended = await asyncio.gather(one.wait("same-name"), two.wait("same-name"))
        assert [job.status for job in ended] == [Status.COMPLETED] * 2
        assert [len((await service.jobs()).jobs) for service in (one, two)] == [1, 1]
        with pytest.raises(RootBusy):
            async with TrainingService(root=tmp_path / "one"):
                pass
    assert state_of_the_process()["owned by the host"] == before["owned by the host"]


@pytest.mark.parametrize(
    "times", [2, pytest.param(50, marks=[pytest.mark.faults, pytest.mark.timeout(1200)])], ids=lambda n: f"{n}x"
)
async def test_starting_and_stopping_leaks_nothing(tmp_path: Path, times: int) -> None:
    for turn in range(times):
        async with TrainingService(root=tmp_path, slots=1) as service:
            await service.wait((await service.submit(TINY)).job_id)
        if turn == 0:
            before = state_of_the_process()
    assert state_of_the_process() == before


async def test_a_cancelled_watcher_leaves_the_job_alone(tmp_path: Path) -> None:
    async with TrainingService(root=tmp_path, slots=1) as service:
        job = await service.submit(epochs=100_000, synthetic={"rows": 500})
        waiting = asyncio.create_task(service.wait(job.job_id))
        async for event in service.watch(job.job_id):
            if event.seq > 5:
                break
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await service.status(job.job_id)).status is Status.RUNNING
        await service.cancel(job.job_id)
        assert (await service.wait(job.job_id)).status is Status.CANCELLED


CODE = re.findall(r"^```python\n(.*?)^```", EMBEDDING.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", [0, *(pytest.param(number, marks=pytest.mark.faults) for number in (1, 2))])
def test_the_documented_code_runs(block: int, tmp_path: Path) -> None:
    assert len(CODE) == 3
    command = [sys.executable, "-c", CODE[block]]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr


def state_of_the_process() -> dict[str, object]:
    """What a guest must leave as it found it."""
    gc.collect()
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {
        "owned by the host": {
            "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
            "logging": [logging.root.level, list(logging.root.handlers), logging.getLogger("traind").handlers],
            "start method": multiprocessing.get_start_method(allow_none=True),
            "loop policy": type(asyncio.get_event_loop_policy()).__name__,
            "folder": str(Path.cwd()),
        },
        "threads": sorted(name for thread in threading.enumerate() if not _is_of_the_loop(name := thread.name)),
        "tasks": len(asyncio.all_tasks()),
        "children": [pid for pid in children if "resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_text()],
        "descriptors": sorted(_kind_of(path) for path in Path("/proc/self/fd").iterdir()),
    }


def _is_of_the_loop(name: str) -> bool:
    """Whether it is a thread of the loop's own pool, which keeps as many as were ever busy at once."""
    return name.startswith("asyncio_")


def _kind_of(path: Path) -> str:
    """What a descriptor is open on, numbers aside; the listing's own is among them each time."""
    try:
        return re.sub(r"\d+", "#", str(path.readlink()))
    except OSError:
        return "gone"
