"""Dates in columns of text: which texts are dates, in what form, and their seconds. Has the patterns of `dates`."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from traind.data.limits import VALUE_CHARS
from traind.data.table.dates import CENTURY, MONTHS, PATTERNS, ZERO_DATE, Order, offset_of
from traind.data.table.texts import Texts, Whole

if TYPE_CHECKING:
    import polars as pl

_DAYS = np.array([31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_WAYS = tuple(PATTERNS)
_NUMERIC, _YEAR_MONTH = _WAYS.index("13/10/2014"), _WAYS.index("2014-10")


class Dates(Struct, frozen=True):
    """The result of `find_dates`: the share of cells that are dates, their form, day or month first."""

    share: float
    ways: tuple[str, ...]
    order: Order
    is_settled: bool
    zeros: int = 0  # cells such as 0000-00-00


class DateParts(NamedTuple):
    """What each text is as a date."""

    way: NDArray[np.int8]  # place of the pattern that it matches, -1 for none
    day_first: NDArray[np.float64]  # seconds since 1970 with the day before the month, NaN for no date
    month_first: NDArray[np.float64]
    first: NDArray[np.int8]  # the first two numbers of 13/10/2014, -1 for other forms
    second: NDArray[np.int8]
    has_slash: NDArray[np.bool_]  # between those
    year: NDArray[np.int16]  # of 2014-10
    is_next_year: NDArray[np.bool_]  # 2014-15
    is_zero: NDArray[np.bool_]

    def seconds(self, order: Order) -> NDArray[np.float64]:
        """Return the seconds since 1970, NaN for no date."""
        return self.day_first if order == "dmy" else self.month_first


def read_dates(whole: Whole) -> DateParts:
    """Read all the texts as dates, by the first pattern that each matches."""
    texts = whole.series()
    n = len(texts)
    seconds = np.full(n, np.nan)
    found = DateParts(
        way=np.full(n, -1, np.int8),
        day_first=seconds,
        month_first=seconds,
        first=np.full(n, -1, np.int8),
        second=np.full(n, -1, np.int8),
        has_slash=np.zeros(n, np.bool_),
        year=np.zeros(n, np.int16),
        is_next_year=np.zeros(n, np.bool_),
        is_zero=texts.str.contains(ZERO_DATE).to_numpy(),
    )
    rows = np.flatnonzero((texts.str.len_chars() <= VALUE_CHARS).to_numpy())
    left = texts if len(rows) == n else texts.gather(rows)
    for way, pattern in enumerate(PATTERNS.values()):
        parts = left.str.extract_groups(pattern).struct.unnest()
        is_this = parts["Y"].is_not_null()
        mask = is_this.to_numpy()
        if not mask.any():
            continue
        found = _filled(found, way, rows[mask], parts.filter(is_this))
        left, rows = left.filter(~is_this), rows[~mask]
        if not len(rows):
            break
    return found


def _filled(found: DateParts, way: int, rows: NDArray[np.int64], parts: "pl.DataFrame") -> DateParts:
    """Enter the texts that match one pattern."""
    found.way[rows] = way
    found.day_first[rows] = _all_seconds(parts, "dmy")
    if way == _NUMERIC:
        found = found._replace(month_first=found.day_first.copy())
        found.month_first[rows] = _all_seconds(parts, "mdy")
        found.first[rows], found.second[rows] = _ints(parts["x"]), _ints(parts["y"])
        found.has_slash[rows] = (parts["s"] == "/").to_numpy()
    elif found.month_first is not found.day_first:
        found.month_first[rows] = found.day_first[rows]
    if way == _YEAR_MONTH:
        year = _ints(parts["Y"])
        found.year[rows] = year
        found.is_next_year[rows] = (year + 1) % 100 == _ints(parts["m"])
    return found


def find_dates(texts: Texts, counts: NDArray[Any]) -> Dates | None:
    """Return the dates among distinct texts, which occur `counts` times each; None where few are dates."""
    total = max(1, int(counts.sum()))
    found = texts.of(read_dates)
    is_matched = found.way >= 0
    if not is_matched.any() or counts[is_matched].sum() < total / 2:
        return None
    order, is_settled = _order(found, counts)
    is_date = ~np.isnan(found.seconds(order))
    if _are_seasons(found):
        is_date &= found.way != _YEAR_MONTH
    if not is_date.any():
        return None
    share = float(counts[is_date | found.is_zero].sum() / total)
    ways = tuple(sorted(_WAYS[way] for way in np.unique(found.way[is_matched])))
    return Dates(share, ways, order, is_settled, int(counts[found.is_zero & ~is_date].sum()))


def all_seconds(texts: Texts, order: Order) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return `seconds_of` for each text, NaN for those that are no dates, and which are zero dates."""
    found = texts.of(read_dates)
    seconds = found.seconds(order)
    return seconds, found.is_zero & np.isnan(seconds)


