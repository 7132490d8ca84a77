"""Numbers as people write them, in training and in prediction."""

import math
import string
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traind.data.errors import BadTable
from traind.data.predict_input import table_from
from traind.data.prepare import Request, prepare
from traind.data.table.number_columns import are_units, read_all
from traind.data.table.number_style import FoundStyle, find_style
from traind.data.table.numbers import CLOCK, Style, legacy_style, read
from traind.data.table.texts import texts_of

STYLES = [
    Style(".", ","),
    Style(",", "."),
    Style(".", ",", {"$": 1.0, "k": 1e3, "M": 1e6, "months": 1.0}),
    Style(clock="h:m"),
    Style(clock="m:s"),
    Style(has_spans=True),
    Style(has_feet=True),
    Style(units={"M views": 1e6, "/5": 1.0, '"': 1.0, "+": 1.0}),
]


def styled(*texts: str, decimal: str | None = None) -> FoundStyle | None:
    return find_style(texts_of(texts), np.ones(len(texts), np.int64), decimal=decimal)


@pytest.mark.parametrize(
    ("text", "mark", "number"),
    [
        ("$1,234.50", "$", 1234.5),
        ("-$5", "$", -5.0),
        ("$ -5", "$", -5.0),
        ("US$7", "US$", 7.0),
        ("7 EUR", "EUR", 7.0),
        ("12.5 %", "%", 12.5),
        ("(300)", "", -300.0),
        ("1,234,567", "", 1234567.0),
        ("36 months", "month", 36.0),
        ("1 month", "month", 1.0),
        ("07:30", CLOCK, 27_000.0),
        ("1:02:03.5", CLOCK, 3723.5),
        ("5", "$", 5.0),
        ("5 kg", "$", None),
        ("1,23", "", None),
        ("(300", "", None),
        ("007", "", None),
        ("10+ years", "year", None),
        ("SKU-7", "", None),
        ("", "", None),
    ],
)
def test_models_of_one_mark_read_as_they_did(text: str, mark: str, number: float | None) -> None:
    assert read(text, legacy_style(mark, has_decimal_comma=False)) == number


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (("812", "1.3K", "15K"), [812, 1_300, 15_000]),
        (("€110.5M", "€565K", "€0"), [110.5e6, 565e3, 0]),
        (("$5", "€7", "3"), [5, 7, 3]),
        (("512 GB", "1 TB"), [512e9, 1e12]),
        (("15M", "3M"), [15e6, 3e6]),
        (("9h 56m", "45m", "2h"), [35_760, 2_700, 7_200]),
        (("2 days 3 hours", "1 day"), [183_600, 86_400]),
        (("1:43.821", "59.321"), [103.821, 59.321]),
        (("59:30", "1:02:03"), [3_570, 3_723]),
        (("07:30", "23:59"), [27_000, 86_340]),
        (("18.30.00", "00.00.01"), [66_600, 1]),
        (("1 yrs 2 mon", "0yrs 11mon", "3 years"), [36_817_200, 28_927_800, 94_672_800]),
        (("204", "41,879", "12,842"), [204, 41_879, 12_842]),
        (("1,234,567.5", "1"), [1_234_567.5, 1]),
        (("1.234.567,5", "1"), [1_234_567.5, 1]),
        (("1.234.567", "2.000"), [1_234_567, 2_000]),
        (("173,44", "1125,63"), [173.44, 1_125.63]),
        (("1 234 567", "12"), [1_234_567, 12]),
        (("1\u202f234,5", "12"), [1_234.5, 12]),
        (("1'234.5", "12"), [1_234.5, 12]),
        (("12,34,567", "5,000"), [1_234_567, 5_000]),
        (("\u22124.8", "3.5"), [-4.8, 3.5]),
        (("12.5 %", "3%"), [12.5, 3]),
        (("36 months", "1 month"), [36, 1]),
        (("1.5e3 kg", "2.5 kg"), [1_500, 2.5]),
        (("2 lbs", "1 kg"), [907.18474, 1_000]),
        (("1:05 PM", "12:30 am", "11:00am"), [47_100, 1_800, 39_600]),
        (("PT4M13S", "PT1H2M", "P1DT1S"), [253, 3_720, 86_401]),
        (("5'11\"", "6'", "6\u20320\u2033", "5 ft 7.5 in"), [71, 72, 72, 67.5]),
        (('72"', '68.5"'), [72, 68.5]),
        (("10,000+", "500+", "0"), [10_000, 500, 0]),
        (("4.1/5", "3 /5"), [4.1, 3]),
        (("4 \u2605", "5 \u2605"), [4, 5]),
        (("3.1M views", "900K views", "12 views"), [3.1e6, 9e5, 12]),
        (("74 bhp", "90.5 bhp"), [74, 90.5]),
    ],
)
def test_a_style_is_found_from_all_cells(texts: tuple[str, ...], numbers: list[float]) -> None:
    found = styled(*texts)
    assert found is not None
    assert (found.share, found.is_open) == (1.0, False)
    assert read_all(texts_of(texts), found.style) == pytest.approx(numbers)


