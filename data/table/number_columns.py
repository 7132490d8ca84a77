"""Numbers in columns of text, read in a style. Has the patterns of `numbers`."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traind.data.table.arrays import Codes, used_levels
from traind.data.table.cell_text import NOT_A_NUMBER
from traind.data.table.numbers import CLOCKS, DOTTED_CLOCK, FEET, SPAN, SPAN_UNITS, Style, pattern_of, scale_of
from traind.data.table.texts import Texts, Whole, factorized

if TYPE_CHECKING:
    import polars as pl

_TIME_LIKE = rf"(?i)[0-9] ?[:hmsdwy'f]|{DOTTED_CLOCK}"  # in all clocks, spans of time, and feet


class NumberParts(NamedTuple):
    """What each text is in one notation: a number, and what stands around it."""

    value: NDArray[np.float64]  # NaN for no number
    before: Codes  # a currency
    after: Codes  # a currency or unit


class Plain(NamedTuple):
    """What each text is as a number without any mark but the point."""

    value: NDArray[np.float64]  # NaN for no number
    is_number: NDArray[np.bool_]
    is_none: NDArray[np.bool_]  # a word such as "none" and "-"


class TimeParts(NamedTuple):
    """What each text is as a clock, as a span of time, as feet and inches."""

    hours: NDArray[np.float64]  # seconds of a clock, 7:30 being hours and minutes; NaN for none
    minutes: NDArray[np.float64]  # seconds of a clock, 7:30 being minutes and seconds
    has_seconds: NDArray[np.bool_]  # a clock of three parts
    has_fraction: NDArray[np.bool_]  # a clock of two parts with a fraction
    n_spans: NDArray[np.int8]  # parts of a span such as 9h 56m
    span: NDArray[np.float64]  # its seconds
    inches: NDArray[np.float64]  # of feet, NaN for none


def read_all(texts: Texts, style: Style) -> NDArray[np.float64]:
    """Return what `read` does for each of the texts; NaN for those that are none."""
    parts = texts.of(read_numbers, style.decimal, style.thousands)
    values = parts.value * _scales(parts.before, style) * _scales(parts.after, style)
    if style.has_spans or style.has_feet or style.clock:
        times = texts.of(read_times)
        values = np.where(times.n_spans > 0, times.span, values) if style.has_spans else values
        values = np.where(np.isnan(times.inches), values, times.inches) if style.has_feet else values
        clock = times.minutes if style.clock == "m:s" else times.hours
        values = np.where(np.isnan(clock), values, clock) if style.clock else values
    return values


def are_units(texts: Texts, style: Style, values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which of the texts are a unit without a number; `values` are what `read_all` returned for them."""
    found = np.isnan(values)
    if found.any():
        units = {unit.lower() for unit in style.units}
        found[found] = [text.lower() in units for text in texts.take(found).to_list()]
    return found


def read_plain(whole: Whole) -> Plain:
    """Read all the texts as plain numbers."""
    import polars as pl

    texts = whole.series()
    values = texts.cast(pl.Float64, strict=False)
    is_none = texts.str.to_lowercase().is_in(list(NOT_A_NUMBER))
    return Plain(values.to_numpy(), values.is_not_null().to_numpy(), is_none.to_numpy())


def may_be_times(whole: Whole) -> NDArray[np.bool_]:
    """Tell which texts have a digit before a letter or mark of clocks, spans of time, or feet."""
    found: NDArray[np.bool_] = whole.normal().str.contains(_TIME_LIKE).fill_null(value=False).to_numpy()
    return found


def read_numbers(whole: Whole, decimal: str, thousands: str) -> NumberParts:
    """Read all the texts as numbers with these marks, but for clocks, spans and feet."""
    parts = whole.normal().str.extract_groups(pattern_of(decimal, thousands)).struct.unnest()
    digits = parts["digits"].str.replace_all("[ ']", "")
    if thousands:
        digits = digits.str.replace_all(thousands, "", literal=True)
    digits = digits.str.replace(decimal, ".", literal=True)
    values = _floats(digits + parts["exp"].fill_null(""))
    is_wrong = (parts["open"].is_null() != parts["close"].is_null()) | digits.str.contains("^0[0-9]").fill_null(
        value=False
    )
    is_negative = (
        parts["open"].is_not_null()
        | (parts["sign"] == "-").fill_null(value=False)
        | (parts["inner"] == "-").fill_null(value=False)
    )
    values = np.where(is_negative.to_numpy(), -values, values)
    values = np.where(is_wrong.to_numpy(), np.nan, values)
    return NumberParts(values, factorized(parts["before"]), factorized(parts["after"]))


def _scales(units: Codes, style: Style) -> NDArray[np.float64] | float:
    """Return what the unit of each text multiplies by, NaN for one that the style has not."""
    if units.codes.max(initial=-1) < 0:
        return 1.0
    used, where = used_levels(units)
    scales: NDArray[np.float64] = np.array([scale_of(unit, style) for unit in used])[where]
    return scales


def read_times(whole: Whole) -> TimeParts:
    """Read all the texts as clocks, as spans of time, and as feet."""
    n = len(whole)
    found = TimeParts(
        hours=np.full(n, np.nan),
        minutes=np.full(n, np.nan),
        has_seconds=np.zeros(n, np.bool_),
        has_fraction=np.zeros(n, np.bool_),
        n_spans=np.zeros(n, np.int8),
        span=np.zeros(n),
        inches=np.full(n, np.nan),
    )
    rows = np.flatnonzero(whole.read(may_be_times))
    texts = whole.normal().gather(rows)
    _read_clocks(texts, rows, found)
    spans = texts.str.extract_groups(SPAN).struct.unnest()
    for key, _, seconds in SPAN_UNITS:
        part = _floats(spans[key])
        found.n_spans[rows] += ~np.isnan(part)
        found.span[rows] += np.nan_to_num(part) * seconds
    feet = texts.str.extract_groups(FEET).struct.unnest()
    found.inches[rows] = 12.0 * _floats(feet["a"]) + np.nan_to_num(_floats(feet["b"]))
    return found


def _read_clocks(texts: "pl.Series", rows: NDArray[np.int64], found: TimeParts) -> None:
    spelled = texts.str.replace(DOTTED_CLOCK, "${1}:${2}:${3}")
    parts = spelled.str.extract_groups(CLOCKS).struct.unnest()
    a, b, c, days = (_floats(parts[key]) for key in "abcd")
    half = parts["p"].str.to_lowercase()
    a = np.where(half.is_not_null().to_numpy(), a % 12 + 12.0 * (half == "p").fill_null(value=False).to_numpy(), a)
    has_two = np.isnan(c)
    fraction = np.nan_to_num(_floats("0" + parts["f"].str.replace(",", ".", literal=True)))
    is_negative = parts["sign"].is_not_null().to_numpy()
    for seconds, first, second in ((found.hours, 3_600.0, 60.0), (found.minutes, 60.0, 1.0)):
        first_of, second_of = np.where(has_two, first, 3_600.0), np.where(has_two, second, 60.0)
        whole = np.nan_to_num(days) * 86_400.0 + a * first_of + b * second_of + np.nan_to_num(c) + fraction
        seconds[rows] = np.where(is_negative, -whole, whole)
    found.has_seconds[rows] = ~has_two
    found.has_fraction[rows] = parts["f"].is_not_null().to_numpy() & has_two


def _floats(texts: "pl.Series") -> NDArray[np.float64]:
    import polars as pl

    found: NDArray[np.float64] = texts.cast(pl.Float64, strict=False).to_numpy()  # NaN for null
    return found
