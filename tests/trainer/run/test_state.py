"""Every key of a checkpoint is needed: without it, going on fails or gives another run. And what may differ, may."""

from dataclasses import fields as fields_of
from pathlib import Path

import pytest
from msgspec.structs import replace

from traind.data.errors import BadTable
from traind.trainer.contract.control import Verb
from traind.trainer.contract.events import Epoch, Log, State, Status
from traind.trainer.contract.spec import DatasetFile
from traind.trainer.run.checkpoints import Checkpoints
from traind.trainer.tabular.loop import FitState

BARE = {"kind": "mlp", "hidden": [8, 8], "embedding": "none", "dropout": 0.3}
SMALL = {"synthetic": {"rows": 80}, "batch_size": 16, "epochs": 4, "model": BARE}
STOPS_EARLY = {**SMALL, "patience": 2, "lr": 0.1, "epochs": 8, "optimizer": "adamw", "weight_decay": 0.1}
GOES_BACK = {**SMALL, "model": {"kind": "linear"}, "lr": 100.0, "optimizer": "sgd"}
STEP_KEYS = ("groups", "buffers", "updates", "loss", "random")
CONTENT_KEYS = ("step", "epoch", "data", "environment", "random", "state")


def rewrite(job, change):
    """Change the content of the newest checkpoint, as if its writer had never saved it otherwise."""
    content = job.checkpoint()
    change(content)
    Checkpoints(job.attempts[-1]).write(content, step=1, epoch=0)


def outcome(job, fingerprint):
    """Return all that an undisturbed run must share; None where the job failed."""
    last = job.reported(State)[-1]
    if last.status is not Status.COMPLETED:
        return None
    epochs = {event.epoch: (event.train_loss, event.metrics, event.is_best) for event in job.reported(Epoch)}
    state = job.checkpoint()["state"]
    return last.result.weights_digest, fingerprint([state["fit"], state["step"]]), epochs


def outcome_without(new_job, fingerprint, fields, look, change):
    """Return what comes of a job whose checkpoint lost something at its `look`-th look, beside what should."""
    whole, job = new_job(**fields), new_job(**fields)
    whole.attempt()
    assert job.attempt(Verb.LEAVE, look).status is Status.QUEUED
    rewrite(job, change)
    job.attempt()
    return outcome(job, fingerprint), outcome(whole, fingerprint)


SCENARIOS = {  # where each key matters: the spec, and the look at which the run is interrupted
    "lr_scale": (GOES_BACK, 13),
    "rollbacks": (GOES_BACK, 13),
    "good": (GOES_BACK, 8),
    "monitor": (STOPS_EARLY | {"monitor": "mae"}, 14),
}


@pytest.mark.parametrize("key", [field.name for field in fields_of(FitState)])
def test_each_key_of_the_fit_is_needed(key, new_job, fingerprint):
    fields, look = SCENARIOS.get(key, (STOPS_EARLY, 14))
    found, expected = outcome_without(
        new_job, fingerprint, fields, look, lambda content: content["state"]["fit"].pop(key)
    )
    assert expected is not None
    assert found != expected


@pytest.mark.parametrize("key", STEP_KEYS)
def test_each_key_of_the_step_is_needed(key, new_job, fingerprint):
    found, expected = outcome_without(
        new_job, fingerprint, SMALL, 8, lambda content: content["state"]["step"].pop(key)
    )
    assert expected is not None
    assert found != expected


@pytest.mark.parametrize("key", CONTENT_KEYS)
def test_each_key_beside_the_state_is_needed(key, new_job, fingerprint):
    found, expected = outcome_without(new_job, fingerprint, SMALL, 8, lambda content: content.pop(key))
    assert expected is not None
    assert found != expected


def test_a_checkpoint_that_is_only_rewritten_changes_nothing(new_job, fingerprint):
    found, expected = outcome_without(new_job, fingerprint, STOPS_EARLY, 14, lambda _content: None)
    assert found == expected is not None


def test_other_versions_go_on_and_say_that_it_is_not_bit_for_bit(new_job):
    job = new_job(**SMALL)
    job.attempt(Verb.LEAVE, 8)
    rewrite(job, lambda content: content["environment"].update(torch="1.0"))
    assert job.attempt().status is Status.COMPLETED
    running = job.reported(State)[-2]
    assert (running.status, running.bit_exact, running.resumed_from_step) == (Status.RUNNING, False, 6)
    assert [log for log in job.reported(Log) if "torch was 1.0" in log.message]


def test_other_threads_go_on_and_say_that_it_is_not_bit_for_bit(new_job):
    job = new_job(**SMALL)
    job.attempt(Verb.LEAVE, 8)
    job.extended(threads=2)
    assert job.attempt().status is Status.COMPLETED
    assert job.reported(State)[-2].bit_exact is False


def test_same_conditions_do_not_deny_bit_exactness(new_job):
    job = new_job(**SMALL)
    job.attempt(Verb.LEAVE, 8)
    job.attempt()
    assert job.reported(State)[-2].bit_exact is None


def test_changed_data_is_refused(new_job, table):
    first, second = table("value"), table("value", rows=90)
    assert isinstance(first, DatasetFile)
    job = new_job(first, **{**SMALL, "synthetic": None, "dataset": "value"})
    job.attempt(Verb.LEAVE, 8)
    job.dataset = second
    last = job.attempt()
    assert (last.status, last.error.code) == (Status.FAILED, BadTable.code)
    assert "data" in last.error.message


@pytest.mark.parametrize("changed", [lambda content: content + b"1,2,red,north,3\n", lambda content: content[::-1]])
def test_a_file_that_was_changed_in_place_is_refused_when_the_job_goes_on(new_job, table, changed, tmp_path):
    file = table("value")
    path = tmp_path / "own.csv"
    content = Path(file.path).read_bytes()
    path.write_bytes(content)
    job = new_job(replace(file, path=str(path)), **{**SMALL, "synthetic": None, "dataset": "value"})
    assert job.attempt(Verb.LEAVE, 8).status is Status.QUEUED
    path.write_bytes(changed(content))
    last = job.attempt()
    assert (last.status, last.error.code) == (Status.FAILED, "data_error")
    assert "has changed" in last.error.message
    path.write_bytes(content)
    assert job.attempt().status is Status.COMPLETED
