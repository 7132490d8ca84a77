"""Slots under uvloop, which has its own readers: the ways of a job that lean on them."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest
import uvloop

from traind.service.slots import Ended
from traind.trainer.contract import Checkpoint, Log, State
from traind.trainer.control import Verb


@pytest.fixture
def event_loop_policy() -> Any:
    return uvloop.EventLoopPolicy()


async def test_jobs_talk_end_and_die_as_under_asyncio(rig: Any, until: Any) -> None:
    assert type(asyncio.get_running_loop()).__module__.startswith("uvloop")
    rig = await rig(inbox_size=2)
    worker, ended = await rig.done("nothing")
    assert (ended, [type(event) for event in rig.said[worker]]) == (Ended("done"), [State, State, Ended])
    worker = await rig.job("obedient")
    await rig.until(worker, Log)
    worker.ask(Verb.STOP)
    assert await rig.end(worker) == Ended("done")
    assert (await rig.done("segfault"))[1].signal == signal.SIGSEGV
    assert (await rig.done("half_result"))[1].signal == signal.SIGKILL
    worker = await rig.job("report_much", count=5_000)
    await until((worker.attempt_dir / "reported").exists)
    assert await rig.end(worker) == Ended("done")
    assert sum(isinstance(event, Checkpoint) for event in rig.said[worker]) == 5
    assert Path(worker.attempt_dir / "output.log").read_text() == ""
