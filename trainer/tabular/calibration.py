"""Calibration: the temperature of probabilities, their reliability, the coverage of intervals.

Computed in float64 numpy on validation rows, which the monitor was not trained on.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from traind.trainer.model.intervals import Scale, bounds, kept_scores, reach, scores_of
from traind.trainer.tabular.metrics import Classes, Floats, log_loss

LEAST_ROWS = 200  # for a temperature
LEAST_GAIN = 0.001  # share of the log loss on rows that the temperature was not fitted on
COLDEST, HOTTEST = 0.1, 10.0
HALVINGS = 30
BINS = 10
LEVELS = (0.5, 0.8, 0.9, 0.95)
TINY = 1e-15


def temperature(probabilities: NDArray[Any], target: Classes) -> float:
    """Return the temperature, by which the logarithms of the probabilities are divided; 1.0 where it does not help.

    Temperature scaling: Guo et al., On Calibration of Modern Neural Networks (2017). It helps if the temperature
    fitted on each half of the rows lowers the log loss of the other half.
    """
    logs = np.log(np.maximum(probabilities.astype(np.float64), TINY))
    halves = (slice(0, None, 2), slice(1, None, 2))
    if len(target) < LEAST_ROWS:
        return 1.0
    for found_on, tried_on in (halves, halves[::-1]):
        tempered = at_temperature(logs[tried_on], _best(logs[found_on], target[found_on]))
        before = log_loss(np.exp(logs[tried_on]), target[tried_on])
        if not log_loss(tempered, target[tried_on]) < before * (1.0 - LEAST_GAIN):
            return 1.0
    return _best(logs, target)


def at_temperature(logs: Floats, degrees: float) -> Floats:
    """Return the softmax of `logs / degrees`, of shape (rows, classes)."""
    scaled = logs / degrees
    raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    found: Floats = raised / raised.sum(axis=1, keepdims=True)
    return found


def _best(logs: Floats, target: Classes) -> float:
    """Return the temperature with the lowest log loss, which is convex in its inverse, by bisection of the slope."""
    right = logs[np.arange(len(target)), target].mean()
    low, high = np.log(COLDEST), np.log(HOTTEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        expected = (at_temperature(logs, float(np.exp(middle))) * logs).sum(axis=1).mean()
        if expected > right:  # the loss falls with rising temperature
            low = middle
        else:
            high = middle
    return float(np.exp((low + high) / 2))


def reliability(probabilities: NDArray[Any], target: Classes, degrees: float) -> dict[str, Any]:
    """Return the expected calibration error and its bins of equal width in probability.

    For two classes: the second one's probability against its frequency. For more: the predicted class's probability
    against the share of right predictions.
    """
    if probabilities.shape[1] == 2:
        probability, is_so = probabilities[:, 1].astype(np.float64), target == 1
    else:
        probability, is_so = probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == target
    place = np.minimum((probability * BINS).astype(int), BINS - 1)
    bins, error = [], 0.0
    for one in np.unique(place).tolist():
        inside = place == one
        rows, predicted, observed = int(inside.sum()), float(probability[inside].mean()), float(is_so[inside].mean())
        error += rows / len(target) * abs(predicted - observed)
        bins.append({"from": one / BINS, "rows": rows, "predicted": predicted, "observed": observed})
    return {"expected_calibration_error": error, "temperature": degrees, "bins": bins}


def coverage(predicted: NDArray[Any], target: NDArray[Any], scale: Scale) -> list[dict[str, float]]:
    """Return, for some levels, the share of the rows within their intervals, and the median width.

    Each half of the rows is measured with intervals made from the other half.
    """
    halves = (slice(0, None, 2), slice(1, None, 2))
    found = []
    for level in LEVELS:
        held, widths = [], []
        for made_on, tried_on in (halves, halves[::-1]):
            kept = kept_scores(scores_of(predicted[made_on], target[made_on], scale))
            if (length := reach(kept, level)) is None:
                break
            low, high = bounds(predicted[tried_on], length, scale)
            held.append((low <= target[tried_on]) & (target[tried_on] <= high))
            widths.append(high - low)
        else:
            share, width = float(np.concatenate(held).mean()), float(np.median(np.concatenate(widths)))
            found.append({"level": level, "coverage": share, "median_width": width})
    return found
