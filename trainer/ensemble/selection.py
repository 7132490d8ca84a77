"""Greedy selection with replacement (Caruana et al., Ensemble selection from libraries of models, ICML 2004).

Start with the best model; repeatedly add the model, possibly again, that makes the mean of all best. A model's weight
is how often it was added. Knows predictions, not models.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Predictions = NDArray[np.float64]  # (rows,) values, or (rows, classes) probabilities
Score = Callable[[Predictions, NDArray[np.int64]], float]  # score of predictions of these rows; lower is better
ROUNDS = 40  # additions tried: the smallest share is 1 / ROUNDS


def select(predicted: Sequence[Predictions], score: Score, rows: NDArray[np.int64]) -> dict[int, float]:
    """Return the share of each selected model, chosen on these rows; the shares add up to 1."""
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
    """Return predictions of each row by an ensemble selected on the other half of the rows (cross-validation)."""
    count = len(predicted[0])
    order = np.random.default_rng(seed).permutation(count)
    halves = np.sort(order[: count // 2]), np.sort(order[count // 2 :])
    found = np.empty_like(predicted[0])
    for here, there in (halves, halves[::-1]):
        found[there] = blended(predicted, select(predicted, score, here), there)
    return found
