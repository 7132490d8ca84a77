"""A column of a raw table as what its cells are, before anybody decides what the column is.

Text is stripped and the missing taken out; what then is plain numbers throughout becomes numbers, unless their
spelling says more than their value. All the rest are codes: each distinct text once.
"""

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from traind.data.columns.distinct import coded
from traind.data.table.arrays import Cells, Codes, Mixed, Numbers
from traind.data.table.cell_text import MISSING, NOT_A_NUMBER, PLAIN_MISSING, STRIPPED

_EXACT = 2**53  # whole numbers beyond are not all exact as doubles
_FEW_FRACTIONS = 50  # distinct fractions up to which their spelling may matter: they may be labels
_SOME = 10_000  # cells that are looked at first
_PADDED = r"^[+-]?0[0-9]|^\+|[.eE]"  # spellings of whole numbers that say more than their value
_GROUPED = r"^-?[1-9][0-9]{0,2}\.[0-9]{3}$"  # or a thousand, where points set them apart


@dataclass(frozen=True, slots=True)
class Held:
    """The cells of a column, and how often it says in other words than usual that there is none."""

    cells: Cells
    missing_words: dict[str, int] = field(default_factory=dict)
    is_time: bool = False


def hold(cells: pl.Series, *, as_text: bool = False) -> Held:
    """Return the column's cells; `as_text` keeps numbers as they are spelled."""
    if cells.dtype == pl.String:
        numbers = None if as_text else _numbers(cells)
        return numbers or Held(*coded_texts(cells))
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
    raw = cells.unique().drop_nulls()
    places = _places(cells, raw)
    counts = np.bincount(places + 1, minlength=len(raw) + 1)[1:]
    meant = raw.str.strip_chars(STRIPPED)
    is_missing = meant.str.to_lowercase().is_in(list(MISSING))
    words: dict[str, int] = {}
    for text, n in zip(meant.filter(is_missing), counts[is_missing.to_numpy()].tolist(), strict=True):
        if text.lower() not in PLAIN_MISSING:
            words[text] = words.get(text, 0) + n
    meant = pl.select(pl.when(~is_missing).then(meant)).to_series()
    frame = pl.DataFrame({"t": meant, "n": counts}).drop_nulls().group_by("t").agg(pl.col("n").sum())
    levels = frame.sort(["n", "t"], descending=[True, False])["t"]
    lookup = np.append(_places(meant, levels), np.int32(-1))
    return Codes(lookup[places], tuple(levels)), words


def _places(texts: pl.Series, among: pl.Series) -> "np.ndarray[tuple[int], np.dtype[np.int32]]":
    """Return the place of each text among distinct ones, -1 for null."""
    found: np.ndarray[tuple[int], np.dtype[np.int32]] = (
        texts.cast(pl.Enum(among)).to_physical().cast(pl.Int32).fill_null(-1).to_numpy()
    )
    return found


def _numbers(cells: pl.Series) -> Held | None:
    """Return a column of text as numbers, with words where there are some; None where it is better kept as text."""
    if len(cells) > 2 * _SOME:
        some = cells.head(_SOME)
        if (
            some.cast(pl.Float64, strict=False).null_count() - some.null_count()
            > 0.5 * (_SOME - some.null_count()) + 1
        ):
            return None
    values = cells.cast(pl.Float64, strict=False)
    odd = values.null_count() - cells.null_count()
    if 2 * odd > len(cells) - cells.null_count():
        return None
    words, missing_words = Codes(np.full(len(cells), -1, np.int32), ()), dict[str, int]()
    if odd:
        others = pl.select(pl.when(values.is_null()).then(cells)).to_series()
        words, missing_words = coded_texts(others)
        padded = pl.Series(words.levels, dtype=pl.String)
        is_number = padded.cast(pl.Float64, strict=False).is_not_null()
        if (padded.str.contains("[0-9]") & ~is_number).any() or (
            is_number.any() and padded.filter(is_number).str.contains(_PADDED).any()
        ):
            return None
        values, words = _moved(values, words, padded)
    if not (numbers := _plain(cells, values)) is not None:
        return None
    return Held(Mixed(numbers, words) if words.levels else numbers, missing_words)


def _moved(values: pl.Series, words: Codes, texts: pl.Series) -> tuple[pl.Series, Codes]:
    """Return the numbers with those that were only padded, and the words that are left."""
    known = texts.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
    found = np.append(known, np.nan)[words.codes]
    merged = np.where(np.isnan(found), values.fill_null(float("nan")).to_numpy(), found)
    is_word = np.isnan(known) & ~texts.str.to_lowercase().is_in(list(NOT_A_NUMBER)).to_numpy()
    kept = np.append(np.where(is_word, np.cumsum(is_word) - 1, -1), -1).astype(np.int32)
    levels = tuple(text for text, keep in zip(words.levels, is_word.tolist(), strict=True) if keep)
    return pl.Series(merged), Codes(kept[words.codes], levels)


def _plain(cells: pl.Series, values: pl.Series) -> Numbers | None:
    """Return the values, None where their spelling says more."""
    numbers: Numbers = values.fill_null(float("nan")).to_numpy()
    present = numbers[~np.isnan(numbers)]
    if not len(present):
        return None
    some = present[:_SOME]
    if (some == np.trunc(some)).all() and (present == np.trunc(present)).all():
        if np.abs(present).max() >= _EXACT or cells.str.contains(_PADDED).any():
            return None
        return numbers
    if len(np.unique(some)) <= _FEW_FRACTIONS and len(np.unique(present)) <= _FEW_FRACTIONS:
        return None
    written = cells.filter(pl.Series(~np.isnan(numbers)))  # not `..` and other words
    if _may_be_grouped(written.head(_SOME)) and _may_be_grouped(written):
        return None
    return numbers


def _may_be_grouped(cells: pl.Series) -> bool:
    """Tell whether every point in these numbers may set thousands apart."""
    with_point = cells.str.contains(".", literal=True)
    return bool((cells.filter(with_point).str.strip_chars().str.contains(_GROUPED)).all())


def _seconds(cells: pl.Series) -> Numbers:
    found: Numbers = (
        cells.cast(pl.Datetime("us")).dt.epoch("us").cast(pl.Float64).fill_null(float("nan")).to_numpy() / 1e6
    )
    return found
