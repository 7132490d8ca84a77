"""Suggestions follow from the record, the seed and the trial's number, and from nothing that a process remembers."""

import math
import random

import pytest

from traind.trainer.search import suggest

AXES = [
    {"name": "lr", "kind": "float", "low": 1e-4, "high": 1e-1, "log": True},
    {"name": "hidden", "kind": "choice", "count": 3},
    {"name": "depth", "kind": "int", "low": 1, "high": 9},
]
TRIALS = 24


def asked(rows, wanted, **more):
    request = {
        "study_id": "one",
        "axes": AXES,
        "rows": rows,
        "wanted": wanted,
        "direction": "minimize",
        "sampler": "tpe",
        "pruner": "median",
        "seed": 3,
        "is_parallel": False,
    }
    return suggest.advance_request(request | more)


def curve(point):
    """What a trial of a known landscape reports after each of its epochs."""
    end = (math.log10(point[0]) + 2) ** 2 + 0.1 * point[1] + 0.01 * point[2]
    return [end + 1 / epoch for epoch in range(1, 7)]


def study(*, forgets, **more):
    """Make a study, trial after trial; `forgets` before each call where that says so."""
    rows = []
    for _ in range(TRIALS):
        if forgets():
            suggest._known.clear()
        point = asked(rows, 1, **more)["points"][0]
        if forgets():
            suggest._known.clear()
        values = curve(point)
        pruned = dict(asked([*rows, [point, "COMPLETE", values[-1], values, True]], 0, **more)["pruned"])
        if (epoch := pruned.get(len(rows))) is not None:
            rows.append([point, "PRUNED", None, values[:epoch], False])
        else:
            rows.append([point, "COMPLETE", values[-1], values, False])
    return rows


@pytest.mark.parametrize("pruner", ["median", "halving", "none"])
@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_process_that_forgets_suggests_and_prunes_the_same(pruner, sampler):
    whole = study(forgets=lambda: False, pruner=pruner, sampler=sampler)
    chance = random.Random(1)
    assert study(forgets=lambda: chance.random() < 0.4, pruner=pruner, sampler=sampler) == whole
    assert any(row[1] == "PRUNED" for row in whole) == (pruner != "none")


def test_another_seed_makes_another_study():
    assert study(forgets=lambda: False, seed=4) != study(forgets=lambda: False)


def test_the_search_finds_what_is_good():
    rows = study(forgets=lambda: False, pruner="none")
    best = min(rows, key=lambda row: row[2])
    assert best[2] < sorted(row[2] for row in rows[:10])[2]
    assert abs(math.log10(best[0][0]) + 2) < 0.5


def test_epochs_that_come_one_by_one_are_pruned_where_they_would_be_at_once():
    rows = study(forgets=lambda: False)
    point = [1e-4, 2, 9]
    values = curve(point)
    ((number, epoch),) = asked([*rows, [point, "COMPLETE", values[-1], values, True]], 0)["pruned"]
    assert number == len(rows)
    suggest._known.clear()
    for seen in range(1, epoch + 1):
        found = asked([*rows, [point, "RUNNING", None, values[:seen], True]], 0)["pruned"]
        assert found == ([(number, epoch)] if seen == epoch else [])


def test_a_failed_trial_teaches_nothing_and_stops_nothing():
    rows = [[[1e-3, 0, 1], "FAIL", None, [], False]] * 12
    assert len(asked(rows, 2)["points"]) == 2


def test_a_suggestion_that_was_never_recorded_is_made_again():
    rows = study(forgets=lambda: False)
    first = asked(rows, 1)["points"]
    assert asked(rows, 1)["points"] == first


@pytest.mark.parametrize("is_parallel", [False, True])
def test_a_study_begins_where_it_is_told_and_learns_from_that(is_parallel):
    first, more = [3e-3, 1, 5], {"first": [3e-3, 1, 5], "is_parallel": is_parallel}
    suggest._known.clear()
    points = asked([], 3, **more)["points"]
    assert points[0] == first
    suggest._known.clear()
    rows = [[first, "COMPLETE", 0.5, [], False]]
    (second,) = asked(rows, 1, **more)["points"]
    suggest._known.clear()
    assert asked([], 1, **more)["points"] == [first]
    assert asked(rows, 1, **more)["points"] == [second] != [first]


def test_points_stay_in_the_space():
    for row in study(forgets=lambda: False, sampler="random"):
        lr, hidden, depth = row[0]
        assert 1e-4 <= lr <= 1e-1
        assert hidden in (0, 1, 2)
        assert depth in range(1, 10)


def test_a_maximised_metric_is_maximised():
    rows = [[[0.01 + 0.001 * n, n % 3, 1 + n % 9], "COMPLETE", float(n % 3), [], False] for n in range(30)]
    points = asked(rows, 20, direction="maximize", pruner="none")["points"]
    assert sum(point[1] == 2 for point in points) > 10


def test_a_kind_of_model_is_pruned_among_its_own():
    """Trees begin far worse than networks and end as good: they are compared with trees."""

    def row(kind, begins):
        values = [begins / epoch for epoch in range(1, 9)]
        return [[float(kind), 0.1], "COMPLETE", values[-1], values, False]

    axes = [{"name": "model", "kind": "choice", "count": 2}, AXES[0]]
    rows = [row(0, 1.0 + 0.01 * n) for n in range(8)]

    def pruned(kind, begins):
        point, state, value, values, _ = row(kind, begins)
        request = {"axes": axes, "kinds": 0, "study_id": f"{kind} {begins}"}
        return asked([*rows, [point, state, value, values, True]], 0, **request)["pruned"]

    assert pruned(0, 9.0)
    assert not pruned(1, 9.0)  # the first of its kind
    rows += [row(1, 9.0 + 0.01 * n) for n in range(6)]
    assert not pruned(1, 8.0)
    assert pruned(1, 12.0)


def test_the_median_judges_no_trial_by_its_first_epochs():
    rows = [[point, "COMPLETE", 1.0, [1.0] * 6, False] for point in asked([], 8)["points"]]
    point = asked(rows, 1)["points"][0]
    for seen, is_pruned in ((1, False), (2, False), (3, True)):
        suggest._known.clear()
        found = asked([*rows, [point, "RUNNING", None, [9.0] * seen, True]], 0)["pruned"]
        assert [one[1] for one in found] == ([3] if is_pruned else []), seen
