"""A program with a main module, a fork server and signal handlers of its own, which runs jobs beside its work.

Says as JSON what it saw of itself before and after.
"""

import asyncio
import json
import logging
import multiprocessing
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from traind.service.executor.base import Ended, Need
from traind.service.executor.local import LocalExecutor
from traind.service.processes.fork_server import ForkServer
from traind.trainer.contract.spec import Assignment, Place, TrainSpec

FOLDER = Path(sys.argv[1])
with (FOLDER / "main-module-ran").open("a") as file:
    file.write(f"{__name__}\n")


def itself(pool: Any) -> dict[str, Any]:
    is_marked = pool.apply(eval, ("'tabnanny' in __import__('sys').modules",))
    return {
        "main module ran": (FOLDER / "main-module-ran").read_text().split(),
        "start method": multiprocessing.get_start_method(allow_none=True),
        "its own fork server is marked": is_marked,
        "signal handlers": [
            str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
        ],
        "log handlers": len(logging.getLogger().handlers),
        "threads": sorted(thread.name for thread in threading.enumerate() if not thread.daemon),
        "heavy modules": sorted({"torch", "numpy", "polars"} & set(sys.modules)),
        "path": sys.path,
    }


async def jobs() -> list[str]:
    server = ForkServer("jobs_for_slots:boot_with_a_mark")
    server.start()
    inbox: asyncio.Queue[Any] = asyncio.Queue(100)
    slots = LocalExecutor(server, count=1, run="jobs_for_slots:run")
    await slots.start(inbox, lambda: None)
    kinds = []
    for do in ("facts", "abort", "sys_exit", "deaf"):
        folder = FOLDER / do
        assignment = Assignment(TrainSpec(options={"do": do}), Place(job_id=do, attempt=1, attempt_dir=str(folder)))
        worker = await slots.take(Need())
        slots.begin(worker, assignment)
        if do == "deaf":
            worker.kill()
        while not isinstance(event := (await inbox.get())[1], Ended):
            pass
        kinds.append(event.kind)
    await slots.close()
    server.stop()
    return kinds


if __name__ == "__main__":
    with multiprocessing.get_context("forkserver").Pool(1) as pool:
        before = itself(pool)
        kinds = asyncio.run(jobs())
        after = itself(pool)
    sys.stdout.write(json.dumps({"before": before, "after": after, "kinds": kinds}))
