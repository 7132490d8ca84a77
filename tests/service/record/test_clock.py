"""A machine's clock that is set back or forward changes no duration, no limit, no order and no age."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from stores import opened

from traind.service.engine.attempt import Attempt
from traind.service.engine.watchdog import Watchdog
from traind.service.errors import JobNotFound
from traind.service.executor.base import Beat
from traind.service.jobs.job import Job
from traind.service.record.clock import Clock
from traind.service.record.feed import Feed
from traind.service.record.journal import Journal
from traind.service.record.problems import Problems
from traind.service.record.status_files import StatusFiles
from traind.service.settings import Layout, Settings
from traind.trainer.contract.events import Progress, State, Status
from traind.trainer.contract.spec import TrainSpec

DAY_S = 86_400.0
JUMPS = [-DAY_S, DAY_S, 1_000 * DAY_S]


class Machine:
    """The clocks of a machine: `set` moves the one on the wall, `pass_by` both."""

    def __init__(self) -> None:
        self.wall = 1_800_000_000.0
        self.steady = 50.0

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds

    def clock(self) -> Clock:
        return Clock(lambda: self.wall, lambda: self.steady)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
async def journal(tmp_path: Path, machine: Machine) -> AsyncIterator[Journal]:
    store, status_files = await opened(tmp_path / "traind.db"), StatusFiles(tmp_path / "jobs")
    await status_files.open()
    yield Journal(store, Feed(), status_files, machine.clock())
    await status_files.close()
    await store.close()


def progress(machine: Machine, step: int) -> Progress:
    """Return what a worker says, which reads the machine's clock."""
    return Progress(attempt=1, epoch=1, step=step, total_steps=100, progress=1.0, loss=1.0, ts=machine.wall)


@pytest.mark.parametrize("jump_s", JUMPS)
async def test_durations_of_a_job_are_those_that_passed(journal: Journal, machine: Machine, jump_s: float) -> None:
    job = Job(job_id="a", created_at=journal.clock.now(), spec=TrainSpec())
    async with journal.turn:
        job = await journal.record(job, State(status=Status.QUEUED))
        machine.pass_by(2.0)
        machine.wall += jump_s  # in the queue, and again in training
        job = await journal.record(job, State(status=Status.STARTING, attempt=1))
        machine.pass_by(1.0)
        job = await journal.record(job, State(status=Status.RUNNING, attempt=1, ts=machine.wall))
        machine.pass_by(4.0)
        job = await journal.record(job, progress(machine, 10))
        machine.wall += jump_s
        machine.pass_by(4.0)
        job = await journal.record(job, progress(machine, 20))
        assert job.eta_s == pytest.approx(32.0, abs=0.2)
        job = await journal.record(job, State(status=Status.COMPLETED, ts=machine.wall))
    timings = {"queued_s": 2.0, "starting_s": 1.0, "running_s": 8.0, "submit_to_first_step_s": 7.0}
    assert {name: job.timings[name] for name in timings} == pytest.approx(timings, abs=0.001)
    assert job.finished_at is not None
    assert job.finished_at - job.created_at == pytest.approx(11.0)


@pytest.mark.parametrize("jump_s", JUMPS)
def test_a_date_from_before_the_clock_was_set_is_kept_in_order(machine: Machine, jump_s: float) -> None:
    clock = machine.clock()
    entered = clock.now()
    machine.pass_by(5.0)
    said = machine.wall
    machine.wall += jump_s
    assert entered <= clock.of(said, entered) <= clock.now() == entered + 5.0


async def test_a_clock_that_is_set_is_taken_up_when_no_job_is_unfinished(journal: Journal, machine: Machine) -> None:
    async with journal.turn:
        job = await journal.record(Job(job_id="a", created_at=1.0, spec=TrainSpec()), State(status=Status.QUEUED))
        machine.wall += DAY_S
        job = await journal.record(job, State(status=Status.CANCELLED))
        assert job.finished_at == machine.wall - DAY_S
        job = await journal.record(Job(job_id="b", created_at=1.0, spec=TrainSpec()), State(status=Status.QUEUED))
        assert job.entered_at == machine.wall


@pytest.mark.parametrize("jump_s", JUMPS)
async def test_limits_and_ages_count_the_time_that_passed(
    journal: Journal, machine: Machine, jump_s: float, tmp_path: Path
) -> None:
    settings = Settings.check(root=tmp_path, keep_days=1.0, grace_s=30.0)
    watchdog = Watchdog(journal, None, settings, Layout(tmp_path), Problems())  # type: ignore[arg-type]
    async with journal.turn:
        spec = TrainSpec(max_seconds=10.0)
        done = await journal.record(Job(job_id="done", created_at=1.0, spec=spec), State(status=Status.COMPLETED))
        job = Job(job_id="runs", created_at=journal.clock.now(), spec=spec)
        job = await journal.record(job, State(status=Status.LOADING, attempt=1))
        machine.wall += jump_s
        attempt, beat = Attempt("runs", 1), Beat(100, 0.0)
        assert watchdog._overdue(job, attempt, beat) is None
        job = await journal.record(job, State(status=Status.RUNNING, attempt=1, ts=machine.wall))
        machine.wall += jump_s
        assert watchdog._overdue(job, attempt, beat) is None
        machine.pass_by(41.0)
        assert watchdog._overdue(job, attempt, beat) == "max_seconds"
    await watchdog._sweep()
    assert await journal.job("done") == done
    machine.pass_by(DAY_S)
    await watchdog._sweep()
    with pytest.raises(JobNotFound):
        await journal.job("done")
