"""A column comes out the same whichever columns stand beside it."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from traind.data.columns.column_kind import decide
from traind.data.columns.loading import cells_of
from traind.data.columns.profile import Profile, profile
from traind.data.columns.reading_of import Marks
from traind.data.reading.formats import parse_format
from traind.data.reading.raw_table import RawTable
from traind.data.table.arrays import Cells, Codes, Mixed
from traind.data.table.schema import Override
from traind.data.table.texts import Memory, Whole

ROWS = 12
MONTHS = st.sampled_from(["Jan", "feb", "March", "Oct."])
TWO = st.integers(1, 31).map("{:02}".format)
YEAR = st.integers(1990, 2039).map(str)
NUMBER = st.integers(-999, 99_999).map(str)
FRACTION = st.decimals(0, 9_999, places=2).map(str)


def joined(form: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return texts of this form."""
    return st.tuples(*parts).map(lambda found: form.format(*found))


KINDS = [
    joined("{}-{}-{}", YEAR, TWO, TWO),
    joined("{}T{}:{}Z", st.dates().map(str), TWO, TWO),
    joined("{}-{}-{}", TWO, MONTHS, TWO),
    joined("{}.{}.{}, {}:{}", TWO, TWO, YEAR, TWO, TWO),
    joined("{}/{}/{}", TWO, TWO, YEAR),
    joined("{}-{}", YEAR, TWO),
    joined("Q{} {}", st.sampled_from("1234"), YEAR),
    joined(
        "{}{}{}", st.sampled_from(["$", "€", "", "(", "\u2212"]), FRACTION, st.sampled_from(["K", "M", " kg", ")"])
    ),
    joined("{},{}", st.integers(1, 999).map(str), st.integers(100, 999).map(str)),
    joined("{}.{},{}", st.integers(1, 999).map(str), st.integers(100, 999).map(str), TWO),
    joined("{}.{}", st.integers(1, 999).map(str), st.integers(100, 999).map(str)),
    joined("{}{}", NUMBER, st.sampled_from([" GB", " TB", "%", "+", " kmpl", " km/kg", "/5"])),
    joined("{}h {}m", TWO, TWO),
    joined("{}:{}{}", TWO, st.integers(10, 59).map(str), st.sampled_from(["", ".5", ":07", " pm"])),
    joined("{}'{}\"", st.sampled_from("456"), st.integers(0, 11).map(str)),
    NUMBER,
    FRACTION,
    st.integers(0, 999).map("{:03}".format),
    joined("{}{}", st.integers(1, 300).map(str), st.sampled_from(["a", "b", ""])),
    joined("{}{}", st.sampled_from("AB"), TWO),
    st.sampled_from(["low", "high", "none", "-", "n/a", "", "0000-00-00", "inf", "True", "7" * 70]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=8),
]
COLUMN = st.lists(st.sampled_from(KINDS), min_size=1, max_size=2).flatmap(
    lambda kinds: st.lists(st.one_of(kinds), min_size=ROWS, max_size=ROWS)
)


@given(columns=st.lists(COLUMN, min_size=2, max_size=8), mark=st.sampled_from([None, ","]))
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_columns_are_read_together_as_they_are_one_by_one(columns: list[list[str]], mark: str | None) -> None:
    cells = {f"c{place}": column for place, column in enumerate(columns)}
    together = profiles(cells)
    for name, column in cells.items():
        (alone,) = profiles({name: column}).values()
        for override in (None, "numeric", "datetime", "duration"):
            assert read(together[name], override, mark) == read(alone, override, mark)


def profiles(columns: dict[str, list[str]]) -> dict[str, Profile]:
    """Return the profiles of these columns of a CSV file."""
    cells = {name: pl.Series(name, [text or None for text in texts], pl.String) for name, texts in columns.items()}
    return profile(RawTable(cells, ROWS, Path("a.csv"), parse_format("csv")), lambda _: False)


def read(facts: Profile, override: Override | None, mark: str | None) -> list[Any]:
    """Return what is decided about a column, and its cells."""
    column = decide(facts, override, marks=Marks(mark))
    if facts.cells is None:
        return [column]
    cells, bad = cells_of(facts, column)
    return [column, facts.levels, facts.missing_words, *plain(cells), None if bad is None else bad.tolist()]


def plain(cells: Cells) -> list[Any]:
    """Return cells as values that compare equal where they are."""
    if isinstance(cells, Codes):
        return cells.texts()
    if isinstance(cells, Mixed):
        return [*plain(cells.numbers), *plain(cells.words)]
    return [None if np.isnan(value) else value for value in cells.tolist()]


def test_only_the_latest_results_are_kept() -> None:
    memory, reads = Memory(), list[int]()

    def sizes(whole: Whole) -> np.ndarray[Any, Any]:
        reads.append(len(whole))
        return whole.series().str.len_bytes().to_numpy()

    many = [Whole([[str(number) for number in range(start, start + 1_200_000)]], memory) for start in (0, 2 * 10**6)]
    for whole in (many[0], many[0], many[1], many[0]):
        (texts,) = whole.parts()
        assert texts.of(sizes).sum() == whole.series().str.len_bytes().sum()
    assert len(reads) == 3
