"""Trees as tensors say what the library that grew them says, on any rows."""

import lightgbm
import numpy as np
import pytest
import torch

from traind.trainer.trees.tensors import ROUNDS_AT_ONCE, Trees, cut, round_of, stacked

ROWS, LEVELS = 600, 9
PLAIN = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 5, "min_data_per_group": 5, "cat_smooth": 1.0}


def table(seed, rows=ROWS):
    draw = np.random.default_rng(seed)
    numeric = draw.normal(size=(rows, 3)).astype(np.float32)
    numeric[:, 1] = np.round(numeric[:, 1])  # ties
    return numeric, draw.integers(0, LEVELS, size=(rows, 2))


def grown(classes, rounds, categories, leaves=15):
    numeric, categorical = table(0)
    value = numeric[:, 0] + 2.0 * np.isin(categorical[:, 0], [1, 3, 5]) + numeric[:, 1] * (categorical[:, 1] > 4)
    target = value if classes == 1 else np.digitize(value, np.quantile(value, [0.3, 0.7]))
    params = {**PLAIN, "objective": "regression" if classes == 1 else "multiclass", "num_leaves": leaves}
    params |= {"num_class": 1 if classes == 1 else 3, "boost_from_average": False}
    columns = np.concatenate((numeric, categorical), axis=1)
    data = lightgbm.Dataset(columns, target, categorical_feature=[3, 4] if categories else [])
    booster = lightgbm.train(params, data, rounds)
    outputs = params["num_class"]
    trees = booster.dump_model()["tree_info"]
    packed = [
        round_of(trees[first : first + outputs], leaves, 3, (LEVELS, LEVELS))
        for first in range(0, len(trees), outputs)
    ]
    return booster, packed, torch.zeros(outputs)


@pytest.mark.parametrize("rounds", [1, ROUNDS_AT_ONCE, 3 * ROUNDS_AT_ONCE + 1])
@pytest.mark.parametrize("categories", [False, True])
@pytest.mark.parametrize("classes", [1, 3])
def test_they_say_what_the_library_says(classes, categories, rounds):
    booster, packed, base = grown(classes, rounds, categories)
    numeric, categorical = table(1)
    expected = booster.predict(np.concatenate((numeric, categorical), axis=1), raw_score=True).reshape(ROWS, -1)
    found = Trees(stacked(packed, base))(torch.from_numpy(numeric), torch.from_numpy(categorical))
    assert np.abs(found.numpy() - expected).max() < 1e-5
    assert (len(packed[-1]["sets"]) > 0) == categories


def test_values_on_a_threshold_go_the_same_way():
    booster, packed, base = grown(1, 20, categories=False)
    cuts = sorted(
        node["threshold"]
        for tree in booster.dump_model()["tree_info"]
        for node in splits(tree["tree_structure"])
        if node["split_feature"] == 0
    )
    near = np.array([np.float32(cut) for cut in cuts])
    values = np.concatenate([near, np.nextafter(near, np.float32(-9)), np.nextafter(near, np.float32(9))])
    numeric = np.zeros((len(values), 3), np.float32)
    numeric[:, 0] = values
    categorical = np.zeros((len(values), 2), np.int64)
    expected = booster.predict(np.concatenate((numeric, categorical), axis=1), raw_score=True)
    found = Trees(stacked(packed, base))(torch.from_numpy(numeric), torch.from_numpy(categorical))
    assert np.abs(found.numpy()[:, 0] - expected).max() < 1e-5


def splits(node):
    if "split_feature" in node:
        yield node
        yield from splits(node["left_child"])
        yield from splits(node["right_child"])


@pytest.mark.parametrize("rounds", [1, ROUNDS_AT_ONCE - 1, ROUNDS_AT_ONCE, 2 * ROUNDS_AT_ONCE + 3])
def test_what_is_cut_is_put_together_again(rounds):
    _, packed, base = grown(3, rounds, categories=True)
    whole = stacked(packed, base)
    pieces = cut(whole)
    assert [len(piece["turns"]) for piece in pieces[: rounds // ROUNDS_AT_ONCE]] == [10] * (rounds // ROUNDS_AT_ONCE)
    again = stacked(pieces, base)
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[name], again[name]) for name in whole)
