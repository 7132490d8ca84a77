"""Profiles: counts of each column over all rows, by which inference decides."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

import numpy as np
import polars as pl

from traind.data.columns.distinct import coded, count_distinct
from traind.data.columns.held import Held, as_codes, hold
from traind.data.reading.raw_table import RawTable
from traind.data.table.arrays import Cells, Codes, Mixed, Numbers
from traind.data.table.cell_text import NOT_A_NUMBER
from traind.data.table.numbers import CURRENCY
from traind.data.table.texts import Memory, Texts, Whole, texts_of
from traind.data.threads import mapped

_CELLS = 1 << 19  # cells processed together
_BEGIN = (  # letters that numbers and dates may begin with
    rf"(?i)^(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mon|tue|wed|thu|fri|sat|sun|q[1-4]|pt?[0-9]|{CURRENCY})"
)
MANY = 20  # distinct values from which a number is not one value among others
HALF = 0.5  # share of numbers from which a column of numbers and words is both
FEW = 2_000  # up to this many distinct values are all counted
SAMPLE = 1_000  # distinct texts kept where not all are
_FEW_FRACTIONS = 50  # up to this many distinct fractions are counted
Levels = tuple[tuple[str, int], ...]
Type = Literal["text", "number", "time", "nested"]


@dataclass(frozen=True, slots=True)
class Profile:
    """Counts of one column. `levels` are its most frequent texts with their counts, all of them if `is_counted`."""

    name: str
    type: Type
    n_rows: int
    missing: int
    cells: Cells | None = None  # None for nested values
    numbers: int = 0
    no_numbers: int = 0  # words such as "none" and "-"
    integers: int = 0
    likely: int = 0  # texts that begin like numbers or dates
    infinite: int = 0
    leading_zeros: int = 0
    round_numbers: int = 0  # divisible by ten, where the levels are counted
    distinct: int = 0
    smallest: float | None = None  # of the finite
    largest: float | None = None
    shortest: int = 0  # text, in bytes
    longest: int = 0
    levels: Levels = ()
    is_counted: bool = False
    words: Levels = ()  # words among numbers
    missing_words: Levels = ()  # unusual ones
    is_index: bool = False  # an index that pandas saved
    texts: Texts | None = None  # the distinct texts, where half of them may be numbers or dates

    @property
    def present(self) -> int:
        """Return how many cells are not missing."""
        return self.n_rows - self.missing

    @property
    def usual_word(self) -> str | None:
        """Return the word in half of the cells or more of a column of many texts, such as `No rating yet`."""
        text, n = self.levels[0] if self.levels else ("", 0)
        is_usual = n >= HALF * (self.present - self.no_numbers) and self.distinct > MANY
        return text if is_usual and text.lower() not in NOT_A_NUMBER and not any(map(str.isdigit, text)) else None

    @property
    def known(self) -> int:
        """Return how many cells may be numbers or dates: none of a word for none, nor of the usual word."""
        word = 0 if self.usual_word is None else self.levels[0][1]
        return max(1, self.present - self.no_numbers - word)

    @property
    def may_be_read(self) -> bool:
        """Tell whether at least half of the texts begin as numbers or dates do."""
        return max(self.numbers, self.likely) >= HALF * self.known

    def written(self) -> Texts:
        """Return the distinct texts, in the order of their codes."""
        assert self.cells is not None
        return self.texts or texts_of(as_codes(self.cells).levels)


def profile(table: RawTable, as_text: Callable[[str], bool], threads: int = 1) -> dict[str, Profile]:
    """Return the profile of every column, by name; frees the raw table's cells one by one."""

    def some(names: list[str]) -> list[Profile]:
        nested = {name: int(table.columns[name].null_count()) for name in names if name in table.nested}
        held = hold(
            {name: table.columns[name] for name in names if name not in nested}, frozenset(filter(as_text, names))
        )
        for name in names:
            table.columns[name] = table.columns[name].clear()
        levels = (one.cells.levels for one in held.values() if isinstance(one.cells, Codes))
        texts = _looked_at(chain.from_iterable(levels))
        found: list[Profile] = []
        for name in names:
            if name in nested:
                found.append(Profile(name, "nested", table.n_rows, nested[name]))
                continue
            one = held.pop(name)
            n_levels = len(one.cells.levels) if isinstance(one.cells, Codes) else 0
            found.append(_facts(name, one, texts.head(n_levels)))
            texts = texts.slice(n_levels)
        return _with_texts(found, memory)

    memory = Memory()
    names = list(table.columns)
    size = max(1, _CELLS // max(1, table.n_rows))
    batches = [names[start : start + size] for start in range(0, len(names), size)]
    found = list(chain.from_iterable(mapped(some, batches, threads)))
    found = [replace(one, is_index=True) if one.name in table.index else one for one in found]
    return dict(zip(names, found, strict=True))


def _with_texts(found: list[Profile], memory: Memory) -> list[Profile]:
    """Give the columns that may be numbers or dates their texts, to be read together."""
    read = [one for one in found if isinstance(one.cells, Codes) and one.cells.levels and one.may_be_read]
    whole = Whole([one.cells.levels for one in read if isinstance(one.cells, Codes)], memory)
    texts = {one.name: part for one, part in zip(read, whole.parts(), strict=True)}
    return [replace(one, texts=texts[one.name]) if one.name in texts else one for one in found]


def _facts(name: str, held: Held, texts: pl.DataFrame) -> Profile:
    cells = held.cells
    if held.is_time:
        assert isinstance(cells, np.ndarray)
        found = _of_times(name, cells)
    elif isinstance(cells, Codes):
        found = of_codes(name, cells, texts)
    elif isinstance(cells, Mixed):
        found = _of_mixed(name, cells)
    else:
        found = _of_numbers(name, cells)
    return replace(found, missing_words=tuple(held.missing_words.items())) if held.missing_words else found


def _looked_at(levels: Iterable[str]) -> pl.DataFrame:
    """Return the properties of each text."""
    text = pl.col("text")
    return pl.DataFrame({"text": list(levels)}, schema={"text": pl.String}).select(
        value=text.cast(pl.Float64, strict=False).fill_null(float("nan")),
        is_padded=text.str.contains("^0[0-9]+$"),
        is_none=text.str.to_lowercase().is_in(list(NOT_A_NUMBER)),
        is_round=text.str.ends_with("0"),
        is_likely=text.str.contains("[0-9]") & (~text.str.contains("^[A-Za-z]") | text.str.contains(_BEGIN)),
        length=text.str.len_bytes(),
    )


def of_codes(name: str, cells: Codes, texts: pl.DataFrame | None = None) -> Profile:
    """Count a column by its distinct texts; `texts` are their properties, if known."""
    counts = cells.counts()
    texts = _looked_at(cells.levels) if texts is None else texts
    values, padded, no_number, is_round, is_likely, lengths = (one.to_numpy() for one in texts.get_columns())
    is_number = ~np.isnan(values)
    is_finite = np.isfinite(values)
    finite = values[is_finite]
    is_whole = is_finite & (values == np.trunc(values))
    integers, numbers = int(counts[is_whole].sum()), int(counts[is_number].sum())
    is_counted = len(texts) <= FEW
    shown = cells.levels if is_counted else cells.levels[:SAMPLE]
    return Profile(
        name=name,
        type="text",
        n_rows=len(cells),
        missing=len(cells) - int(counts.sum()),
        cells=cells,
        numbers=numbers,
        no_numbers=int(counts[no_number].sum()),
        integers=integers,
        likely=int(counts[is_likely & ~no_number].sum()),
        infinite=int(counts[np.isinf(values)].sum()),
        leading_zeros=int(counts[padded].sum()) if integers == numbers else 0,
        round_numbers=int(counts[is_number & is_round].sum()),
        distinct=len(texts),
        smallest=float(finite.min()) if len(finite) else None,
        largest=float(finite.max()) if len(finite) else None,
        shortest=int(lengths.min()) if len(lengths) else 0,
        longest=int(lengths.max(initial=0)),
        levels=tuple(zip(shown, counts[: len(shown)].tolist(), strict=True)),
        is_counted=is_counted,
    )


def _of_mixed(name: str, cells: Mixed) -> Profile:
    """Count a column of numbers with words among them."""
    facts = _of_numbers(name, cells.numbers)
    counts = cells.words.counts()
    words = tuple(zip(cells.words.levels, counts.tolist(), strict=True))[:SAMPLE]
    return replace(
        facts,
        cells=cells,
        type="text",
        missing=facts.missing - int(counts.sum()),
        distinct=facts.distinct + len(cells.words.levels),
        levels=words + facts.levels[:SAMPLE],
        is_counted=False,
        words=words,
    )


def _of_times(name: str, seconds: Numbers) -> Profile:
    present = seconds[~np.isnan(seconds)]
    low, high = (float(present.min()), float(present.max())) if len(present) else (None, None)
    missing = len(seconds) - len(present)
    distinct = count_distinct(present) if len(present) else 0
    return Profile(name, "time", len(seconds), missing, seconds, distinct=distinct, smallest=low, largest=high)


def _of_numbers(name: str, values: Numbers) -> Profile:
    """Count a column of numbers."""
    is_missing = np.isnan(values)
    present = values[~is_missing] if is_missing.any() else values
    is_finite = np.isfinite(present)
    finite = present if is_finite.all() else present[is_finite]
    smallest, largest = (float(finite.min()), float(finite.max())) if len(finite) else (None, None)
    integers = int(np.count_nonzero(finite == np.trunc(finite)))
    distinct = count_distinct(present) if len(present) else 0
    is_counted = distinct <= (FEW if integers == len(present) else _FEW_FRACTIONS)
    levels = _levels(present if is_counted else present[:SAMPLE]) if is_counted or integers == len(present) else ()
    lengths = [len(f"{x:.0f}") for x in (smallest, largest) if x is not None] or [0]
    return Profile(
        name=name,
        type="number",
        n_rows=len(values),
        missing=len(values) - len(present),
        cells=values,
        numbers=len(present),
        integers=integers,
        infinite=len(present) - len(finite),
        round_numbers=sum(n for text, n in levels if text.endswith("0")),
        distinct=distinct,
        smallest=smallest,
        largest=largest,
        shortest=lengths[0],
        longest=lengths[-1],
        levels=levels,
        is_counted=is_counted,
    )


def _levels(present: Numbers) -> Levels:
    codes = coded(present)
    return tuple(zip(codes.levels, codes.counts().tolist(), strict=True))
