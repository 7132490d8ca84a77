"""Probabilities that hold, and intervals that hold as often as they say: on rows that nothing was found on."""

import hashlib

import numpy as np
import pytest

from traind.trainer.contract.errors import SpecError
from traind.trainer.contract.spec import DatasetFile
from traind.trainer.model.intervals import bounds, kept_scores, least_scores, reach, scores_of
from traind.trainer.model.model import load_model
from traind.trainer.network.recipe import TargetScale
from traind.trainer.tabular.calibration import COLDEST, at_temperature, coverage, reliability, temperature
from traind.trainer.tabular.metrics import log_loss

SCALES = [TargetScale(), TargetScale(log=True, low=1e-3), TargetScale(root=True, low=0.0)]


def overconfident(rows, classes, by, seed=0):
    """Classes that occur as often as `right` says, and the probabilities of a model that is too sure by a factor."""
    draw = np.random.default_rng(seed)
    logs = draw.normal(size=(rows, classes))
    right = at_temperature(logs, 1.0)
    target = (draw.random(rows)[:, None] > right.cumsum(axis=1)).sum(axis=1)
    return at_temperature(logs, 1.0 / by), np.minimum(target, classes - 1)


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("by", [3.0, 0.5])
def test_the_temperature_undoes_too_much_and_too_little_certainty(classes, by):
    probabilities, target = overconfident(20_000, classes, by)
    found = temperature(probabilities, target)
    assert found == pytest.approx(by, rel=0.1)
    tempered = at_temperature(np.log(probabilities), found)
    assert log_loss(tempered, target) < log_loss(probabilities, target)
    errors = [reliability(one, target, 1.0)["expected_calibration_error"] for one in (probabilities, tempered)]
    assert errors[1] < errors[0] / 4


@pytest.mark.parametrize("rows", [50, 20_000])
def test_what_holds_already_and_what_is_too_little_is_left_as_it_is(rows):
    probabilities, target = overconfident(rows, 3, 1.0 if rows > 50 else 3.0)
    assert temperature(probabilities, target) == 1.0


def test_certainty_that_is_always_right_has_a_temperature_all_the_same():
    target = np.arange(1_000) % 2
    probabilities = np.where(np.arange(2) == target[:, None], 1.0, 0.0)
    assert temperature(probabilities, target) == 1.0
    assert COLDEST <= temperature(np.where(probabilities == 1.0, 0.9, 0.1), target) < 1.0


def test_bins_add_up():
    probabilities, target = overconfident(3_000, 4, 2.0)
    found = reliability(probabilities, target, 1.0)
    assert sum(one["rows"] for one in found["bins"]) == 3_000
    right = sum(one["rows"] * one["observed"] for one in found["bins"]) / 3_000
    assert right == pytest.approx((probabilities.argmax(axis=1) == target).mean())


def noisy(scale, rows, seed):
    draw = np.random.default_rng(seed)
    predicted = draw.uniform(1.0, 50.0, rows)
    off = draw.normal(0.0, 0.3, rows)
    if scale.log:
        return predicted, predicted * np.exp(off)
    return predicted, np.square(np.maximum(np.sqrt(predicted) + off, 0.0)) if scale.root else predicted + off


@pytest.mark.parametrize("scale", SCALES, ids=["plain", "log", "root"])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
def test_intervals_hold_as_many_new_rows_as_they_say(scale, level):
    kept = kept_scores(scores_of(*noisy(scale, 30_000, 1), scale))
    predicted, target = noisy(scale, 20_000, 2)
    low, high = bounds(predicted, reach(kept, level), scale)
    assert ((low <= target) & (target <= high)).mean() == pytest.approx(level, abs=0.012)
    told = {one["level"]: one["coverage"] for one in coverage(predicted, target, scale)}
    assert told[level] == pytest.approx(level, abs=0.012)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_too_few_scores_for_a_level_are_known_exactly(level):
    need = least_scores(level)
    assert reach(np.arange(float(need)), level) is not None
    assert reach(np.arange(float(need - 1)), level) is None


@pytest.fixture
def made(new_job, tmp_path):
    """A model of 3,000 rows of a noisy line, and 3,000 rows more of the same."""
    draw = np.random.default_rng(5)
    x = draw.normal(size=6_000)
    y = 10.0 + 2.0 * x + draw.normal(0.0, 1.0, 6_000)
    path = tmp_path / "line.csv"
    path.write_text("x,y\n" + "".join(f"{a:.6f},{b:.6f}\n" for a, b in zip(x[:3_000], y[:3_000], strict=True)))
    file = DatasetFile("line", hashlib.sha256(path.read_bytes()).hexdigest(), str(path), "csv", path.stat().st_size)
    last = new_job(file, dataset="line", target="y", epochs=6).attempt()
    return last.result, [{"x": a} for a in x[3_000:].tolist()], y[3_000:]


def test_a_models_intervals_hold_rows_that_it_never_saw(made, tmp_path):
    result, rows, actual = made
    model = load_model(result.model_path)
    found = np.array(model.predict(rows, interval=0.9).intervals)
    assert 0.87 < ((found[:, 0] <= actual) & (actual <= found[:, 1])).mean() < 0.93
    told = {one["level"]: one["coverage"] for one in result.report["intervals"]}
    assert told[0.9] == pytest.approx(0.9, abs=0.03)
    file, out = tmp_path / "rows.csv", tmp_path / "out.csv"
    file.write_text("x\n" + "".join(f"{row['x']!r}\n" for row in rows[:5]))
    model.predict_file(file, out, interval=0.9)
    lines = [line.split(",") for line in out.read_text().splitlines()]
    assert lines[0] == ["x", "prediction", "prediction_low", "prediction_high"]
    assert [[float(low), float(high)] for _, _, low, high in lines[1:]] == found[:5].tolist()


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0, float("nan"), 0.999_999])
def test_a_level_that_cannot_be_is_named(made, level):
    with pytest.raises(SpecError, match="interval") as refused:
        load_model(made[0].model_path).predict([{"x": 1.0}], interval=level)
    assert refused.value.field == "interval"


def test_classes_have_no_intervals(models):
    with pytest.raises(SpecError, match="classes have probabilities"):
        load_model(models["flag"][0]).predict([{"a": 0.0, "b": 1.0, "colour": "red", "shop": "1"}], interval=0.9)
