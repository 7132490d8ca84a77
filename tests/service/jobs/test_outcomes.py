"""What the end of an attempt means: every way a worker can go, against every verb that may be recorded."""

from dataclasses import dataclass

import pytest

from traind.service.executor.base import Ended
from traind.service.jobs.job import Job, apply
from traind.service.jobs.outcomes import DISK_TRIES, NODE_TRIES, after_loss, after_outcome, after_restart
from traind.trainer.contract.events import Checkpoint, Failure, State, Status
from traind.trainer.contract.spec import TrainSpec

LOSS = Ended("died", "the worker was killed by signal 9", output="last words")


@dataclass
class Asked:
    pause_reason: str = "user"
    killed_for: str | None = None


def job(requested: str | None = None, crashes: int = 0, max_attempts: int = 3) -> Job:
    spec = TrainSpec(max_attempts=max_attempts, max_seconds=5.0)
    return Job(
        job_id="j",
        created_at=1.0,
        status=Status.RUNNING,
        requested=requested,  # type: ignore[arg-type]
        crashes=crashes,
        spec=spec,
    )


def test_a_worker_that_died_is_tried_again() -> None:
    state = after_loss(job(), LOSS, Asked(), has_checkpoint=True)
    assert (state.status, state.reason) == (Status.QUEUED, "worker_died")


def test_a_worker_that_keeps_dying_is_a_crash_loop_with_its_last_words() -> None:
    state = after_loss(job(crashes=2), LOSS, Asked(), has_checkpoint=True)
    assert state.status is Status.FAILED
    assert state.error is not None
    assert (state.error.code, state.error.output) == ("crash_loop", "last words")


def test_a_worker_that_cannot_be_reached_costs_no_try() -> None:
    state = after_loss(job(crashes=2), Ended("lost", "the node went away"), Asked(), has_checkpoint=True)
    assert (state.status, state.reason) == (Status.QUEUED, "node_lost")


def test_nodes_that_are_lost_again_and_again_are_given_up_unless_there_is_a_checkpoint_in_between() -> None:
    lost, now = Ended("lost", "the node went away"), job()
    for count in range(1, NODE_TRIES):
        now = apply(now, after_loss(now, lost, Asked(), has_checkpoint=False))
        assert (now.status, now.node_losses) == (Status.QUEUED, count)
    saved = apply(now, Checkpoint(attempt=1, step=5, path="a"))
    assert after_loss(saved, lost, Asked(), has_checkpoint=True).status is Status.QUEUED
    given_up = after_loss(now, lost, Asked(), has_checkpoint=False)
    assert given_up.status is Status.FAILED
    assert given_up.error is not None
    assert given_up.error.code == "node_lost"
    assert "10 times in a row" in given_up.error.message
    assert apply(apply(now, given_up), State(status=Status.QUEUED, reason="resumed")).node_losses == 0


def test_one_attempt_means_one() -> None:
    state = after_loss(job(max_attempts=1), LOSS, Asked(), has_checkpoint=True)
    assert state.error is not None
    assert state.error.code == "worker_killed"


@pytest.mark.parametrize("killed_for", [None, "grace"])
@pytest.mark.parametrize(
    ("requested", "has_checkpoint", "expected"),
    [
        ("cancel", True, Status.CANCELLED),
        ("cancel", False, Status.CANCELLED),
        ("pause", True, Status.PAUSED),
        ("pause", False, Status.PAUSED),
        ("stop", False, Status.CANCELLED),
        ("stop", True, Status.QUEUED),
    ],
)
def test_a_recorded_verb_decides_when_the_worker_is_gone(
    requested: str, has_checkpoint: bool, expected: Status, killed_for: str | None
) -> None:
    state = after_loss(job(requested), LOSS, Asked(killed_for=killed_for), has_checkpoint=has_checkpoint)
    assert state.status is expected


def test_a_worker_that_ignored_stop_is_followed_by_one_that_makes_the_model() -> None:
    state = after_loss(job("stop", crashes=2), LOSS, Asked(killed_for="grace"), has_checkpoint=True)
    assert (state.status, state.reason) == (Status.QUEUED, "finishing")


def test_making_the_model_of_a_stopped_job_is_not_tried_for_ever() -> None:
    state = after_loss(job("stop", crashes=2), LOSS, Asked(), has_checkpoint=True)
    assert state.status is Status.FAILED


def test_the_time_limit_is_a_failure_and_says_so() -> None:
    state = after_loss(job(), LOSS, Asked(killed_for="max_seconds"), has_checkpoint=True)
    assert state.error is not None
    assert state.error.code == "timed_out"
    assert "5 seconds" in state.error.message


def test_a_server_that_leaves_costs_no_crash() -> None:
    state = after_loss(job(crashes=2), LOSS, Asked(killed_for="grace"), has_checkpoint=True)
    assert (state.status, state.reason) == (Status.QUEUED, "server_left")


def test_a_full_disk_pauses() -> None:
    full = State(status=Status.FAILED, error=Failure(code="disk_full", message="No space left."))
    assert after_outcome(job(), full, "user").reason == "disk_full"
    assert after_outcome(job(), State(status=Status.PAUSED), "disk_full").reason == "disk_full"
    assert after_loss(job(), LOSS, Asked(pause_reason="disk_full"), has_checkpoint=True).status is Status.PAUSED


def test_a_pause_that_was_taken_back_goes_on() -> None:
    state = after_outcome(job(None), State(status=Status.PAUSED), "user")
    assert (state.status, state.reason) == (Status.QUEUED, "resumed")


@pytest.mark.parametrize("said", [Status.COMPLETED, Status.STOPPED, Status.FAILED, Status.PAUSED, Status.QUEUED])
def test_a_recorded_cancel_wins_over_what_the_worker_says(said: Status) -> None:
    assert after_outcome(job("cancel"), State(status=said), "user").status is Status.CANCELLED


def test_a_job_that_ends_by_itself_while_it_is_to_stop_has_ended_by_itself() -> None:
    assert after_outcome(job("stop"), State(status=Status.COMPLETED), "user").status is Status.COMPLETED


@pytest.mark.parametrize(
    ("requested", "has_checkpoint", "expected"),
    [
        (None, False, Status.QUEUED),
        ("cancel", True, Status.CANCELLED),
        ("pause", True, Status.PAUSED),
        ("stop", True, Status.QUEUED),
        ("stop", False, Status.CANCELLED),
    ],
)
def test_after_a_restart_a_recorded_verb_is_kept(
    requested: str | None, has_checkpoint: bool, expected: Status
) -> None:
    assert after_restart(job(requested), has_checkpoint=has_checkpoint).status is expected


def test_a_file_without_room_is_waited_for_a_bounded_number_of_times():
    one = Job(job_id="a", created_at=0.0, spec=TrainSpec(), status=Status.RUNNING, attempt=1)
    full = Failure(code="disk_full", message="No room.", details=[{"loc": "disk", "needed_bytes": 5}])
    states = []
    for _ in range(DISK_TRIES):
        states.append(after_outcome(one, State(status=Status.FAILED, error=full), "user"))
        one = apply(one, states[-1])
    assert [state.status for state in states] == [Status.PAUSED] * (DISK_TRIES - 1) + [Status.FAILED]
    assert (states[0].reason, states[0].needs_bytes) == ("disk_full", 5)
    assert states[-1].error is not None
    assert f"tried {DISK_TRIES} times" in states[-1].error.message
    saved = apply(one, Checkpoint(attempt=1, step=1, path="a.pt"))
    assert saved.disk_pauses == 0
