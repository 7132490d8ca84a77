"""What decides which epoch is best: the loss on the validation rows, or a metric that the spec names."""

import csv
import hashlib
from dataclasses import replace as changed

import pytest

from traind.trainer.contract.control import Verb
from traind.trainer.contract.events import Epoch, Log, Status
from traind.trainer.contract.metrics import OF_TASK, VAL_LOSS, is_higher_better, monitors
from traind.trainer.contract.spec import DatasetFile
from traind.trainer.tabular.loop import FitState

TARGETS = {"value": "regression", "flag": "binary", "kind": "multiclass"}
EVERY = [(target, monitor) for target, task in TARGETS.items() for monitor in monitors(task)]


def numbers(event):
    return {**event.metrics, VAL_LOSS: event.val_loss}


@pytest.mark.parametrize(("target", "monitor"), EVERY)
def test_the_monitor_decides_and_the_models_numbers_are_those_of_the_best_epoch(new_job, table, target, monitor):
    job = new_job(table(target), dataset=target, epochs=8, batch_size=16, patience=None, monitor=monitor, lr=0.02)
    last = job.attempt()
    epochs = job.reported(Epoch)
    assert last.status is Status.COMPLETED
    assert {event.monitor for event in epochs} == {monitor}
    sign = -1.0 if is_higher_better(monitor) else 1.0
    scores = [sign * numbers(event)[monitor] for event in epochs]
    assert [event.is_best for event in epochs] == [
        all(score < earlier for earlier in scores[:place]) for place, score in enumerate(scores)
    ]
    best = 1 + scores.index(min(scores))
    assert last.result.best_epoch == best
    assert last.result.metrics["validation"] == numbers(epochs[best - 1])
    assert last.result.best_note is None


def test_the_models_numbers_are_the_best_epochs_where_means_are_predicted(new_job, tmp_path):
    job = new_job(noisy_prices(tmp_path), dataset="prices", epochs=4, batch_size=64)
    last = job.attempt()
    best = job.reported(Epoch)[last.result.best_epoch - 1]
    assert last.result.report["recipe"]["target_scale"]["factor"] > 1.0
    assert last.result.metrics["validation"] == numbers(best)


def test_accuracy_never_stands_without_the_majoritys(new_job, table):
    job = new_job(table("kind"), dataset="kind", epochs=2, batch_size=16)
    last = job.attempt()
    assert last.result.metrics["baseline"].keys() == last.result.metrics["validation"].keys() - {VAL_LOSS}
    assert [event.baseline for event in job.reported(Epoch)] == [last.result.metrics["baseline"]] * 2
    told = [event.message for event in job.reported(Log) if event.message.startswith("accuracy of always saying")]
    assert told[0].endswith(f": {last.result.metrics['baseline']['accuracy']:.4g}")


def test_a_resumed_job_says_the_same_baseline(new_job, table):
    job = new_job(table("value"), dataset="value", epochs=3, batch_size=16, patience=None)
    job.attempt(Verb.PAUSE, at=12)
    last = job.attempt()
    found = [event.baseline for event in job.reported(Epoch)]
    assert found == [last.result.metrics["baseline"]] * 3
    assert found[0].keys() == {"rmse", "mae", "r2"}


def test_early_stopping_waits_for_the_monitor(new_job, table):
    job = new_job(table("flag"), dataset="flag", epochs=60, batch_size=16, patience=3, monitor="auc", lr=0.05)
    job.attempt()
    epochs = job.reported(Epoch)
    best = max(event.epoch for event in epochs if event.is_best)
    assert len(epochs) == min(60, best + 3)


def test_going_on_compares_with_the_best_from_before(new_job, table):
    fields = {"dataset": "value", "epochs": 6, "batch_size": 16, "monitor": "r2", "patience": None}
    whole, parts = new_job(table("value"), **fields), new_job(table("value"), **fields)
    whole.attempt()
    parts.attempt(Verb.PAUSE, at=12)
    parts.attempt()
    expected = [(event.epoch, event.is_best, numbers(event)) for event in whole.reported(Epoch)]
    assert [(event.epoch, event.is_best, numbers(event)) for event in parts.reported(Epoch)] == expected


def test_a_stop_before_the_first_epoch_ended_says_what_the_model_is(new_job, table):
    job = new_job(table("value"), dataset="value", epochs=6, batch_size=16)
    last = job.attempt(Verb.STOP, at=4)
    assert last.status is Status.STOPPED
    assert last.result.best_epoch is None
    assert "No epoch ended" in last.result.best_note


def test_a_metric_of_another_task_is_refused_by_field(new_job, table):
    failed = new_job(table("value"), dataset="value", epochs=2, monitor="auc").attempt()
    assert failed.error.code == "invalid_spec"
    assert failed.error.details[0]["loc"] == "monitor"
    assert "val_loss, rmse, mae, r2" in failed.error.message


def test_a_metric_that_the_validation_rows_do_not_define_is_refused(new_job, tmp_path):
    rows = [["t", "x", "flag"], *([day, day % 7, "yes" if day < 80 and day % 2 else "no"] for day in range(100))]
    file = written(tmp_path / "late.csv", rows)
    split = {"kind": "time", "column": "t", "fraction": 0.2}
    failed = new_job(file, dataset="late", epochs=2, monitor="auc", validation=split).attempt()
    assert (failed.error.code, failed.error.details[0]["loc"]) == ("invalid_spec", "monitor")
    assert "auc is not defined on the validation rows" in failed.error.message


def test_a_checkpoint_from_before_there_were_monitors_was_decided_by_the_loss():
    assert FitState(epochs=3).monitor == VAL_LOSS
    assert changed(FitState(epochs=3), monitor="r2").monitor == "r2"


def test_every_metric_has_its_direction():
    assert {name for names in OF_TASK.values() for name in names} == {
        *("rmse", "mae", "log_loss"),
        *(name for name in ("r2", "accuracy", "f1", "auc") if is_higher_better(name)),
    }


def noisy_prices(folder):
    """Prices over three orders of magnitude with much noise: their logarithms are learned, and means are higher."""
    import math
    import random

    draw = random.Random(3)
    rows = []
    for _ in range(800):
        size = draw.gauss(0, 1)
        rows.append([round(size, 4), round(math.exp(2 * size + draw.gauss(0, 1.2) + 5), 2)])
    return written(folder / "prices.csv", [["size", "price"], *rows])


def written(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return DatasetFile(path.stem, digest, str(path), "csv", path.stat().st_size)
