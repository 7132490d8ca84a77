import numpy as np
import pytest

from traind.data.columns.distinct import coded, count_distinct, text_of_number

RNG = np.random.default_rng(0)
N = 100_000
COLUMNS = {
    "normal": RNG.normal(size=N),
    "rounded": RNG.normal(size=N).round(4),
    "money": RNG.lognormal(8, 2, N).round(2),
    "thirds": np.arange(N) / 3,
    "large": RNG.integers(0, 10**12, N) * 1.0,
    "zeros": np.where(RNG.random(N) < 0.5, 0.0, -0.0),
    "infinite": np.where(RNG.random(N) < 0.5, np.inf, RNG.normal(size=N)),
}


@pytest.mark.parametrize("values", COLUMNS.values(), ids=COLUMNS.keys())
def test_distinct_numbers_are_counted_within_a_percent(values: np.ndarray) -> None:
    assert count_distinct(values) == pytest.approx(len(np.unique(values)), rel=0.01)


def test_few_and_whole_numbers_are_counted_exactly() -> None:
    assert count_distinct(COLUMNS["normal"][:5_000]) == 5_000
    whole = RNG.integers(-9_000, 9_000, N) * 1.0
    assert count_distinct(whole) == len(np.unique(whole))
    assert count_distinct(np.empty(0)) == 0


def test_numbers_are_coded_by_how_often_they_are() -> None:
    found = coded(np.array([7.0, np.nan, 2.5, 7.0, -1.0]))
    assert (found.levels, found.codes.tolist()) == (("7", "-1", "2.5"), [0, -1, 2, 0, 1])
    found = coded(np.array([98103.0, 98001.0, 98103.0, np.nan]))
    assert (found.levels, found.codes.tolist()) == (("98103", "98001"), [0, 1, 0, -1])
    assert coded(np.array([np.nan])).levels == ()


def test_whole_numbers_are_written_without_a_point() -> None:
    assert [text_of_number(number) for number in (3.0, -0.5, 1e300)] == ["3", "-0.5", "1e+300"]
