"""Intervals around predicted numbers with the stated coverage, by split conformal prediction.

Vovk et al., Algorithmic Learning in a Random World (2005); Lei et al., Distribution-Free Predictive Inference for
Regression (2018). A score is how far a prediction was off on a validation row, in the terms in which the target was
learned: of a target learned as its logarithm it is a ratio, so that large values get wide intervals. An interval of
level 0.9 reaches as far to both sides as nine of ten scores do. It holds for rows of the same kind as these.
"""

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

KEPT_SCORES = 10_000  # scores kept in a model file, evenly spaced if there are more
Floats = NDArray[np.float64]


class Scale(Protocol):
    """The target transform, a `TargetScale`."""

    @property
    def log(self) -> bool:
        """Whether its logarithm was learned."""

    @property
    def root(self) -> bool:
        """Whether its square root was learned."""

    @property
    def low(self) -> float:
        """The smallest target of the training rows."""


def scores_of(predicted: NDArray[np.generic], target: NDArray[np.generic], scale: Scale) -> Floats:
    """Return the absolute errors (rows,) after the target transform."""
    off: Floats = np.abs(_seen(predicted.astype(np.float64), scale) - _seen(target.astype(np.float64), scale))
    return off


def kept_scores(scores: Floats) -> Floats:
    """Return the scores in order, as many as a model file keeps."""
    ordered: Floats = np.sort(scores)
    if len(ordered) > KEPT_SCORES:
        ordered = ordered[np.linspace(0, len(ordered) - 1, KEPT_SCORES).round().astype(int)]
    return ordered


def reach(ordered: Floats, level: float) -> float | None:
    """Return the half width of an interval of that level, transformed; None with too few scores."""
    place = math.ceil((len(ordered) + 1) * level)
    return float(ordered[place - 1]) if place <= len(ordered) else None


def least_scores(level: float) -> int:
    """Return how many scores an interval of that level needs."""
    return math.ceil(level / (1.0 - level) - 1e-9)


def bounds(predicted: NDArray[np.generic], length: float, scale: Scale) -> tuple[Floats, Floats]:
    """Return the lower and upper ends of the intervals, (rows,) each, in the target's unit."""
    seen = _seen(predicted.astype(np.float64), scale)
    if scale.log:
        return np.exp(seen - length), np.exp(seen + length)
    if scale.root:
        return np.square(np.maximum(seen - length, 0.0)), np.square(seen + length)
    return seen - length, seen + length


def _seen(values: Floats, scale: Scale) -> Floats:
    if not (scale.log or scale.root):
        return values
    bounded = np.maximum(values, scale.low)
    found: Floats = np.log(bounded) if scale.log else np.sqrt(bounded)
    return found
