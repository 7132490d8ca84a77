"""Metrics are what the field calls by these names."""

import math

import numpy as np
import pytest

from traind.trainer.tabular.metrics import baseline, classification, confusion, measure, regression, residuals

DRAW = np.random.default_rng(0)


def test_regression():
    found = regression(np.array([1.0, 2.0, 5.0]), np.array([1.0, 4.0, 4.0]))
    assert found["rmse"] == pytest.approx(math.sqrt(5 / 3))
    assert found["mae"] == pytest.approx(1.0)
    assert found["r2"] == pytest.approx(1 - 5 / 6)


def test_r2_of_a_constant_target_is_not_defined():
    assert regression(np.zeros(3), np.ones(3))["r2"] is None


def test_binary_by_hand():
    second = np.array([0.9, 0.6, 0.4, 0.2, 0.4])
    found = classification(np.stack([1 - second, second], 1), np.array([1, 0, 1, 0, 0]))
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert found["f1"] == pytest.approx(1 / 2)  # one hit, two chosen, two actual
    assert found["auc"] == pytest.approx((3 + 1 + 0.5) / 6)  # a tie counts half
    assert found["log_loss"] == pytest.approx(-np.log([0.9, 0.4, 0.4, 0.8, 0.6]).mean())


def test_auc_is_the_share_of_pairs_in_order():
    score, actual = DRAW.integers(0, 20, 300) / 20, DRAW.random(300) < 0.3
    ahead = (score[actual][:, None] > score[~actual]).mean() + (score[actual][:, None] == score[~actual]).mean() / 2
    found = classification(np.stack([1 - score, score], 1), actual.astype(np.int64))
    assert found["auc"] == pytest.approx(ahead)


def test_of_more_classes_f1_and_auc_are_means_over_those_that_occur():
    probabilities = np.eye(4)[[0, 1, 1, 0]] * 0.97 + 0.0075
    found = classification(probabilities, np.array([0, 1, 1, 1]))
    assert found["f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert found["auc"] == pytest.approx((5 / 6 + 5 / 6) / 2)


def test_one_class_alone_has_no_auc():
    assert classification(np.array([[0.2, 0.8]]), np.array([1]))["auc"] is None


def test_a_certain_mistake_costs_much_but_not_infinitely():
    assert classification(np.array([[1.0, 0.0]]), np.array([1]))["log_loss"] == pytest.approx(-math.log(1e-15))


def test_no_mistake_costs_nothing_and_not_minus_nothing():
    found = classification(np.array([[1.0, 0.0]]), np.array([0]))["log_loss"]
    assert (found, math.copysign(1.0, found)) == (0.0, 1.0)


def test_lost_probabilities_are_seen():
    assert math.isnan(classification(np.array([[math.nan, math.nan]]), np.array([1]))["log_loss"])


def test_the_baseline_knows_only_the_training_target():
    found = baseline(np.array([1.0, 3.0]), np.array([2.0, 4.0]), 0)
    assert found == pytest.approx({"rmse": math.sqrt(2), "mae": 1.0, "r2": -1.0})
    classes = baseline(np.array([0, 0, 1]), np.array([0, 1]), 2)
    assert classes["accuracy"] == 0.5
    assert classes["auc"] == 0.5
    assert classes["log_loss"] == pytest.approx(-(math.log(2 / 3) + math.log(1 / 3)) / 2)


@pytest.mark.parametrize(("classes", "seed"), [(2, 0), (2, 1), (3, 2), (7, 3), (40, 4)])
def test_the_baseline_of_classes_is_measured_as_predictions_of_their_shares(classes, seed):
    draw = np.random.default_rng(seed)
    train, target = draw.integers(0, classes, 60), draw.integers(0, classes - seed % 2, 30)
    shares = np.bincount(train, minlength=classes) / len(train)
    assert baseline(train, target, classes) == pytest.approx(measure(np.tile(shares, (30, 1)), target))
    assert baseline(train, np.zeros(4, np.int64), classes)["auc"] is None


def test_values_and_classes_are_told_apart_by_shape():
    assert set(measure(np.zeros(2), np.ones(2))) == {"rmse", "mae", "r2"}
    assert set(measure(np.full((2, 2), 0.5), np.array([0, 1]))) == {"accuracy", "f1", "auc", "log_loss"}


def test_confusion_counts_actual_by_predicted():
    assert confusion(np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]), np.array([0, 0, 1])) == [[1, 1], [0, 1]]


def test_confusion_of_very_many_classes_is_cut():
    assert len(confusion(np.eye(200), np.arange(200))) == 50


def test_residuals_are_prediction_minus_target():
    found = residuals(np.arange(101.0), np.zeros(101))
    assert (found["0.05"], found["0.5"], found["0.95"]) == (5.0, 50.0, 95.0)
