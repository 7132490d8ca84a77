"""Stop keeps the model, pause keeps the place, cancel keeps nothing; and what max_seconds and more epochs do."""

import pytest

from traind.trainer.contract.control import Verb
from traind.trainer.contract.events import Checkpoint, Epoch, Log, Progress, Status
from traind.trainer.model.model import load_model

BARE = {"kind": "mlp", "hidden": [8], "embedding": "none", "dropout": 0.0}
SMALL = {"synthetic": {"rows": 80}, "batch_size": 16, "epochs": 4, "model": BARE}
ROW = {f"x{number}": 0.5 for number in range(1, 9)}


def best_epoch(job):
    return [event.epoch for event in job.reported(Epoch) if event.is_best][-1]


def test_stop_keeps_the_best_model_and_the_place(new_job):
    job = new_job(**SMALL)
    last = job.attempt(Verb.STOP, 14)  # in the third epoch
    assert last.status is Status.STOPPED
    assert last.result.best_epoch == best_epoch(job) <= 2
    assert len(load_model(last.result.model_path).predict([ROW])) == 1
    assert job.reported(Checkpoint)[-1].step == 11


def test_stop_in_the_first_epoch_makes_a_model_of_what_there_is(new_job):
    last = new_job(**SMALL).attempt(Verb.STOP, 3)
    assert last.status is Status.STOPPED
    assert len(load_model(last.result.model_path).predict([ROW])) == 1


def test_stop_before_the_first_step_is_cancelled(new_job):
    last = new_job(**SMALL).attempt(Verb.STOP, 1)
    assert (last.status, last.result) == (Status.CANCELLED, None)


def test_pause_keeps_the_place_and_makes_no_model(new_job):
    job = new_job(**SMALL)
    last = job.attempt(Verb.PAUSE, 8)
    assert (last.status, last.reason, last.result) == (Status.PAUSED, "user", None)
    assert not (job.attempts[0] / "model.pt").exists()
    assert job.attempt().status is Status.COMPLETED


def test_cancel_writes_nothing_more(new_job):
    job = new_job(**SMALL)
    assert job.attempt(Verb.CANCEL, 8).status is Status.CANCELLED
    assert list(job.attempts[0].iterdir()) == []


def test_a_finishing_attempt_takes_no_step(new_job):
    job = new_job(**SMALL)
    job.attempt(Verb.LEAVE, 14)
    before = len(job.reported(Progress))
    last = job.attempt(finish=True)
    assert last.status is Status.STOPPED
    assert len(job.reported(Progress)) == before
    assert last.result.best_epoch == best_epoch(job)


def test_a_stopped_job_that_is_resumed_ends_as_if_never_stopped(new_job):
    whole, job = new_job(**SMALL), new_job(**SMALL)
    expected = whole.attempt()
    job.attempt(Verb.STOP, 14)
    resumed = job.attempt()
    assert resumed.result.weights_digest == expected.result.weights_digest
    assert resumed.result.metrics == expected.result.metrics


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_more_epochs_go_on_with_the_schedule_stretched_over_them(schedule, new_job):
    job, twin = (new_job(**SMALL, schedule=schedule) for _ in range(2))
    for one in (job, twin):
        one.attempt()
        one.extended(epochs=6)
    last, twin_last = job.attempt(), twin.attempt()
    assert last.status is Status.COMPLETED
    assert [event.epoch for event in job.reported(Epoch)] == [1, 2, 3, 4, 5, 6]
    assert job.reported(Progress)[-1].step == 24
    assert last.result.weights_digest == twin_last.result.weights_digest
    assert job.reported(Progress)[-1].lr > 0.0


def test_with_a_constant_schedule_more_epochs_are_the_longer_run(new_job):
    job, longer = new_job(**SMALL), new_job(**SMALL | {"epochs": 6})
    job.attempt()
    job.extended(epochs=6)
    assert job.attempt().result.weights_digest == longer.attempt().result.weights_digest


def test_more_epochs_after_an_early_stop_begin_patience_anew(new_job):
    job = new_job(**SMALL | {"patience": 1, "lr": 0.5, "epochs": 50})
    job.attempt()
    ended = job.reported(Epoch)[-1].epoch
    assert ended < 50
    job.extended(epochs=60)
    job.attempt()
    assert job.reported(Epoch)[-1].epoch > ended


def test_resuming_a_completed_job_without_more_epochs_gives_the_same_model(new_job):
    job = new_job(**SMALL)
    first = job.attempt().result
    second = job.attempt().result
    assert second.weights_digest == first.weights_digest
    assert second.metrics == first.metrics


def test_time_is_up_over_all_attempts_and_the_model_is_kept(new_job):
    job = new_job(**SMALL | {"max_seconds": 60.0})
    job.attempt(Verb.LEAVE, 14)
    last = job.attempt(ran_s=60.0)
    assert (last.status, last.error.code) == (Status.FAILED, "timed_out")
    assert "60 seconds" in last.error.message
    assert len(load_model(last.result.model_path).predict([ROW])) == 1


def test_a_lost_loss_goes_back_twice_then_fails_with_the_last_good_model_kept(new_job):
    job = new_job(**SMALL | {"model": {"kind": "mlp", "hidden": [8]}, "lr": 100.0, "optimizer": "sgd", "epochs": 40})
    last = job.attempt()
    assert (last.status, last.error.code) == (Status.FAILED, "diverged")
    back = [log.message for log in job.reported(Log) if "going back" in log.message]
    assert len(back) == 2
    assert "0.1 times" in back[0]
    assert "0.01 times" in back[1]
    assert last.result.best_epoch == best_epoch(job)
    model = load_model(last.result.model_path)
    scale = model.recipe.target_scale
    assert scale.low <= model.predict([ROW])[0] <= scale.high  # a network gone astray leaves the training rows' range
    assert -10 < scale.low < scale.high < 10


def test_a_lost_loss_reaches_no_checkpoint(new_job):
    job = new_job(**SMALL | {"model": {"kind": "linear"}, "lr": 100.0, "optimizer": "sgd", "epochs": 40})
    job.attempt(Verb.LEAVE, 5)  # by now the weights are lost
    groups = job.checkpoint()["state"]["step"]["groups"]
    assert all(group["numbers"].isfinite().all() for group in groups)
