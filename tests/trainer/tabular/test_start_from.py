"""A job that starts from another one's checkpoint: the same bits where nothing is changed."""

import csv
import hashlib
import os
import random
import shutil
from pathlib import Path

import msgspec
import pytest

from traind.trainer.contract.control import Verb
from traind.trainer.contract.events import Checkpoint, Epoch, Log, State, Status
from traind.trainer.contract.spec import DatasetFile, TrainSpec

KINDS = (
    {"kind": "linear"},
    {"kind": "mlp", "hidden": [16]},
    {"kind": "tabm", "hidden": [16], "k": 2},
    {"kind": "auto"},
)
PLACES = int(os.environ.get("TRAIND_START_PLACES", "4"))  # in `make faults` 20


def child_of(new_job, parent, path, file=None, keep="all", **changes):
    """Make a job that starts from a checkpoint of another, as the service does."""
    start = {"job_id": "parent", "keep": keep}
    fields = msgspec.to_builtins(parent.spec) | {"start_from": start} | changes
    child = new_job(file or parent.dataset)
    child.spec = msgspec.convert(fields, TrainSpec)
    folder = child.root / "attempt-0"
    folder.mkdir(parents=True)
    for ending in (".pt", ".json"):
        shutil.copy(path.with_suffix(ending), folder / f"checkpoint-000001{ending}")
    child.attempts.append(folder)
    child.job_id = "child"
    return child


@pytest.mark.parametrize("model", KINDS, ids=lambda model: model["kind"])
def test_with_nothing_changed_it_makes_the_parents_model_from_wherever_it_starts(new_job, table, model):
    fields = {"dataset": "flag", "epochs": 4, "batch_size": 16, "model": model, "seed": 3}
    whole = new_job(table("flag"), **fields).attempt()
    draw = random.Random(1)
    for _ in range(PLACES):
        parent = new_job(table("flag"), **fields)
        parent.attempt(Verb.PAUSE, at=draw.randrange(2, 22))
        child = child_of(new_job, parent, newest(parent))
        if draw.random() < 0.5:
            child.attempt(Verb.LEAVE, at=draw.randrange(2, 10))
        last = child.attempt()
        assert last.status is Status.COMPLETED, last.error
        assert last.result.weights_digest == whole.result.weights_digest
        assert last.result.metrics == whole.result.metrics
        assert last.result.best_epoch == whole.result.best_epoch


def test_from_the_end_it_makes_the_same_model_at_once_and_more_epochs_go_on(new_job, table):
    parent = new_job(table("value"), dataset="value", epochs=4, batch_size=16, schedule="constant")
    made = parent.attempt()
    same = child_of(new_job, parent, newest(parent)).attempt()
    assert same.result.weights_digest == made.result.weights_digest
    longer = child_of(new_job, parent, newest(parent), epochs=7)
    last = longer.attempt()
    assert [event.epoch for event in longer.reported(Epoch)] == [5, 6, 7]
    whole = new_job(table("value"), dataset="value", epochs=7, batch_size=16, schedule="constant").attempt()
    assert last.result.weights_digest == whole.result.weights_digest


def test_weights_alone_begin_anew(new_job, table):
    parent = new_job(table("value"), dataset="value", epochs=4, batch_size=16)
    made = parent.attempt()
    child = child_of(new_job, parent, newest(parent), keep="weights", epochs=2, lr=1e-9, weight_decay=0.0)
    last = child.attempt()
    assert [event.epoch for event in child.reported(Epoch)] == [1, 2]
    assert all(event.resumed_from_step is None for event in child.reported(State))
    before, after = made.result.metrics["validation"]["rmse"], last.result.metrics["validation"]["rmse"]
    assert after == pytest.approx(before, rel=1e-3)
    assert last.result.report["recipe"]["lr"] == 1e-9


