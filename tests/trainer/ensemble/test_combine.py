"""One model of several: it predicts their weighted mean, says which, and is a model like any other."""

from pathlib import Path

import numpy as np
import pytest
import torch

from traind.trainer.contract.events import Log, Status
from traind.trainer.contract.spec import EnsembleModel
from traind.trainer.model.export import from_safetensors, to_onnx, to_safetensors
from traind.trainer.model.model import load_model

FIELDS = {"epochs": 4, "batch_size": 16, "validation": {"test_fraction": 0.1}}
NETWORKS = [{"kind": "mlp", "hidden": [8], "dropout": 0.0}, {"kind": "tabm", "hidden": [8], "k": 2}, {"kind": "auto"}]
TREES = {"kind": "trees", "leaves": 4, "shrinkage": 0.3}


@pytest.fixture
def combined(new_job, table):
    """Train a few networks on a table, and make one of them."""

    def make(target, networks=NETWORKS, **fields):
        paths = []
        for number, network in enumerate(networks):
            last = new_job(table(target), dataset=target, model=network, seed=number, **FIELDS).attempt()
            assert last.status is Status.COMPLETED, last.error
            paths.append((f"job_{number}", str(last.result.model_path)))
        names = [name for name, _ in paths]
        job = new_job(table(target), dataset=target, model={"kind": "ensemble", "jobs": names}, **FIELDS, **fields)
        assert isinstance(job.spec.model, EnsembleModel)
        return job, job.attempt(members=tuple(paths)), dict(paths)

    return make


@pytest.mark.parametrize("target", ["value", "flag", "kind"])
def test_it_predicts_the_weighted_mean_of_its_members(combined, target):
    _, last, paths = combined(target)
    assert last.status is Status.COMPLETED, last.error
    model = load_model(Path(last.result.model_path))
    rows = [dict(row) for row in model.content["golden"]["rows"]]
    told = last.result.report["members"]["ensemble"]
    assert sum(one["weight"] for one in told) == pytest.approx(1.0, abs=1e-5)
    expected = sum(load_model(Path(paths[one["job_id"]])).values(rows).double() * one["weight"] for one in told)
    torch.testing.assert_close(model.values(rows).double(), expected, rtol=1e-4, atol=1e-5)
    assert {"train", "validation", "test", "baseline"} <= set(last.result.metrics)


@pytest.mark.parametrize("target", ["value", "flag", "kind"])
def test_it_is_exported_as_any_model(combined, target):
    job, last, _ = combined(target, [NETWORKS[1], TREES])
    assert not any("is left out" in log.message for log in job.reported(Log))
    model = load_model(Path(last.result.model_path))
    assert to_onnx(model)  # compared with the original inside
    again = from_safetensors(to_safetensors(model))
    rows = [dict(row) for row in model.content["golden"]["rows"]]
    assert torch.equal(again.values(rows), model.values(rows))


def test_numbers_have_intervals(combined):
    _, last, _ = combined("value", NETWORKS[:2])
    model = load_model(Path(last.result.model_path))
    found = model.predict([dict(row) for row in model.content["golden"]["rows"]], interval=0.5)
    assert all(low < value < high for value, (low, high) in zip(found, found.intervals, strict=True))


def test_it_may_be_chosen_by_a_metric(combined):
    _, last, _ = combined("flag", NETWORKS[:2], monitor="accuracy")
    assert last.status is Status.COMPLETED


def test_a_model_that_reads_columns_in_another_way_is_left_out(combined):
    job, last, _ = combined("value", [NETWORKS[0], {"kind": "linear"}])
    assert [one["job_id"] for one in last.result.report["members"]["ensemble"]] == ["job_0"]
    assert any("job_1 is left out" in log.message for log in job.reported(Log))


def test_without_a_model_it_fails_in_words(new_job, table):
    job = new_job(table("value"), dataset="value", model={"kind": "ensemble", "jobs": ["gone"]}, **FIELDS)
    last = job.attempt(members=(("gone", "/nowhere/gone.pt"),))
    assert last.status is Status.FAILED
    assert last.error.code == "invalid_spec"


def test_it_is_the_same_when_it_is_made_again(combined):
    _, one, _ = combined("value", NETWORKS[:2])
    _, other, _ = combined("value", NETWORKS[:2])
    assert one.result.weights_digest == other.result.weights_digest
    assert np.isfinite(one.result.metrics["validation"]["rmse"])
