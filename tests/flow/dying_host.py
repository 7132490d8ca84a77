"""A server with every kind of worker process, to be killed: says who they are, as JSON, and waits."""

import asyncio
import json
import multiprocessing
import sys
from pathlib import Path
from typing import Any

import msgspec

from traind.service.executor.base import Need
from traind.service.executor.local import LocalExecutor
from traind.service.executor.local_worker import LocalWorker
from traind.service.processes.fork_server import ForkServer
from traind.service.processes.identity import identify
from traind.service.processes.side import SideWorker
from traind.trainer.contract.events import Log
from traind.trainer.contract.spec import Assignment, Place, TrainSpec

JOBS = {"obedient": "checkpoint_when_left", "deaf": "deaf", "frozen": "deaf", "stuck": "deaf_holding_the_interpreter"}


async def _job(slots: LocalExecutor, inbox: "asyncio.Queue[Any]", folder: Path, do: str) -> LocalWorker:
    assignment = Assignment(TrainSpec(options={"do": do}), Place(job_id=do, attempt=1, attempt_dir=str(folder)))
    worker = await slots.take(Need())
    slots.begin(worker, assignment)
    while not isinstance((await inbox.get())[1], Log):  # it is at work
        pass
    return worker


async def main(folder: Path) -> None:
    server = ForkServer("jobs_for_slots:boot_nothing")
    server.start()
    inbox: asyncio.Queue[Any] = asyncio.Queue(100)
    slots = LocalExecutor(server, count=len(JOBS) + 1, run="jobs_for_slots:run")
    await slots.start(inbox, lambda: None)
    side = SideWorker(server, folder / "side")
    await side.start()
    workers = {}
    for name, do in JOBS.items():
        workers[name] = (await _job(slots, inbox, folder / name, do)).identity
    async with slots._arrived:
        await slots._arrived.wait_for(lambda: slots.is_ready)
    workers["idle"] = slots._ahead[0].identity
    workers["side"] = identify((await side.call("calls_for_side:count_calls", {}))["pid"])
    workers["fork server"] = identify(server.pid or 0)
    assert multiprocessing.get_start_method(allow_none=True) is None  # still the host's to choose
    sys.stdout.write(json.dumps(msgspec.to_builtins(workers)) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


asyncio.run(main(Path(sys.argv[1])))
