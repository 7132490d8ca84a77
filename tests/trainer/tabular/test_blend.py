"""Jobs of trees, and of networks and trees together, from the spec to the exported file."""

import subprocess
import sys

import pytest
import torch

from traind.trainer.contract.control import Verb
from traind.trainer.contract.events import Epoch, Metric, Progress, Status
from traind.trainer.model.export import from_safetensors, to_onnx, to_safetensors
from traind.trainer.model.model import Model, load_model

FIELDS = {"epochs": 3, "batch_size": 16, "report_every": 1}


def job_of(new_job, table, kind, target="value", rows=200, **fields):
    return new_job(table(target, rows), dataset=target, model={"kind": kind}, **{**FIELDS, **fields})


@pytest.mark.parametrize(("kind", "target"), [("trees", "kind"), ("blend", "value"), ("blend", "kind")])
def test_it_learns_and_its_file_predicts_and_exports(kind, target, new_job, table):
    job = job_of(new_job, table, kind, target, validation={"test_fraction": 0.2}, epochs=8)
    last = job.attempt()
    assert last.status is Status.COMPLETED, last
    metric = "rmse" if target == "value" else "log_loss"
    assert last.result.metrics["test"][metric] < 0.8 * last.result.metrics["baseline"][metric]
    assert last.result.report["members"]["measured"]["validation"] == "monitor"
    model = load_model(last.result.model_path)
    assert isinstance(model, Model)
    assert model.content["architecture"]["kind"] == kind
    assert (model.recipe.networks_share is None) == (kind == "trees")
    to_onnx(model)  # compares with the original
    rows = model.content["golden"]["rows"]
    assert torch.equal(from_safetensors(to_safetensors(model)).values(rows), model.values(rows))


def test_trees_report_rounds_as_steps_and_their_validation_loss(new_job, table):
    job = job_of(new_job, table, "trees", epochs=4, patience=None)
    last = job.attempt()
    epochs = job.reported(Epoch)
    assert [(one.epoch, one.step) for one in epochs] == [(1, 10), (2, 20), (3, 30), (4, 40)]
    assert all(one.val_loss is not None and one.train_loss is not None for one in epochs)
    assert job.reported(Progress)[-1].total_steps == 40
    best = epochs[last.result.best_epoch - 1]
    validation = last.result.metrics["validation"]
    assert {"val_loss": best.val_loss, **best.metrics} == validation


def test_a_blend_counts_trees_first_and_then_its_networks(new_job, table):
    job = job_of(new_job, table, "blend")
    job.attempt()
    steps, epochs = [one.step for one in job.reported(Progress)], [one.epoch for one in job.reported(Epoch)]
    assert steps == sorted(steps)
    assert epochs == list(range(1, len(epochs) + 1))
    last = job.reported(Progress)[-1]
    assert (last.progress, last.step) == (100.0, last.total_steps)
    assert not job.reported(Metric)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, table):
    """What a blend gives when nothing interrupts it, and how often it looks at the control."""
    return {}


def finished(job):
    last = job.attempt()
    assert last.status is Status.COMPLETED, last
    return last.result.weights_digest, last.result.metrics, last.result.report["recipe"]


@pytest.mark.parametrize("share", [0.2, 0.7, 0.95])
def test_a_blend_that_is_interrupted_in_either_phase_is_the_same(share, new_job, table, whole):
    if not whole:
        job = job_of(new_job, table, "blend")
        whole["expected"] = finished(job)
        whole["looks"] = max(one.step for one in job.reported(Progress))
    job = job_of(new_job, table, "blend")
    first = job.attempt(Verb.LEAVE, int(share * whole["looks"]))
    assert (first.status, first.reason) == (Status.QUEUED, "server_left")
    assert finished(job) == whole["expected"]


def test_a_blend_that_is_stopped_while_trees_grow_is_a_model_of_trees(new_job, table):
    job = job_of(new_job, table, "blend")
    last = job.attempt(Verb.STOP, 25)
    assert last.status is Status.STOPPED
    model = load_model(last.result.model_path)
    assert model.content["architecture"]["kind"] == "trees"
    assert len(model.predict(model.content["golden"]["rows"])) > 0


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_running_blend_predicts(share, new_job, table):
    job = job_of(new_job, table, "blend", checkpoint_every=0.0)
    job.attempt(Verb.LEAVE, 30 if share < 0.5 else 110)
    model = load_model(max(job.attempts[-1].glob("checkpoint-*.pt")))
    assert len(model.predict([{"a": 1.0, "b": 2.0, "colour": "red", "shop": "s1"}])) == 1


def test_a_finished_blend_predicts_where_there_is_no_tree_library(new_job, table):
    path = job_of(new_job, table, "blend").attempt().result.model_path
    code = (
        "import sys; sys.modules['lightgbm'] = None\n"
        "from traind import load_model\n"
        f"model = load_model({path!r})\n"
        "print(model.predict([{'a': 1.0, 'b': 2.0, 'colour': 'red', 'shop': 's1'}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
