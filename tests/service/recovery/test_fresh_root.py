"""A fresh root is no lost one; a root whose database is gone is, as long as a status file says so."""

import logging
from pathlib import Path

import pytest

from traind.service.engine.engine import Engine
from traind.service.executor.scripted import ScriptedExecutor, ScriptedWorker
from traind.service.jobs.job import Job
from traind.service.settings import Layout, Settings
from traind.trainer.contract.events import Log, State, Status
from traind.trainer.contract.spec import TrainSpec


async def train(worker: ScriptedWorker) -> None:
    await worker.say(State(status=Status.RUNNING))
    await worker.say(State(status=Status.COMPLETED))


async def ran(root: Path, job_id: str) -> tuple[Job, list[object]]:
    """Run a job on a root; return it and its events."""
    engine = Engine(Settings.check(root=root, slots=1), Layout(root), ScriptedExecutor(train))
    await engine.open()
    try:
        await engine.submit(TrainSpec(), None, job_id)
        job = await engine.wait(job_id)
        return job, [event async for event in engine.watch("first")]
    finally:
        await engine.close()


async def test_a_fresh_root_does_not_go_the_way_of_a_lost_database(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    job, _ = await ran(tmp_path, "first")
    assert job.status is Status.COMPLETED
    rooms = ("traind.service.record.", "traind.service.recovery.")
    assert [record.message for record in caplog.records if record.name.startswith(rooms)] == []
    assert [path.name for path in (tmp_path / "artifacts").glob("traind.db.*")] == []


async def test_a_removed_database_is_rebuilt_from_status_files(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await ran(tmp_path, "first")
    (tmp_path / "artifacts/traind.db").unlink()
    job, events = await ran(tmp_path, "second")
    assert job.status is Status.COMPLETED
    assert isinstance(events[-1], Log)
    assert "rebuilt" in events[-1].message
    assert "there was no whole database; 1 jobs were rebuilt" in caplog.text


async def test_a_start_that_was_killed_before_it_made_a_table_is_fresh_again(tmp_path: Path) -> None:
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts/traind.db").touch()
    job, events = await ran(tmp_path, "first")
    assert job.status is Status.COMPLETED
    assert len(events) == job.seq
