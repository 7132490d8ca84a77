"""The watchdog ends what hangs, and nothing that works; and what it ends says what to do."""

from collections.abc import Callable
from pathlib import Path

import pytest

from traind import Status, TrainingService

HERE = Path(__file__).parent
HANG_S = 1.5


@pytest.fixture
def service(tmp_path: Path, open_root: Callable[..., TrainingService]) -> TrainingService:
    """A service with an impatient watchdog and a trainer that takes no steps."""
    trainer = f"{HERE / 'silent_trainers.py'}:train"
    return open_root(tmp_path, slots=1, hang_s=HANG_S, trainers={"silent": trainer})


@pytest.mark.parametrize("how", ["aside", "work", pytest.param("children", marks=pytest.mark.anywhere_long)])
async def test_work_without_a_step_is_not_taken_for_a_hang(how: str, service: TrainingService) -> None:
    async with service as running:
        job = await running.wait((await running.submit(trainer="silent", options={"how": how})).job_id)
    assert (job.status, job.attempt, job.crashes) == (Status.COMPLETED, 1, 0), job.error


@pytest.mark.anywhere_long
async def test_a_job_that_hangs_is_ended_and_told_what_to_do(service: TrainingService) -> None:
    async with service as running:
        spec = {"trainer": "silent", "options": {"how": "nothing"}, "max_attempts": 1}
        job = await running.wait((await running.submit(spec)).job_id)
        stacks = (running.layout.attempt_dir(job.job_id, 1) / "stacks.txt").read_text()
    assert job.status is Status.FAILED
    assert job.error is not None
    assert "silent" in job.error.message
    assert all(word in (job.error.hint or "") for word in ("run.beat()", "run.aside()", "hang_s", "stacks.txt"))
    assert "_wait_for_ever" in stacks
