import math
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traind.data.table.cell_text import boolean_of, canonical_number, number_of, text_of

NUMBER_LIKE = st.text(alphabet="0123456789+-.eE_naifNAIF?, \t#/<>l", max_size=9)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("  x y ", "x y"),
        (" ? ", None),
        ("NaN", None),
        ("N/A", None),
        ("None", "None"),
        ("NaT", None),
        ("Nat", "Nat"),
        (True, "true"),
        (7, "7"),
        (2**70, str(2**70)),
        (0.1, "0.1"),
        (math.nan, None),
        (math.inf, "inf"),
        (date(2014, 10, 13), "2014-10-13"),
        (Decimal("1.50"), "1.50"),
        (np.float32(0.5), "0.5"),
        (np.float64(98103.0), "98103.0"),
        (np.int64(3), "3"),
    ],
)
def test_a_value_is_the_cell_that_a_csv_file_would_hold(value: Any, text: str | None) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize("value", [[1], {"a": 1}, b"x", object()])
def test_what_no_cell_holds_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"a cell holds"):
        text_of(value)


@pytest.mark.parametrize(
    ("text", "number"), [("+1.5e3", 1500.0), (".5", 0.5), ("1_000", None), ("٣", None), ("0x1A", None), ("1,5", None)]
)
def test_numbers_are_what_a_csv_file_means_by_them(text: str, number: float | None) -> None:
    assert number_of(text) == number


def test_words_for_nothing_are_missing_numbers() -> None:
    assert all(math.isnan(number_of(text) or 0.0) for text in ("none", "-", "Unknown", "--"))


@given(texts=st.lists(NUMBER_LIKE, min_size=1, max_size=30))
def test_polars_and_python_read_every_number_alike(texts: list[str]) -> None:
    stripped = [text for cell in texts if (text := text_of(cell)) is not None]
    for text, found in zip(
        stripped, pl.Series(stripped, dtype=pl.String).cast(pl.Float64, strict=False), strict=True
    ):
        number = number_of(text)
        assert (found is None or math.isnan(found)) if number is None or math.isnan(number) else found == number, text


@given(number=st.floats(allow_nan=False))
def test_every_float_survives_the_way_through_text(number: float) -> None:
    text = text_of(number)
    assert text is not None
    assert number_of(text) == number
    assert number_of(canonical_number(text)) == number


def test_spellings_of_a_number_have_one_canonical_form() -> None:
    assert {canonical_number(text) for text in ("7", "7.0", "+7", "07", "7e0")} == {"7"}
    assert canonical_number("7a") == "7a"


def test_booleans_are_words() -> None:
    assert [boolean_of(text) for text in ("True", "NO", "1", "0.0", "maybe")] == [True, False, True, False, None]
