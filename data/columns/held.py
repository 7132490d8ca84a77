"""Converts the columns of a raw table to numbers or codes, before their kinds are decided.

Text is stripped and missing cells are marked. Columns of plain numbers become numbers, unless their spelling carries
more than their value; all others become codes of distinct texts. Many columns are processed together, since a call of
polars costs more than a short column.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from traind.data.columns.distinct import coded
from traind.data.table.arrays import Cells, Codes, Mixed, Numbers, codes_of
from traind.data.table.cell_text import MISSING, NO_TIME, NOT_A_NUMBER, PLAIN_MISSING, STRIPPED, is_missing
from traind.data.table.texts import factorized

_EXACT = 2**53  # whole numbers beyond are not all exact as doubles
_FEW_FRACTIONS = 50  # distinct fractions up to which they may be labels, whose spelling matters
_SOME = 10_000  # cells that are checked first
_LOOKED_AT = 500  # fractions checked, of which some must differ
_PADDED = r"^[+-]?0[0-9]|^\+|[.eE]"  # spellings of integers that carry more than the value
_GROUPED = r"^\s*-?[1-9][0-9]{0,2}\.[0-9]{3}\s*$"  # ambiguous: a fraction, or a thousands separator
_LONGEST = max(map(len, MISSING))
_Texts = Mapping[str, pl.Series]


@dataclass(frozen=True, slots=True)
class Held:
    """The cells of a column, and the counts of its unusual words for missing."""

    cells: Cells
    missing_words: dict[str, int] = field(default_factory=dict)
    is_time: bool = False


def hold(columns: _Texts, as_text: frozenset[str] = frozenset()) -> dict[str, Held]:
    """Return the cells of columns of equal length; those of `as_text` keep numbers as they are spelled."""
    texts = {name: cells for name, cells in columns.items() if cells.dtype == pl.String and name not in as_text}
    found = _numbers(texts) if texts else {}
    left = {name: cells for name, cells in columns.items() if cells.dtype == pl.String and name not in found}
    found |= _texts(left) if left else {}
    return {name: found.get(name) or _typed(cells, as_text=name in as_text) for name, cells in columns.items()}


def _texts(columns: _Texts) -> dict[str, Held]:
    """Return columns of text as codes; those of few rows are stripped together."""
    size = len(next(iter(columns.values())))
    if size > _SOME:
        return {name: Held(*coded_texts(cells)) for name, cells in columns.items()}
    stripped = pl.concat(columns.values()).str.strip_chars(STRIPPED)
    are_missing = stripped.str.to_lowercase().is_in(list(MISSING)) | (stripped == NO_TIME)
    no_cells = are_missing.fill_null(value=False).to_numpy()
    texts, found = stripped.to_list(), dict[str, Held]()
    for place, name in enumerate(columns):
        rows = slice(place * size, (place + 1) * size)
        codes = codes_of(texts[rows])
        missing = {texts[row] for row in (np.flatnonzero(no_cells[rows]) + rows.start).tolist()}
        found[name] = Held(*_in_order(codes, list(codes.levels), missing))
    return found


def _typed(cells: pl.Series, *, as_text: bool) -> Held:
    if cells.dtype.is_temporal():
        return Held(_seconds(cells), is_time=True)
    if cells.dtype.is_integer():
        low, high = cells.min(), cells.max()
        is_exact = low is None or high is None or (low >= -_EXACT and high <= _EXACT)  # type: ignore[operator]
        if not is_exact or as_text:
            return Held(*coded_texts(cells.cast(pl.String)))
    values = cells.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return Held(coded(values) if as_text else values)


def as_codes(cells: Cells) -> Codes:
    """Return cells as text, numbers in their shortest spelling."""
    if isinstance(cells, Codes):
        return cells
    if isinstance(cells, Mixed):
        numbers = coded(cells.numbers)
        codes = np.where(cells.words.codes >= 0, cells.words.codes + len(numbers.levels), numbers.codes)
        return Codes(codes.astype(np.int32), (*numbers.levels, *cells.words.levels))
    return coded(cells)


def coded_texts(cells: pl.Series) -> tuple[Codes, dict[str, int]]:
    """Return the stripped texts as codes, the most frequent first, and unusual words for none, with counts."""
    raw = codes_of(cells.to_list()) if len(cells) <= _SOME else factorized(cells)
    texts = [level.strip(STRIPPED) for level in raw.levels]
    return _in_order(raw, texts, {text for text in texts if len(text) <= _LONGEST and is_missing(text)})


def _in_order(raw: Codes, texts: list[str], missing: set[str]) -> tuple[Codes, dict[str, int]]:
    """Return codes of the stripped texts of raw ones, and the unusual words for missing among them."""
    counts = raw.counts()
    words: dict[str, int] = {}
    for text, n in zip(texts, counts.tolist(), strict=True) if missing else ():
        if text in missing and text.lower() not in PLAIN_MISSING:
            words[text] = words.get(text, 0) + n
    index: dict[str, int] = {}
    places = np.array([index.setdefault(text, len(index)) for text in texts], np.int64)
    names, totals = list(index), np.bincount(places, counts, minlength=len(index))
    order = np.array(sorted(range(len(names)), key=names.__getitem__), np.int64)
    order = order[np.argsort(-totals[order], kind="stable")]
    if missing:
        order = order[[names[place] not in missing for place in order.tolist()]]
    rank = np.full(len(names) + 1, -1, np.int32)
    rank[order] = np.arange(len(order))
    levels = tuple([names[place] for place in order.tolist()])
    return Codes(np.append(rank[places], np.int32(-1))[raw.codes], levels), words


def _numbers(texts: _Texts) -> dict[str, Held]:
    """Return the columns that are numbers, some with words; not those that are better kept as text."""
    frame = pl.DataFrame([cells.alias(str(place)) for place, cells in enumerate(texts.values())])
    if len(frame) > 2 * _SOME:
        head = frame.head(_SOME)
        frame = frame.select(_mostly_numbers(head, head.cast(pl.Float64, strict=False), slack=1))
    values = frame.cast(pl.Float64, strict=False)
    frame = frame.select(_mostly_numbers(frame, values, slack=0))
    values = values.select(frame.columns)
    has_odd = [one > other for one, other in zip(values.null_count().row(0), frame.null_count().row(0), strict=True)]
    array = values.to_numpy(order="fortran")
    no_words = Codes(np.full(len(frame), -1, np.int32), ())
    found: dict[str, tuple[Numbers, Codes, dict[str, int]]] = {}
    for place, numbers, is_odd in zip(frame.columns, array.T, has_odd, strict=True):
        read = _with_words(frame[place], numbers) if is_odd else (numbers, no_words, {})
        found |= {place: read} if read else {}
    plain = _plainly_written(frame, {place: numbers for place, (numbers, _, _) in found.items()})
    names = list(texts)
    return {
        names[int(place)]: Held(Mixed(numbers, words) if words.levels else numbers, missing)
        for place, (numbers, words, missing) in found.items()
        if place in plain
    }


def _mostly_numbers(frame: pl.DataFrame, values: pl.DataFrame, slack: int) -> list[str]:
    """Return the columns of which at least half of the cells are numbers."""
    n_null, n_no_value = (np.array(one.null_count().row(0)) for one in (frame, values))
    is_mostly = 2 * (n_no_value - n_null - slack) <= len(frame) - n_null
    return [place for place, is_it in zip(frame.columns, is_mostly.tolist(), strict=True) if is_it]


def _with_words(cells: pl.Series, values: Numbers) -> tuple[Numbers, Codes, dict[str, int]] | None:
    """Return numbers, those that are only padded too, and the words beside them; None for other columns."""
    rows = np.flatnonzero(np.isnan(values))
    words, missing_words = coded_texts(cells.gather(rows))
    texts = pl.Series(words.levels, dtype=pl.String)
    known = texts.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
    is_number = ~np.isnan(known)
    has_digits = texts.str.contains("[0-9]").to_numpy()
    if (has_digits & ~is_number).any() or texts.filter(is_number).str.contains(_PADDED).any():
        return None
    numbers = values.copy()
    numbers[rows] = np.append(known, np.nan)[words.codes]
    is_word = ~is_number & np.array([text.lower() not in NOT_A_NUMBER for text in words.levels], np.bool_)
    kept = np.append(np.where(is_word, np.cumsum(is_word) - 1, -1), -1).astype(np.int32)
    codes = np.full(len(values), -1, np.int32)
    codes[rows] = kept[words.codes]
    levels = tuple(text for text, keep in zip(words.levels, is_word.tolist(), strict=True) if keep)
    return numbers, Codes(codes, levels), missing_words


def _plainly_written(frame: pl.DataFrame, numbers: dict[str, Numbers]) -> set[str]:
    """Return the columns whose spelling carries no more than their values."""
    whole, fractions, likely = list[str](), list[str](), list[str]()
    for place, values in numbers.items():
        present = values[~np.isnan(values)]
        if not len(present):
            continue
        if _are_whole(present):
            whole += [place] if np.abs(present).max() < _EXACT else []
        elif _are_many(present):
            fractions.append(place)
            likely += [place] if _may_be_thousandths(present[:_LOOKED_AT]) else []
    padded = frame.select(pl.col(whole).str.contains(_PADDED).any()).row(0) if whole else ()
    head = frame.head(_SOME).select(_may_be_grouped(likely)).row(0) if likely else ()
    maybe = [place for place, is_it in zip(likely, head, strict=True) if is_it]
    grouped = frame.select(_may_be_grouped(maybe)).row(0) if maybe else ()
    wrong = {place for place, is_it in zip(maybe, grouped, strict=True) if is_it}
    return {place for place, is_it in zip(whole, padded, strict=True) if not is_it} | (set(fractions) - wrong)


def _are_whole(present: Numbers) -> bool:
    some = present[:_LOOKED_AT]
    return bool((some == np.trunc(some)).all()) and bool((present == np.trunc(present)).all())


def _are_many(present: Numbers) -> bool:
    parts = (present[: 2 * _FEW_FRACTIONS], present[:_SOME], present)
    return any(len(np.unique(some)) > _FEW_FRACTIONS for some in parts)


def _may_be_thousandths(some: Numbers) -> bool:
    """Return whether these may all be written with three digits after the point."""
    thousandths = some[np.isfinite(some)] * 1e3
    return bool((np.abs(thousandths - np.rint(thousandths)) < 1e-6).all())


def _may_be_grouped(places: list[str]) -> pl.Expr:
    """Return whether every point in these columns' numbers may be a thousands separator."""
    cells = pl.col(places)
    has_point = cells.str.contains(".", literal=True) & cells.cast(pl.Float64, strict=False).is_not_null()
    return (cells.str.contains(_GROUPED) | ~has_point).all()


def _seconds(cells: pl.Series) -> Numbers:
    found: Numbers = (
        cells.cast(pl.Datetime("us")).dt.epoch("us").cast(pl.Float64).fill_null(float("nan")).to_numpy() / 1e6
    )
    return found