@pytest.mark.parametrize("keep", ["all", "weights"])
def test_new_rows_are_encoded_as_the_parents_and_what_drifted_is_told(new_job, table, tmp_path, keep):
    parent = new_job(table("value"), dataset="value", epochs=3, batch_size=16, model={"kind": "mlp", "hidden": [16]})
    parent.attempt()
    encoder = parent.checkpoint()["state"]["model"]["encoder"]
    moved = shifted(table("value"), tmp_path)
    fields = {"file": moved, "dataset": "moved", "epochs": 5, "keep": keep}
    child = child_of(new_job, parent, newest(parent), **fields)
    child.attempt(Verb.LEAVE, at=6)
    last = child.attempt()
    assert last.status is Status.COMPLETED, last.error
    assert child.checkpoint()["state"]["model"]["encoder"] == encoder
    drift = {one["column"]: one for one in last.result.report["drift"]}
    assert drift["b"]["distance"] > 1.0
    assert drift["colour"]["unseen"] > 10
    assert drift["a"]["distance"] < 0.25
    told = [event.message for event in child.reported(Log)]
    assert any("'colour' has drifted" in message for message in told)
    assert any("'b' has drifted" in message for message in told)
    straight = child_of(new_job, parent, newest(parent), **fields).attempt()
    assert straight.result.weights_digest == last.result.weights_digest


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 9},
        {"batch_size": 8},
        {"monitor": "r2"},
        {"lr": 0.5},
        {"validation": {"fraction": 0.4}},
        {"patience": 1},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_may_differ_differs_and_a_kill_changes_nothing(new_job, table, changes):
    parent = new_job(table("value"), dataset="value", epochs=6, batch_size=16)
    parent.attempt(Verb.PAUSE, at=10)
    straight = child_of(new_job, parent, newest(parent), **changes).attempt()
    assert straight.status is Status.COMPLETED, straight.error
    unchanged = child_of(new_job, parent, newest(parent)).attempt()
    if set(changes) - {"monitor", "patience"}:
        assert straight.result.weights_digest != unchanged.result.weights_digest
    cut = child_of(new_job, parent, newest(parent), **changes)
    cut.attempt(Verb.LEAVE, at=5)
    assert cut.attempt().result.weights_digest == straight.result.weights_digest


def test_what_is_best_is_judged_anew_on_other_validation_rows_or_by_another_monitor(new_job, table):
    parent = new_job(table("value"), dataset="value", epochs=6, batch_size=16, patience=None)
    parent.attempt(Verb.PAUSE, at=14)
    assert any(event.is_best for event in parent.reported(Epoch))
    for changes in ({"validation": {"seed": 5}}, {"monitor": "mae"}):
        child = child_of(new_job, parent, newest(parent), lr=1e-9, **changes)
        child.attempt()
        assert child.reported(Epoch)[0].is_best
    same = child_of(new_job, parent, newest(parent), lr=50.0)
    same.attempt()
    assert not same.reported(Epoch)[0].is_best


def test_a_damaged_start_fails_and_never_begins_from_nothing(new_job, table):
    parent = new_job(table("value"), dataset="value", epochs=3, batch_size=16)
    parent.attempt()
    child = child_of(new_job, parent, newest(parent))
    (child.root / "attempt-0/checkpoint-000001.pt").write_bytes(b"nothing")
    assert child.attempt().error.code == "checkpoint_damaged"


def newest(job):
    """Return the newest checkpoint's file."""
    return Path(job.reported(Checkpoint)[-1].path)


def shifted(file, folder):
    """Return a table like another, a number of it moved and a category new."""
    lines = [line.split(",") for line in Path(file.path).read_text().splitlines()]
    rows = [
        [a, "" if b == "" else float(b) + 20, "violet" if place % 3 == 0 else colour, shop, value]
        for place, (a, b, colour, shop, value) in enumerate(lines[1:])
    ]
    path = folder / "moved.csv"
    with path.open("w", newline="") as made:
        csv.writer(made).writerows([lines[0], *rows])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return DatasetFile("moved", digest, str(path), "csv", path.stat().st_size)