def order_of(texts: Texts, counts: NDArray[Any]) -> tuple[Order, bool]:
    """Return the order of day and month in these cells, and whether a cell settles it."""
    return _order(texts.of(read_dates), counts)


def _are_seasons(found: DateParts) -> bool:
    """Return whether values like 2009-10, 2010-11 are pairs of years rather than year and month."""
    is_this = found.way == _YEAR_MONTH
    years = np.unique(found.year[is_this])
    return bool(found.is_next_year[is_this].all()) and len(years) + (not is_this.all()) > 2


def _order(found: DateParts, counts: NDArray[Any]) -> tuple[Order, bool]:
    if not (found.way == _NUMERIC).any():
        return "dmy", True
    first, second = int(counts[found.first > 12].sum()), int(counts[found.second > 12].sum())
    if first != second:
        return ("dmy" if first > second else "mdy"), True
    slashes = int(counts[found.has_slash].sum())
    return ("mdy" if 2 * slashes > int(counts[found.first >= 0].sum()) else "dmy"), False


def _ints(texts: "pl.Series") -> NDArray[np.int64]:
    import polars as pl

    found: NDArray[np.int64] = texts.cast(pl.Int64, strict=False).fill_null(-1).to_numpy()
    return found


def _all_seconds(parts: "pl.DataFrame", order: Order) -> NDArray[np.float64]:
    """Return the seconds of each date in parts, NaN for no date."""
    days, is_day = _days(parts, order)
    clock, is_clock = _clock(parts)
    return np.where(is_day & is_clock, days * 86_400.0 + clock, np.nan)


def _days(parts: "pl.DataFrame", order: Order) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the days since 1970, and which of them are valid."""
    import polars as pl

    names = set(parts.columns)
    year = _ints(parts["Y"])
    is_short = (parts["Y"].str.len_bytes() == 2).fill_null(value=False).to_numpy()
    year = np.where(is_short, year + np.where(year >= CENTURY, 1900, 2000), year)
    day, month = (_ints(parts[key]) if key in names else np.ones(len(year), np.int64) for key in "dm")
    if "q" in names:
        month = 3 * _ints(parts["q"]) - 2
    if "x" in names:
        day, month = (_ints(parts[key]) for key in ("xy" if order == "dmy" else "yx"))
    if "b" in names:
        places = {name: i for i, name in enumerate(MONTHS, 1)}
        named = parts["b"].str.slice(0, 3).str.to_lowercase()
        month = named.replace_strict(places, default=-1, return_dtype=pl.Int64).fill_null(-1).to_numpy()
    is_day = (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1)
    is_day &= day <= _DAYS[np.clip(month, 1, 12) - 1]
    is_day &= ~((month == 2) & (day == 29) & ((year % 4 != 0) | ((year % 100 == 0) & (year % 400 != 0))))
    if "t" in names:
        is_day &= (parts["s"] == parts["t"]).fill_null(value=False).to_numpy()
    if "w" in names:
        return _weeks(year, _ints(parts["w"]))
    months = np.where(is_day, (year - 1970) * 12 + month - 1, 0).astype("datetime64[M]")
    return months.astype("datetime64[D]").astype(np.int64) + np.where(is_day, day, 1) - 1, is_day


def _weeks(year: NDArray[np.int64], week: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the Mondays of weeks as ISO 8601 counts them, the first being that of 4 January."""
    is_week = (year >= 1) & (week >= 1) & (week <= 53)
    fourth = np.where(is_week, year - 1970, 0).astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64) + 3
    return fourth - (fourth + 3) % 7 + 7 * (week - 1), is_week


def _clock(parts: "pl.DataFrame") -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the seconds since midnight UTC, 0 without a time of day, and which of them are valid."""
    import polars as pl

    names = set(parts.columns)
    none = np.zeros(len(parts), np.int64)
    hour, minute, second = (np.maximum(_ints(parts[key]), 0) if key in names else none for key in "HMS")
    is_clock = (hour < 24) & (minute < 60) & (second < 60)
    if "p" in names:
        half = parts["p"].str.slice(0, 1).str.to_lowercase()
        has_half, is_late = half.is_not_null().to_numpy(), (half == "p").fill_null(value=False).to_numpy()
        is_clock &= ~has_half | ((hour >= 1) & (hour <= 12))
        hour = np.where(has_half, hour % 12 + 12 * is_late, hour)
    seconds = hour * 3_600.0 + minute * 60.0 + second
    if "f" in names:
        fractions = ("0" + parts["f"].str.replace(",", ".", literal=True)).cast(pl.Float64)
        seconds = seconds + fractions.fill_null(0.0).to_numpy()
    if "z" in names and (zones := parts["z"].unique().drop_nulls().to_list()):
        offsets = {zone: offset_of(zone) for zone in zones}
        ahead = parts["z"].replace_strict(offsets, default=0.0, return_dtype=pl.Float64)
        seconds = seconds - ahead.fill_null(0.0).to_numpy()
    return np.asarray(seconds, np.float64), is_clock
