"""What mattered in a study: among all trials, or those of the kinds of models that have a field."""

import msgspec
import pytest

pytest.importorskip("optuna")

from traind.trainer.search.importance import Request, Row, divergences, importance_request
from traind.trainer.search.suggest import Axis

LR = {"name": "lr", "kind": "float", "low": 1e-4, "high": 1e-1, "log": True}
WIDTH = {"name": "model.width", "kind": "choice", "count": 3}
LEAVES = {"name": "model.leaves", "kind": "int", "low": 1, "high": 9}
MODEL = {"name": "model", "kind": "choice", "count": 2}


def importance(axes, rows, among=None):
    return importance_request({"axes": axes, "rows": rows, "direction": "minimize", "among": among or {}})


def test_importance_is_shares_of_one_and_tells_what_matters():
    rows = [[[10.0 ** (-4 + n % 7 / 2), n % 3, 1 + n % 9], float(n % 7), None] for n in range(40)]
    found = importance([LR, WIDTH, LEAVES], rows)
    assert sum(found.values()) == pytest.approx(1.0)
    assert max(found, key=found.get) == "lr"
    assert importance([LR, WIDTH, LEAVES], rows[:3]) == {}


def test_a_field_is_judged_among_the_trials_of_its_kind():
    """Every tree is better than every network: among all trials lr, which trees do not have, would decide nothing."""
    networks = [[[0.0, 10.0 ** (-4 + n % 7 / 2), 1 + n % 9], 10.0 + n % 7, "mlp"] for n in range(40)]
    trees = [[[1.0, 10.0 ** (-4 + n * 5 % 7 / 2), 1 + n % 9], float(n % 9), "trees"] for n in range(40)]
    among = {"lr": [["mlp"]], "model.leaves": [["trees"]]}
    found = importance([MODEL, LR, LEAVES], [*networks, *trees], among)
    assert sum(found.values()) == pytest.approx(1.0)
    alone = [
        importance([LR, LEAVES], [[point[1:], value, None] for point, value, _ in one]) for one in (networks, trees)
    ]
    assert alone[0]["lr"] > 0.9
    assert alone[1]["model.leaves"] > 0.9
    mixed = importance([MODEL, LR, LEAVES], [*networks, *trees])
    assert found["lr"] / found["model.leaves"] > 3 * mixed["lr"] / mixed["model.leaves"]


def test_a_field_of_too_few_trials_has_no_importance():
    networks = [[[0.0, 10.0 ** (-4 + n % 7 / 2), 1 + n % 9], 10.0 + n % 7, "mlp"] for n in range(20)]
    trees = [[[1.0, 0.01, 1 + n % 9], float(n % 9), "trees"] for n in range(3)]
    found = importance([MODEL, LR, LEAVES], [*networks, *trees], {"lr": [["mlp"]], "model.leaves": [["trees"]]})
    assert found.keys() == {"model", "lr"}


def test_a_field_of_two_kinds_is_judged_in_each():
    """What is best for networks is worst for trees: among all trials no rate would look better than another."""
    rates = [10.0 ** (-4 + n % 7 / 2) for n in range(42)]
    networks = [[[0.0, rate, 1 + n * 5 % 9], float(n % 7), "mlp"] for n, rate in enumerate(rates)]
    trees = [[[1.0, rate, 1 + n * 5 % 9], float(6 - n % 7), "trees"] for n, rate in enumerate(rates)]
    found = importance([MODEL, LR, LEAVES], [*networks, *trees], {"lr": [["mlp"], ["trees"]]})
    assert found["lr"] > 0.9


@pytest.mark.parametrize("trials", [7, 12, 51])
def test_trials_that_are_equally_good_do_not_make_a_field_count_more(trials):
    """A half of the trials are the best, since more cannot be told apart, where of distinct values a few are."""
    axes = msgspec.convert([MODEL], tuple[Axis, ...])
    equal = [Row([float(n % 2)], float(n % 2)) for n in range(trials)]
    distinct = [Row([float(n % 2)], trials * float(n % 2) + n) for n in range(trials)]
    found = [divergences(Request(axes, rows, "minimize", {}), rows)["model"] for rows in (equal, distinct)]
    assert found[0] == pytest.approx(found[1], rel=0.35)