@pytest.mark.parametrize(
    "texts", [("1. White", "2. Black"), ("SKU-7", "SKU-8"), ("2018-19", "2009-10"), ("AA12", "B7"), ("007", "008")]
)
def test_names_are_no_numbers(texts: tuple[str, ...]) -> None:
    assert styled(*texts) is None


def test_units_of_different_kinds_are_told() -> None:
    found = styled("17.3 kmpl", "9 km/kg", "9.1 kmpl")
    assert found is not None
    assert found.clashing == ("kmpl", "km/kg")


def test_a_unit_alone_is_a_missing_number() -> None:
    style = Style(units={"bhp": 1.0})
    number = read("BHP", style)
    assert number is not None
    assert math.isnan(number)
    texts = texts_of(["bhp", "BHP", "hp", "7"])
    assert are_units(texts, style, read_all(texts, style)).tolist() == [True, True, False, False]


def test_what_the_cells_leave_open_is_said() -> None:
    found = styled("1,234", "1234", "204")
    assert found is not None
    assert found.is_open
    told = styled("1,234", "1234", "204", decimal=".")
    assert told is not None
    assert (told.is_open, read("1,234", told.style)) == (False, 1234.0)


@given(
    texts=st.lists(
        st.one_of(
            st.text(
                alphabet="0123456789.,' -+()$€%kMmhs:/\"\u2032\u2212\u00a0e" + string.ascii_letters[:4], max_size=12
            ),
            st.from_regex(r"-?[0-9]{1,3}([,. '][0-9]{3}){0,2}([.,][0-9]{1,3})? ?(k|M|months|\$)?", fullmatch=True),
            st.from_regex(r"([0-9] days? )?[0-9]{1,2}:[0-5][0-9](:[0-5][0-9])?([.,][0-9]{1,3})?", fullmatch=True),
            st.from_regex(r"P?T?([0-9]{1,2}h ?)?([0-9]{1,2}m ?)?([0-9]{1,2}s)?", fullmatch=True),
            st.from_regex(r"[0-9]{1,2}:[0-5][0-9] ?([AaPp]\.?[Mm]\.?)?", fullmatch=True),
            st.from_regex(r"[0-9]{1,2} ?('|ft) ?([0-9]{1,2}(\.[0-9])? ?(\"|in)?)?", fullmatch=True),
            st.from_regex(r"[0-9]{1,3}(\+| ?/ ?5|\"|M views)", fullmatch=True),
        ),
        min_size=1,
        max_size=20,
    ),
    style=st.sampled_from(STYLES),
)
@settings(deadline=None)
def test_one_cell_and_a_series_are_read_alike(texts: list[str], style: Style) -> None:
    texts = [text.strip() for text in texts]
    for text, found in zip(texts, read_all(texts_of(texts), style).tolist(), strict=True):
        number = read(text, style)
        assert math.isnan(found) if number is None else found == pytest.approx(number, rel=1e-12, nan_ok=True), text


def test_marked_numbers_are_read_alike_in_training_and_prediction(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("cost;size;area;y\n" + "".join(f"{i * 7 % 997},5 €;{i}.000;{i},5;{i}\n" for i in range(1, 300)))
    found = prepare((path, "csv"), Request(target="y", task="regression"))
    styles = [column.style for column in found.schema.columns]
    assert styles == [Style(",", ".", {"€": 1.0}), Style(",", "."), Style(",", "."), None]
    table = table_from([{"cost": "1.234,5 €", "size": "2.000", "area": "1,5"}], found.encoder)
    assert [float(table.numbers(name)[0]) for name in ("cost", "size", "area")] == [1234.5, 2000.0, 1.5]
    table = table_from([{"cost": 1234.5, "size": 2000, "area": 1.5}], found.encoder)
    assert [float(table.numbers(name)[0]) for name in ("cost", "size", "area")] == [1234.5, 2000.0, 1.5]
    assert found.samples[0]["size"] in {i * 1000.0 for i in range(300)}


def test_a_wrong_cell_among_marked_numbers_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("cost,y\n" + "".join(f"${i if i != 5_000 else 'five'},{i / 7}\n" for i in range(9_000)))
    with pytest.raises(BadTable, match="line 5002, column 'cost': '\\$five' is not a number"):
        prepare((path, "csv"), Request(target="y"))
