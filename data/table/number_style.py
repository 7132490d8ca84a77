"""Finds the style in which the numbers of a column are written, from all its cells: marks, units, clocks, spans."""

import re
from typing import Any, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from traind.data.table.arrays import Codes, used_levels
from traind.data.table.number_columns import may_be_times, read_all, read_times
from traind.data.table.numbers import ANY_DIGITS, CURRENCY, Clock, Style, frame, unit_key
from traind.data.table.texts import Texts, Whole, factorized

_GROUPED = {".": re.compile(r"0{1,3}(?:\.000)+"), ",": re.compile(r"0{1,3}(?:,000)+")}  # shapes of 1.234.567
_CURRENCY = re.compile(CURRENCY)
_THOUSANDS = {"k": 1e3, "tsd": 1e3, "thousand": 1e3, "lakh": 1e5, "lac": 1e5, "m": 1e6, "mn": 1e6, "mio": 1e6}
_MAGNITUDES = {**_THOUSANDS, "million": 1e6, "mil": 1e6, "cr": 1e7, "crore": 1e7, "b": 1e9, "bn": 1e9, "mrd": 1e9}
_MAGNITUDES |= {"billion": 1e9, "t": 1e12, "tn": 1e12, "trillion": 1e12}
_FAMILIES: tuple[dict[str, float], ...] = (
    _MAGNITUDES,
    {"b": 1.0, "byte": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "pb": 1e15}
    | {"kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30, "tib": 2.0**40},
    {"ms": 1e-3, "s": 1.0, "sec": 1.0, "second": 1.0, "m": 60.0, "min": 60.0, "minute": 60.0, "mins": 60.0}
    | {"h": 3_600.0, "hr": 3_600.0, "hrs": 3_600.0, "hour": 3_600.0, "d": 86_400.0, "day": 86_400.0}
    | {"w": 604_800.0, "wk": 604_800.0, "week": 604_800.0, "mo": 2_629_800.0, "month": 2_629_800.0}
    | {"y": 31_557_600.0, "yr": 31_557_600.0, "yrs": 31_557_600.0, "year": 31_557_600.0},
    {"mg": 1e-3, "g": 1.0, "kg": 1e3, "t": 1e6, "oz": 28.349523125, "lb": 453.59237, "lbs": 453.59237},
    {"mm": 1e-3, "cm": 1e-2, "m": 1.0, "km": 1e3, "in": 0.0254, "ft": 0.3048, "mi": 1_609.344, "mile": 1_609.344},
    {"ml": 1e-3, "cl": 1e-2, "dl": 0.1, "l": 1.0},
    {"hz": 1.0, "khz": 1e3, "mhz": 1e6, "ghz": 1e9},
    {"w": 1.0, "kw": 1e3, "mw": 1e6, "gw": 1e9},
    {"wh": 1.0, "kwh": 1e3, "mwh": 1e6, "gwh": 1e9},
    {"%": 1.0, "‰": 0.1},
)
_RARE = 0.02  # share of cells below which a unit counts as wrong cells


class FoundStyle(Struct, frozen=True):
    """A style with the share of cells that it can read, and what is ambiguous or mixed."""

    style: Style
    share: float
    is_open: bool = False  # 1,234 may be a thousand or a fraction
    currencies: tuple[str, ...] = ()  # where there are several
    clashing: tuple[str, ...] = ()  # incompatible units: the cells are no numbers of one kind

    @property
    def what(self) -> str:
        """Return a description of the numbers for people."""
        if self.style.has_feet:
            return "feet, read as inches,"
        return "times, read as seconds," if self.style.clock or self.style.has_spans else "numbers"


class Framed(NamedTuple):
    """What each text is as a number in any notation: the shape of its digits, and what stands around them."""

    shape: Codes  # -1 for no number
    before: Codes
    after: Codes


def find_style(
    texts: Texts, counts: NDArray[Any], *, decimal: str | None = None, thousands: str | None = None
) -> FoundStyle | None:
    """Return the style in which most cells are numbers; None where less than half are in any.

    `texts` are distinct, `counts` says how many cells have each; `decimal` and `thousands` are as the user says.
    """
    total = max(1, int(counts.sum()))
    found = None
    if texts.of(may_be_times).any():
        found = _find_times(texts, counts, total) or _find_feet(texts, counts, total)
    if found is not None:
        return found
    parts = texts.of(_framed)
    is_number = parts.shape.codes >= 0
    if counts[is_number].sum() < total / 2:
        return None
    shapes, before, after = (_weights(part.take(is_number), counts[is_number]) for part in parts)
    marks, is_open = _marks(shapes, decimal, thousands)
    if marks is None:
        return None
    units = _units(before, after)
    clashing = () if units else tuple(sorted((unit for unit in after if unit), key=lambda unit: -after[unit]))
    scales, currencies = units or (dict.fromkeys(clashing, 1.0), ())
    style = Style(marks[0], marks[1], scales)
    share = counts[~np.isnan(read_all(texts, style))].sum() / total
    return FoundStyle(style, float(share), is_open, currencies, clashing) if share >= 0.5 else None


def _find_times(texts: Texts, counts: NDArray[Any], total: int) -> FoundStyle | None:
    """Return the style of a column of clocks or spans, None if it is none."""
    times = texts.of(read_times)
    is_clock = ~np.isnan(times.hours)
    if counts[is_clock].sum() >= total / 2:
        has_two, has_three = (is_clock & ~times.has_seconds).any(), times.has_seconds.any()
        clock: Clock = "m:s" if times.has_fraction.any() or (has_two and has_three) else "h:m"
        style = Style(clock=clock)
        return FoundStyle(style, float(counts[~np.isnan(read_all(texts, style))].sum() / total))
    is_span = times.n_spans > 0
    if counts[is_span].sum() >= total / 2 and (times.n_spans > 1).any():
        return FoundStyle(Style(has_spans=True), float(counts[is_span].sum() / total))
    return None


def _find_feet(texts: Texts, counts: NDArray[Any], total: int) -> FoundStyle | None:
    """Return the style of a column of feet and inches, None if it is none."""
    is_feet = ~np.isnan(texts.of(read_times).inches)
    if counts[is_feet].sum() < total / 2 or not texts.of(_have_inches).any():
        return None
    return FoundStyle(Style(has_feet=True), float(counts[is_feet].sum() / total))


def _marks(shapes: dict[str, int], decimal: str | None, thousands: str | None) -> tuple[tuple[Any, Any] | None, bool]:
    """Return the decimal mark and thousands separator of these shapes, and whether they are ambiguous.

    A shape has `0` for each digit, `z` for a zero that begins it.
    """
    votes = {".": 0, ",": 0}  # cells in which this must be the decimal mark
    maybe = {".": 0, ",": 0}  # cells in which it may be the thousands separator
    most = 0  # digits of a whole number without any mark
    for shape, n in shapes.items():
        core = re.sub("[ ']", "", shape)
        if not core or core.isalnum():
            most = max(most, len(core)) if core == shape else most
            continue
        mark, other = (".", ",") if core.rfind(".") > core.rfind(",") else (",", ".")
        is_grouped = _GROUPED[mark].fullmatch(core) is not None
        if core.count(mark) > 1 and other not in core:
            votes[other] += n
        elif is_grouped and core == shape and other not in core:
            maybe[mark] += n
        else:
            votes[mark] += n
    chosen, is_open = decimal, False
    if chosen is None and thousands in {".", ","}:
        chosen = "," if thousands == "." else "."
    if chosen is None:
        chosen = "," if votes[","] > votes["."] else "."
        if not any(votes.values()) and maybe[","] and not maybe["."]:
            is_open = most > 3  # 41,879 beside 1234 is ambiguous
            chosen = "," if is_open else "."
    group = thousands if thousands in {".", ","} else ("." if chosen == "," else ",")
    return (chosen, group), is_open


def _units(before: dict[str, int], after: dict[str, int]) -> tuple[dict[str, float], tuple[str, ...]] | None:
    """Return the units of a column with what each multiplies by, and its currencies where there are several.

    None where units that have nothing to do with each other are mixed.
    """
    numbers = sum(after.values())
    currencies = {one: n for one, n in [*before.items(), *after.items()] if one and _CURRENCY.fullmatch(one)}
    units = {one: n for one, n in after.items() if one and one not in currencies and n >= _RARE * numbers}
    units = {
        one: n for one, n in units.items() if "+" not in one or 2 * n >= numbers
    }  # 125+ beside 125 has a different meaning
    found: dict[str, float] = dict.fromkeys(currencies, 1.0)
    several = tuple(sorted(currencies)) if len({unit_key(one) for one in currencies}) > 1 else ()
    split = {one: _of_magnitude(one) for one in units}
    if len({what for _, what in split.values()}) == 1 and any(" " in one for one in units):
        return found | {one: scale for one, (scale, _) in split.items()}, several
    kinds = {unit_key(one) for one in units}
    bare = after.get("", 0) + sum(n for one, n in after.items() if one in currencies)
    family = next((family for family in _FAMILIES if all(kind in family for kind in kinds)), None)
    is_unit = kinds == {"t"} or (kinds == {"m"} and not any("M" in unit for unit in units))  # tons, metres
    if kinds and family is _MAGNITUDES and not is_unit:
        found |= {one: family[unit_key(one)] for one in units}
    elif len(kinds) == 1:
        found |= dict.fromkeys(units, 1.0)
    elif kinds:
        if family is None or bare > _RARE * numbers:
            return None
        found |= {one: family[unit_key(one)] for one in units}
    return found, several


def _of_magnitude(unit: str) -> tuple[float, str]:
    """Return a unit's factor and what it counts: `M views` is a million of views."""
    first, _, rest = unit.partition(" ")
    scale = _MAGNITUDES.get(unit_key(first)) if rest else None
    return (1.0, unit_key(unit)) if scale is None else (scale, unit_key(rest))


def _framed(whole: Whole) -> Framed:
    """Read all the texts as numbers in any notation; a shape has `0` for each digit, `z` for a zero in front.

    "2. Married" is a label with a number, not a number with a unit.
    """
    texts = whole.normal()
    texts = texts.set(texts.str.contains(r"^[0-9]+\. ?[A-Za-z]").fill_null(value=False), None)
    parts = texts.str.extract_groups(frame(ANY_DIGITS)).struct.unnest()
    shapes = parts["digits"].str.strip_chars(" ").str.replace("^0", "z").str.replace_all("[0-9]", "0")
    return Framed(factorized(shapes), factorized(parts["before"]), factorized(parts["after"]))


def _have_inches(whole: Whole) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (
        whole.normal().str.contains(r"[0-9] ?['a-z]+\.? ?[0-9]").fill_null(value=False).to_numpy()
    )
    return found


def _weights(texts: Codes, counts: NDArray[Any]) -> dict[str, int]:
    """Return the number of cells with each of the texts, "" for none."""
    used, where = used_levels(texts)
    weights = np.bincount(where, counts, len(used)).tolist()
    return {text: int(n) for text, n in sorted((text or "", n) for text, n in zip(used, weights, strict=True)) if n}
