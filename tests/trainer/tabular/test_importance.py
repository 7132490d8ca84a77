"""A column that the target is made of matters; one that it is not does not."""

import numpy as np
import pytest

from traind.data.prepare import prepare
from traind.trainer.model.model import load_model
from traind.trainer.tabular.importance import importance


@pytest.mark.parametrize("target", ["value", "flag"])
def test_what_the_target_is_made_of_comes_first(target, models):
    path, file = models[target]
    model, prepared = load_model(path), prepare((file.path, "csv"))
    found = importance(model, prepared.train)
    assert found["metric"] == ("rmse" if target == "value" else "log_loss")
    columns = [one["column"] for one in found["columns"]]
    assert sorted(columns) == ["a", "b", "colour", "shop"]
    rises = [one["rise"] for one in found["columns"]]
    assert rises == sorted(rises, reverse=True)
    assert columns[0] == "a"
    assert rises[0] > 0


def test_it_says_the_same_each_time_and_leaves_the_rows_alone(models):
    path, file = models["value"]
    model, prepared = load_model(path), prepare((file.path, "csv"))
    before = np.array(prepared.validation.numeric)
    assert importance(model, prepared.validation) == importance(model, prepared.validation)
    assert np.array_equal(before, prepared.validation.numeric)


def test_too_dear_is_left_out(models):
    path, file = models["value"]
    model, prepared = load_model(path), prepare((file.path, "csv"))
    assert importance(model, prepared.train, budget=1.0) is None


def test_it_shows_that_the_job_is_alive(models):
    path, file = models["value"]
    beats = []
    importance(load_model(path), prepare((file.path, "csv")).validation, lambda: beats.append(1))
    assert len(beats) >= 4


def test_a_finished_job_reports_it_with_its_errors(new_job, table):
    report = new_job(table("kind"), dataset="kind", epochs=2, batch_size=16).attempt().result.report
    assert {one["column"] for one in report["importance"]["columns"]} == {"a", "b", "colour", "shop"}
    assert report["confusion"]["labels"] == ["high", "low", "mid"]
    assert sum(map(sum, report["confusion"]["counts"])) == report["rows"]["validation"]
    assert report["schema"]["target"] == "kind"
    assert report["parameters"] > 0
    report = new_job(table("value"), dataset="value", epochs=2, batch_size=16).attempt().result.report
    assert "0.5" in report["residuals"]
