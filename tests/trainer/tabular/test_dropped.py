"""A member that diverges is left out of the model, and that is said; one side of a blend that does is left out too.

Two validation rows weigh 3e38: who is trained on all rows diverges on them, and the monitor never sees them.
"""

import csv
import hashlib
import shutil
from pathlib import Path

import pytest
import torch
from msgspec import structs

from traind.data.prepare import Request, Split, prepare
from traind.trainer.contract.control import Verb
from traind.trainer.contract.events import Log, Status
from traind.trainer.contract.spec import BlendModel, DatasetFile, TrainSpec
from traind.trainer.model.assemble import assemble, without_dropped
from traind.trainer.model.export import from_safetensors, to_onnx, to_safetensors
from traind.trainer.model.model import load_model
from traind.trainer.network.objective import predictions
from traind.trainer.network.recipe import Facts, choose

FIELDS = {"weight": "w", "target": "value", "batch_size": 1, "epochs": 3, "patience": None}


@pytest.fixture
def heavy(table, tmp_path):
    """A table with weights of 1, and 3e38 for the validation rows with the smallest and the largest target."""
    plain = table("value")
    targets = prepare((plain.path, "csv"), Request(validation=Split())).validation.target
    ends = (min(targets), max(targets))
    path = tmp_path / "heavy.csv"
    with Path(plain.path).open(newline="") as file, path.open("w", newline="") as out:
        first, *rows = csv.reader(file)
        weights = ["3e38" if float(row[-1]) in ends else "1" for row in rows]
        assert weights.count("3e38") == 2
        csv.writer(out).writerows(
            [["w", *first], *([weight, *row] for weight, row in zip(weights, rows, strict=True))]
        )
    return DatasetFile("heavy", hashlib.sha256(path.read_bytes()).hexdigest(), str(path), "csv", path.stat().st_size)


@pytest.mark.parametrize("kind", ["auto", "blend", pytest.param("best", marks=pytest.mark.faults)])
def test_members_that_diverge_are_left_out_and_said(kind, heavy, new_job):
    job = new_job(heavy, dataset="heavy", model={"kind": kind}, **FIELDS)
    last = job.attempt()
    assert last.status is Status.COMPLETED, last
    parts = ["networks"] * (7 if kind == "best" else 1)
    members = last.result.report["members"]
    assert [one["part"] for one in members["dropped"]] == parts
    rows = last.result.report["rows"]
    whole = [rows["train"] + rows["validation"]] if kind == "blend" else []  # trees bear such weights
    assert members["training_rows"] == [rows["train"], *whole]
    assert members["measured"]["validation"] == ("monitor" if whole else "model")
    said = [log.message for log in job.reported(Log) if log.level == "warning"]
    assert len([message for message in said if "and is left out of the model" in message]) == len(parts)
    assert last.result.metrics["validation"]["r2"] > last.result.metrics["baseline"]["r2"]
    model = load_model(last.result.model_path)
    to_onnx(model)  # compares with the original
    rows = model.content["golden"]["rows"]
    assert torch.equal(from_safetensors(to_safetensors(model)).values(rows), model.values(rows))


def test_the_monitor_is_the_one_of_a_job_without_the_others(heavy, new_job):
    alone = new_job(heavy, dataset="heavy", model={"kind": "mlp", "hidden": [8]}, **FIELDS).attempt().result
    dropped = new_job(heavy, dataset="heavy", model={"kind": "mlp", "hidden": [8], "members": 3}, **FIELDS)
    found = dropped.attempt().result
    assert found.weights_digest == alone.weights_digest
    assert found.metrics == alone.metrics


@pytest.mark.parametrize("at", [5, 90, *(pytest.param(at, marks=pytest.mark.faults) for at in (2, 9, 17, 40))])
def test_a_job_that_is_interrupted_leaves_out_the_same(at, heavy, new_job):
    spec = {"dataset": "heavy", "model": {"kind": "mlp", "hidden": [8], "members": 2}, **FIELDS}
    whole = new_job(heavy, **spec).attempt().result
    job = new_job(heavy, **spec)
    assert job.attempt(Verb.LEAVE, at).status is Status.QUEUED
    last = job.attempt().result
    assert last.weights_digest == whole.weights_digest
    assert (last.metrics, last.report["members"]) == (whole.metrics, whole.report["members"])


@pytest.mark.parametrize("keep", ["all", "weights"])
def test_a_job_starts_from_one_that_left_a_member_out(keep, heavy, new_job):
    spec = {"dataset": "heavy", "model": {"kind": "mlp", "hidden": [8], "members": 2}, **FIELDS}
    parent = new_job(heavy, **spec)
    parent.attempt(Verb.PAUSE, 90)
    path = max(parent.attempts[-1].glob("checkpoint-*.pt"))
    assert load_model(path).content["architecture"]["members"] == 1
    whole = parent.attempt().result
    child = new_job(heavy, start_from={"job_id": "parent", "keep": keep}, **spec)
    child.job_id = "child"
    shutil.copytree(path.parent, child.root / "attempt-0")
    child.attempts.append(child.root / "attempt-0")
    last = child.attempt()
    assert last.status is Status.COMPLETED, last
    assert (last.result.weights_digest == whole.weights_digest) == (keep == "all")
    assert [one["member"] for one in last.result.report["members"]["dropped"]] == [2]


@pytest.mark.parametrize("interrupted", [None, 130])
def test_networks_that_diverge_are_left_out_of_a_blend(interrupted, table, new_job):
    fields = {"lr": 100.0, "optimizer": "sgd", "epochs": 4, "batch_size": 16}
    job = new_job(table("value"), dataset="value", model={"kind": "blend"}, **fields)
    if interrupted:
        assert job.attempt(Verb.LEAVE, interrupted).status is Status.QUEUED
    last = job.attempt()
    assert last.status is Status.COMPLETED, last
    assert load_model(last.result.model_path).content["architecture"]["kind"] == "trees"
    assert [one["part"] for one in last.result.report["members"]["dropped"]] == ["networks"]
    assert last.result.report["members"]["dropped"][0]["member"] is None
    assert "the model is of the trees alone" in last.result.best_note
    assert any("networks are left out of the blend" in log.message for log in job.reported(Log))


def test_trees_that_were_left_out_of_a_blend_do_not_count():
    recipe = choose(TrainSpec(model=BlendModel()), Facts("regression", 100))
    heads = torch.tensor([[[1.0], [2.0], [9.0]]])  # two networks, and the monitor's trees
    share = structs.replace(recipe, networks_share=0.5, tree_members=1)
    assert predictions(share, heads).tolist() == [5.25]
    assert predictions(structs.replace(share, tree_members=None), heads).tolist() == [3.25]


def test_a_member_of_trees_that_diverged_leaves_a_forest_of_the_others(table, new_job):
    path = new_job(table("value"), dataset="value", model={"kind": "trees"}, epochs=1).attempt().result.model_path
    content = load_model(path).content
    kept = {name: tensor for name, tensor in content["weights"].items() if not name.startswith("members.1.")}
    architecture, weights = without_dropped(content["architecture"], kept)
    assert (architecture["members"], weights.keys()) == (1, kept.keys())
    assert len(assemble(architecture, weights).members) == 1


def test_networks_that_diverge_alone_fail_the_job(table, new_job):
    fields = {"lr": 100.0, "optimizer": "sgd", "epochs": 4, "batch_size": 16}
    last = new_job(table("value"), dataset="value", **fields).attempt()
    assert (last.status, last.error.code) == (Status.FAILED, "diverged")
