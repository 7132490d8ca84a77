"""Greedy selection: better than its best member where they err apart, and no worse where they do not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traind.trainer.ensemble.selection import blended, cross_predicted, select

ROWS = 400


def models(count, seed=0):
    """A target, and predictions of it that each err on their own."""
    chance = np.random.default_rng(seed)
    target = chance.normal(size=ROWS)
    return target, [target + chance.normal(scale=0.5 + number / 4, size=ROWS) for number in range(count)]


def scorer(target):
    return lambda values, rows: float(((values - target[rows]) ** 2).mean())


def test_models_that_err_apart_are_better_together():
    target, predicted = models(6)
    score, rows = scorer(target), np.arange(ROWS)
    shares = select(predicted, score, rows)
    assert len(shares) > 2
    assert score(blended(predicted, shares, rows), rows) < 0.7 * min(score(one, rows) for one in predicted)
    assert shares[0] > shares.get(5, 0.0)


def test_a_model_that_is_right_is_taken_alone():
    target, predicted = models(3)
    assert select([*predicted, target], scorer(target), np.arange(ROWS)) == {3: 1.0}


@given(st.integers(1, 6), st.integers(0, 1_000))
def test_shares_are_of_one_and_never_worse_than_the_best(count, seed):
    target, predicted = models(count, seed)
    score, rows = scorer(target), np.arange(ROWS)
    shares = select(predicted, score, rows)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert score(blended(predicted, shares, rows), rows) <= min(score(one, rows) for one in predicted) + 1e-12


def test_the_score_that_is_told_is_honest_where_the_chosen_one_is_not():
    """Of many models that know nothing the best looks good on the rows it was chosen on, and on no others."""
    chance = np.random.default_rng(1)
    target = chance.normal(size=ROWS)
    predicted = [chance.normal(size=ROWS) * 0.3 for _ in range(200)]
    score, rows = scorer(target), np.arange(ROWS)
    chosen = score(blended(predicted, select(predicted, score, rows), rows), rows)
    honest = score(cross_predicted(predicted, score, seed=0), rows)
    knowing_nothing = float((target**2).mean())  # what the mean of all predicts
    assert chosen < 0.97 * knowing_nothing < knowing_nothing < honest


def test_each_row_is_predicted_by_a_choice_that_did_not_see_it():
    target, predicted = models(4)
    seen = []

    def score(values, rows):
        seen.append(frozenset(rows.tolist()))
        return scorer(target)(values, rows)

    cross_predicted(predicted, score, seed=3)
    first, second = dict.fromkeys(seen)
    assert first | second == set(range(ROWS))
    assert not first & second


def test_probabilities_are_averaged_row_by_row():
    chance = np.random.default_rng(2)
    predicted = [chance.dirichlet(np.ones(3), size=ROWS) for _ in range(3)]
    labels = predicted[1].argmax(axis=1)
    score = lambda values, rows: float(-np.log(values[np.arange(len(rows)), labels[rows]]).mean())  # noqa: E731
    mean = blended(predicted, select(predicted, score, np.arange(ROWS)), np.arange(ROWS))
    assert mean.sum(axis=1) == pytest.approx(np.ones(ROWS))
