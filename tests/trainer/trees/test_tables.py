"""Leaves that are looked up are those that the products find: the sums are equal bit for bit."""

import lightgbm
import numpy as np
import pytest
import torch

from traind.trainer.trees.tables import MOST_COLUMNS
from traind.trainer.trees.tensors import ROUNDS_AT_ONCE, Trees, plain_columns, round_of, stacked

LEVELS = 9
PLAIN = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 5, "min_data_per_group": 5, "cat_smooth": 1.0}


def forest(columns, outputs, rounds, leaves):
    """Return trees on `columns` numbers and two categories, and rows with their thresholds, gaps and extremes."""
    draw = np.random.default_rng(columns)
    numeric = draw.normal(size=(500, columns)).astype(np.float32)
    categorical = draw.integers(0, LEVELS, size=(500, 2))
    value = numeric.sum(axis=1) + 9.0 * np.isin(categorical[:, 0], [1, 3, 5]) + numeric[:, 0] * categorical[:, 1]
    target = value if outputs == 1 else np.digitize(value, np.quantile(value, np.arange(1, outputs) / outputs))
    params = {**PLAIN, "num_leaves": leaves, "boost_from_average": False, "feature_fraction": 0.9}
    params |= {"objective": "regression"} if outputs == 1 else {"objective": "multiclass", "num_class": outputs}
    data = lightgbm.Dataset(np.hstack((numeric, categorical)), target, categorical_feature=[columns, columns + 1])
    trees = lightgbm.train(params, data, rounds).dump_model()["tree_info"]
    parts = [trees[first : first + outputs] for first in range(0, len(trees), outputs)]
    packed = stacked([round_of(one, leaves, columns, (LEVELS, LEVELS)) for one in parts], torch.full((outputs,), 0.1))
    is_number = (packed["features"] >= 0) & packed["thresholds"].isfinite()
    where, cuts = packed["features"][is_number], packed["thresholds"][is_number]
    rows = torch.from_numpy(draw.normal(size=(400, columns)).astype(np.float32))
    chosen = torch.arange(min(len(where), 300))
    rows[chosen, where[chosen].long().clamp(max=columns - 1)] = cuts[chosen]
    rows[300], rows[301], rows[302] = torch.nan, torch.inf, -torch.inf
    return packed, rows, torch.from_numpy(draw.integers(0, LEVELS, size=(400, 2)))


def by_products(trees, numeric, categorical):
    total = trees.base.expand(len(numeric), -1)
    for first in range(0, len(trees.features), ROUNDS_AT_ONCE):
        total = total + trees.block(plain_columns(numeric, categorical), categorical, first)
    return total


@pytest.mark.parametrize(
    ("columns", "outputs", "rounds", "leaves"),
    [(3, 1, 75, 31), (3, 1, 7, 2), (8, 3, 23, 31), (4, 26, 12, 15), (4, 90, 2, 5), (3, 1, 11, 40)],
)
def test_tables_find_the_leaves_that_products_find(columns, outputs, rounds, leaves):
    weights, numeric, categorical = forest(columns, outputs, rounds, leaves)
    trees = Trees(weights)
    expected = by_products(trees, numeric, categorical)
    for _ in range(2):
        assert torch.equal(trees(numeric, categorical), expected)
    assert len(trees(numeric[:0], categorical[:0])) == 0


def test_trees_on_more_columns_than_tables_are_for():
    weights, numeric, categorical = forest(MOST_COLUMNS + 100, 1, 40, 31)
    assert len(weights["features"].unique()) > MOST_COLUMNS
    trees = Trees(weights)
    assert torch.equal(trees(numeric, categorical), by_products(trees, numeric, categorical))


def test_trees_that_never_split():
    tree = [{"tree_structure": {"leaf_value": 0.25}}]
    trees = Trees(stacked([round_of(tree, 31, 2, ()), round_of(tree, 31, 2, ())], torch.zeros(1)))
    assert trees(torch.zeros(4, 2), torch.zeros(4, 0, dtype=torch.int64)).tolist() == [[0.5]] * 4
