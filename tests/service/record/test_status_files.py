"""Status files show the newest of what was entered, whatever comes in quick succession."""

from pathlib import Path

import msgspec
import pytest

from traind.service.jobs.job import Job
from traind.service.record.status_files import StatusFiles
from traind.trainer.contract.events import Status
from traind.trainer.contract.spec import TrainSpec

JOB = Job(job_id="one", created_at=1.0, spec=TrainSpec())
STATES = (Status.QUEUED, Status.STARTING, Status.LOADING, Status.RUNNING)


def steps(job: Job, step: int) -> Job:
    return msgspec.structs.replace(job, status=Status.RUNNING, step=step)


def shown(folder: Path) -> Job:
    return msgspec.json.decode((folder / "one.json").read_bytes(), type=Job)


@pytest.fixture
async def status_files(tmp_path: Path) -> StatusFiles:
    made = StatusFiles(tmp_path)
    await made.open()
    return made


async def test_what_was_entered_stands_once_it_is_settled(status_files: StatusFiles, tmp_path: Path) -> None:
    for status in STATES:
        status_files.entered(msgspec.structs.replace(JOB, status=status))
    await status_files.settled()
    assert shown(tmp_path).status is Status.RUNNING
    await status_files.close()


async def test_progress_does_not_come_back_after_a_state(status_files: StatusFiles, tmp_path: Path) -> None:
    for step in range(50):
        status_files.progressed(steps(JOB, step))
        status_files._flush()
        status_files.entered(steps(JOB, step + 1_000))
    await status_files.settled()
    assert shown(tmp_path).step == 1_049
    await status_files.close()


async def test_each_write_awaited_stands(status_files: StatusFiles, tmp_path: Path) -> None:
    for step in range(5):
        status_files.progressed(steps(JOB, step))
        status_files._flush()
        await status_files.entered(steps(JOB, step + 100))
        assert shown(tmp_path).step == step + 100
    await status_files.close()


async def test_progress_that_waits_is_written_at_the_close(status_files: StatusFiles, tmp_path: Path) -> None:
    status_files.entered(JOB)
    status_files.progressed(steps(JOB, 7))
    await status_files.close()
    assert shown(tmp_path).step == 7


async def test_a_removed_job_leaves_no_file(status_files: StatusFiles, tmp_path: Path) -> None:
    status_files.entered(JOB)
    status_files.progressed(steps(JOB, 7))
    await status_files.remove("one")
    await status_files.close()
    assert not (tmp_path / "one.json").exists()
