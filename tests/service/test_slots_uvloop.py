"""Slots under uvloop, which has readers of its own: the ways of a job that lean on them."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest
import uvloop

from traind.service.executor.base import Ended
from traind.service.processes.fork_server import ForkServer
from traind.trainer.contract.control import Verb
from traind.trainer.contract.events import Checkpoint, Log, State


def test_jobs_talk_end_and_die_as_under_asyncio(
    rig_type: Any, fork_server: ForkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))

    async def use() -> None:
        rig = rig_type(fork_server, tmp_path, inbox_size=2)
        await rig.start()
        worker, ended = await rig.done("nothing")
        assert (ended, [type(event) for event in rig.said[worker]]) == (Ended("done"), [State, State, Ended])
        worker = await rig.job("obedient")
        await rig.until(worker, Log)
        worker.ask(Verb.STOP)
        assert await rig.end(worker) == Ended("done")
        assert (await rig.done("segfault"))[1].signal == signal.SIGSEGV
        assert (await rig.done("half_result"))[1].signal == signal.SIGKILL
        worker, ended = await rig.done("report_much", count=5_000)
        assert ended == Ended("done")
        assert sum(isinstance(event, Checkpoint) for event in rig.said[worker]) == 5
        await rig.slots.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(use())
