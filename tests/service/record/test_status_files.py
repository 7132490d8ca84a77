"""Status files show the newest of what was entered, whatever comes in quick succession."""

from pathlib import Path

import msgspec
import pytest

from traind.service.jobs.job import Job
from traind.service.record.status_files import Snapshots
from traind.trainer.contract.events import Status
from traind.trainer.contract.spec import TrainSpec

JOB = Job(job_id="one", created_at=1.0, spec=TrainSpec())
STATES = (Status.QUEUED, Status.STARTING, Status.LOADING, Status.RUNNING)


def steps(job: Job, step: int) -> Job:
    return msgspec.structs.replace(job, status=Status.RUNNING, step=step)


def shown(folder: Path) -> Job:
    return msgspec.json.decode((folder / "one.json").read_bytes(), type=Job)


@pytest.fixture
async def snapshots(tmp_path: Path) -> Snapshots:
    made = Snapshots(tmp_path)
    await made.open()
    return made


async def test_what_was_entered_stands_once_it_is_settled(snapshots: Snapshots, tmp_path: Path) -> None:
    for status in STATES:
        snapshots.entered(msgspec.structs.replace(JOB, status=status))
    await snapshots.settled()
    assert shown(tmp_path).status is Status.RUNNING
    await snapshots.close()


async def test_progress_does_not_come_back_after_a_state(snapshots: Snapshots, tmp_path: Path) -> None:
    for step in range(50):
        snapshots.progressed(steps(JOB, step))
        snapshots._flush()
        snapshots.entered(steps(JOB, step + 1_000))
    await snapshots.settled()
    assert shown(tmp_path).step == 1_049
    await snapshots.close()


async def test_each_write_awaited_stands(snapshots: Snapshots, tmp_path: Path) -> None:
    for step in range(5):
        snapshots.progressed(steps(JOB, step))
        snapshots._flush()
        await snapshots.entered(steps(JOB, step + 100))
        assert shown(tmp_path).step == step + 100
    await snapshots.close()


async def test_progress_that_waits_is_written_at_the_close(snapshots: Snapshots, tmp_path: Path) -> None:
    snapshots.entered(JOB)
    snapshots.progressed(steps(JOB, 7))
    await snapshots.close()
    assert shown(tmp_path).step == 7


async def test_a_removed_job_leaves_no_file(snapshots: Snapshots, tmp_path: Path) -> None:
    snapshots.entered(JOB)
    snapshots.progressed(steps(JOB, 7))
    await snapshots.remove("one")
    await snapshots.close()
    assert not (tmp_path / "one.json").exists()
