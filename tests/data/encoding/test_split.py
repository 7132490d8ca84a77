from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traind.data.columns.request import Split
from traind.data.encoding.split import Parts, split
from traind.data.errors import BadTable
from traind.data.table.arrays import codes_of


def parts(kind: Any, n: int, labels: Any = None, by: Any = None, **how: Any) -> Parts:
    return split(Split(kind=kind, **how), n, labels, by)


def together(found: Parts) -> list[int]:
    return sorted(np.concatenate([found.train, found.validation, found.test]).tolist())


@given(
    n=st.integers(20, 500),
    fraction=st.floats(0.1, 0.5),
    test_fraction=st.sampled_from([0.0, 0.15, 0.3]),
    seed=st.integers(0, 2**63 - 1),
)
def test_every_row_is_in_one_part_of_the_asked_size(n: int, fraction: float, test_fraction: float, seed: int) -> None:
    found = parts("random", n, fraction=fraction, test_fraction=test_fraction, seed=seed)
    assert together(found) == list(range(n))
    assert abs(len(found.validation) - n * fraction) <= 1
    assert abs(len(found.test) - n * test_fraction) <= 1


def test_the_seed_alone_decides() -> None:
    one, same, other = (parts("random", 100, seed=seed) for seed in (1, 1, 2))
    assert (one.validation == same.validation).all()
    assert not np.array_equal(one.validation, other.validation)
    assert (np.diff(one.train) > 0).all()


def test_more_rows_for_testing_leave_those_for_training() -> None:
    found = parts("random", 1_000, test_fraction=0.2)
    assert [len(found.train), len(found.validation), len(found.test)] == [600, 200, 200]


@given(counts=st.lists(st.integers(1, 60), min_size=2, max_size=6), seed=st.integers(0, 99))
def test_each_class_is_spread_evenly(counts: list[int], seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    if len(labels) < 10:
        return
    found = parts("auto", len(labels), labels, seed=seed)
    assert together(found) == list(range(len(labels)))
    for label, count in enumerate(counts):
        in_training = int((labels[found.train] == label).sum())
        assert in_training >= 1
        assert abs(in_training - 0.8 * count) < 2 + len(counts) / 2


@pytest.mark.parametrize("seed", range(20))
def test_a_class_of_two_rows_is_trained_on_and_validated(seed: int) -> None:
    labels = np.array([0] * 1_990 + [1] * 8 + [2] * 2)
    found = parts("auto", len(labels), labels, seed=seed)
    assert {*labels[found.train]} == {*labels[found.validation]} == {0, 1, 2}
    assert together(found) == list(range(len(labels)))


def test_time_keeps_the_newest_rows_for_last() -> None:
    time = np.array([5.0, 1.0, np.nan, 4.0, 2.0, 3.0, 9.0, 8.0, 7.0, 6.0])
    found = parts("time", 10, by=time, test_fraction=0.2)
    assert sorted(time[found.test]) == [8.0, 9.0]
    assert sorted(time[found.validation]) == [6.0, 7.0]
    assert 2 in found.train


def test_texts_are_ordered_by_what_they_say() -> None:
    numbers = codes_of(["10", "9", "8", "1", "2", "3", "4", "5", "6", "7"])
    assert parts("time", 10, by=numbers).validation.tolist() == [0, 1]
    words = codes_of(["b", "a", "d", "c", "e"])
    assert parts("time", 5, by=words).validation.tolist() == [4]


@given(groups=st.lists(st.integers(0, 30), min_size=50, max_size=200), seed=st.integers(0, 99))
def test_a_group_is_never_torn(groups: list[int], seed: int) -> None:
    by = codes_of([f"g{group}" for group in groups])
    if len(by.levels) < 3:
        return
    found = parts("group", len(groups), by=by, seed=seed, fraction=0.3, test_fraction=0.2)
    seen = [set(np.array(groups)[rows]) for rows in (found.train, found.validation, found.test)]
    assert not seen[0] & seen[1]
    assert not seen[1] & seen[2]
    assert not seen[0] & seen[2]


def test_an_empty_part_is_an_error() -> None:
    with pytest.raises(BadTable, match="no rows are left for validation: 3 rows"):
        parts("random", 3, fraction=0.1)
    with pytest.raises(BadTable, match="no rows are left for"):
        parts("group", 50, by=codes_of(["same"] * 50))
    with pytest.raises(BadTable, match="a split by time needs a column"):
        parts("time", 50)
