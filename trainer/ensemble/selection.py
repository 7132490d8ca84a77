"""Greedy selection with replacement (Caruana et al., Ensemble selection from libraries of models, ICML 2004).

Begin with the best model alone; again and again add the one whose addition makes the mean of all best, the same one
as often as it helps. How often each was taken is its weight. Knows predictions, not models.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Predictions = NDArray[np.float64]  # (rows,) values, or (rows, classes) probabilities
Score = Callable[[Predictions, NDArray[np.int64]], float]  # of predictions of these rows; lower is better
ROUNDS = 40  # additions that are tried: the smallest share of a model is one in so many


def select(predicted: Sequence[Predictions], score: Score, rows: NDArray[np.int64]) -> dict[int, float]:
    """Return the share of each model that is taken, chosen on these rows; the shares add up to 1."""
    seen = [one[rows] for one in predicted]
    total = np.zeros_like(seen[0])
    taken: list[int] = []
    best, best_count = np.inf, 0
    for count in range(1, ROUNDS + 1):
        scores = [score((total + one) / count, rows) for one in seen]
        chosen = int(np.argmin(scores))
        taken.append(chosen)
        total = total + seen[chosen]
        if scores[chosen] < best:
            best, best_count = scores[chosen], count
    return {number: times / best_count for number, times in sorted(Counter(taken[:best_count]).items())}


def blended(predicted: Sequence[Predictions], shares: dict[int, float], rows: NDArray[np.int64]) -> Predictions:
    """Return the weighted mean of the predictions of these rows."""
    mean: Predictions = np.sum([share * predicted[number][rows] for number, share in shares.items()], axis=0)
    return mean


def cross_predicted(predicted: Sequence[Predictions], score: Score, seed: int) -> Predictions:
    """Return what an ensemble predicts of each row that was chosen on the other half of the rows: an honest look."""
    count = len(predicted[0])
    order = np.random.default_rng(seed).permutation(count)
    halves = np.sort(order[: count // 2]), np.sort(order[count // 2 :])
    found = np.empty_like(predicted[0])
    for here, there in (halves, halves[::-1]):
        found[there] = blended(predicted, select(predicted, score, here), there)
    return found
