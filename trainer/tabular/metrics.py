"""The metrics of predictions, and those of a baseline that knows only the target.

Computed in float64 numpy on whole splits. Classes are numbers from 0; probabilities have the shape (rows, classes).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from traind.data.table.magnitude import exponent_of, mean_and_deviation

Floats = NDArray[np.float64]
Classes = NDArray[np.int64]
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
CONFUSION_CLASSES = 50  # more would be a page of zeros


def measure(predicted: NDArray[Any], target: NDArray[Any]) -> dict[str, float | None]:
    """Return the metrics of values (rows,) or of probabilities (rows, classes). None: not defined on these rows."""
    if predicted.ndim == 1:
        return regression(predicted.astype(np.float64), target.astype(np.float64))
    return classification(predicted.astype(np.float64), target.astype(np.int64))


def regression(predicted: Floats, target: Floats) -> dict[str, float | None]:
    """Return `rmse`, `mae`, `r2`; r2 is None where the target does not vary."""
    exponent = exponent_of(predicted, target)
    if exponent:
        predicted, target = np.ldexp(predicted, -exponent), np.ldexp(target, -exponent)
    error = predicted - target
    spread = float(((target - target.mean()) ** 2).sum())
    return {
        "rmse": float(np.ldexp(np.sqrt((error**2).mean()), exponent)),
        "mae": float(np.ldexp(np.abs(error).mean(), exponent)),
        "r2": 1.0 - float((error**2).sum()) / spread if spread > 0.0 else None,
    }


def classification(probabilities: Floats, target: Classes) -> dict[str, float | None]:
    """Return `accuracy`, `f1`, `auc`, `log_loss`.

    For two classes, f1 and auc are the second one's; for more, the means over the classes that occur (macro, one
    against the rest).
    """
    classes = probabilities.shape[1]
    chosen = probabilities.argmax(axis=1)
    counted = [1] if classes == 2 else [int(one) for one in np.unique(target)]
    aucs = [auc(probabilities[:, one], target == one) for one in counted]
    known = [value for value in aucs if value is not None]
    return {
        "accuracy": float((chosen == target).mean()),
        "f1": float(np.mean([f1(chosen == one, target == one) for one in counted])),
        "auc": float(np.mean(known)) if known else None,
        "log_loss": log_loss(probabilities, target),
    }


def log_loss(probabilities: Floats, target: Classes) -> float:
    """Return the mean negative log-likelihood of the true class; a probability of 0 counts as 1e-15."""
    right = probabilities[np.arange(len(target)), target]
    return 0.0 - float(np.log(np.maximum(right, 1e-15)).mean()) if np.isfinite(right).all() else float("nan")


def f1(chosen: NDArray[np.bool_], actual: NDArray[np.bool_]) -> float:
    """Return the harmonic mean of precision and recall; 0 without a true positive."""
    hits = int((chosen & actual).sum())
    return 2.0 * hits / (int(chosen.sum()) + int(actual.sum())) if hits else 0.0


def auc(score: Floats, actual: NDArray[np.bool_]) -> float | None:
    """Return the chance that a row of the class scores above another row, ties half; None without both kinds.

    By ranks: Mann and Whitney (1947).
    """
    positives = int(actual.sum())
    negatives = len(actual) - positives
    if not positives or not negatives:
        return None
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    ranks = (last - (counts - 1) / 2.0)[place]
    return float((ranks[actual].sum() - positives * (positives + 1) / 2.0) / (positives * negatives))


def baseline(train: NDArray[Any], target: NDArray[Any], classes: int) -> dict[str, float | None]:
    """Return the metrics on `target` of predicting the mean of `train`, or its shares of each class."""
    if not classes:
        return measure(np.full(len(target), mean_and_deviation(np.asarray(train, dtype=np.float64))[0]), target)
    shares = np.bincount(train, minlength=classes) / len(train)
    usual, occurring = int(shares.argmax()), np.unique(target)
    counted = [1] if classes == 2 else [int(one) for one in occurring]
    return {
        "accuracy": float((target == usual).mean()),
        "f1": float(np.mean([f1(np.full(len(target), one == usual), target == one) for one in counted])),
        "auc": 0.5 if len(occurring) > 1 else None,  # the same score for every row
        "log_loss": float(-np.log(np.maximum(shares[target], 1e-15)).mean()),
    }


def residuals(predicted: Floats, target: Floats) -> dict[str, float]:
    """Return quantiles of prediction minus target."""
    values = np.quantile(predicted - target, QUANTILES)
    return {f"{quantile:g}": float(value) for quantile, value in zip(QUANTILES, values, strict=True)}


def confusion(probabilities: Floats, target: Classes) -> list[list[int]]:
    """Return counts[actual][predicted] of the first `CONFUSION_CLASSES` classes."""
    classes = min(probabilities.shape[1], CONFUSION_CLASSES)
    counts = np.zeros((classes, classes), dtype=np.int64)
    chosen = probabilities.argmax(axis=1)
    shown = (chosen < classes) & (target < classes)
    np.add.at(counts, (target[shown], chosen[shown]), 1)
    rows: list[list[int]] = counts.tolist()
    return rows
