"""Turns tables into arrays for a network, by rules fitted on the training rows alone and saved with the model.

Numbers are scaled robustly and clipped smoothly; categories become indices into a vocabulary; a time becomes several
numbers. A missing number becomes the median, with an indicator column; a missing category has index 0, one unseen in
training index 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec import Struct, convert, to_builtins
from numpy.typing import NDArray

from traind.data.encoding.text import TextRule, fit_text
from traind.data.table.arrays import Cells, Codes, Mixed, Numbers, Table, take
from traind.data.table.cell_text import boolean_of, canonical_number, number_of
from traind.data.table.schema import Column, Schema
from traind.data.threads import mapped

MISSING, UNSEEN, FIRST = 0, 1, 2  # categorical indices
MAX_LEVELS = 20_000
_TIME_PARTS = ("day", "month", "day_of_month", "weekday", "hour")
_DAY_S = 86_400.0
_SORTED = 200_000  # quartiles of twice as many values or more are taken from a part of them
_AT_ONCE = 8  # features encoded together
_BLOCK = 16_384  # rows encoded at once: their arrays stay in the processor's cache


class Scale(Struct, frozen=True):
    """Fitted on training rows: `center` is the median, `factor` one over the interquartile range."""

    center: float
    factor: float


class Feature(Struct, frozen=True):
    """One numeric feature: its column, and the part of it."""

    column: str
    part: str = "value"  # value, missing, word, or a part of a time
    scale: Scale | None = None  # None: 0 or 1, not scaled
    word: str = ""  # for the part word: the word whose presence it indicates
    is_linear: bool = False  # scaled but not clipped
    low: float | None = None  # smallest value of the training rows, for the part value
    high: float | None = None

    @property
    def name(self) -> str:
        """Return a name for people."""
        return self.column if self.part == "value" else f"{self.column}: {self.word or self.part}"


class Bag(Struct, frozen=True):
    """The `width` categorical columns from `start` on hold the tokens of one text column; 0: no token."""

    start: int
    width: int
    size: int  # number of indices, 0 included


class Vocabulary(Struct, frozen=True):
    """One categorical column of the encoded table: `levels[i]` has the index `i + 2`, the most frequent first."""

    column: str
    levels: tuple[str, ...]
    counts: tuple[int, ...]  # training rows by index, those of missing and unseen first
    is_boolean: bool = False
    is_number: bool = False  # levels are numbers, compared by value

    @property
    def cardinality(self) -> int:
        """Return the number of indices."""
        return len(self.levels) + FIRST


@dataclass(frozen=True, slots=True)
class Encoded:
    """Arrays of one part of the data; they may be memory-mapped, read-only."""

    numeric: NDArray[np.float32]  # (rows, numeric features)
    categorical: NDArray[np.int64]  # (rows, categorical columns, then those of the bags)
    target: NDArray[Any]  # (rows,) float64 as in the file, or int64 class index, -1 for no known class
    weight: NDArray[np.float32] | None = None  # (rows,) of the loss, 1 on average; None: all 1

    def __len__(self) -> int:
        return len(self.target)


class Encoder(Struct, frozen=True):
    """The fitted rules. `state()` is plain values; `Encoder.from_state` makes the same encoder of them."""

    columns: tuple[Column, ...]  # the features, as the table must have them
    features: tuple[Feature, ...]
    vocabularies: tuple[Vocabulary, ...]
    target: str
    labels: tuple[str, ...] = ()  # of classes; empty: the target is a number
    texts: tuple[TextRule, ...] = ()
    target_column: Column | None = None  # how its cells are written; None in models of 0.1.0

    @property
    def bags(self) -> tuple[Bag, ...]:
        """Return the categorical columns with the tokens of each text."""
        starts = np.cumsum([len(self.vocabularies), *(rule.width for rule in self.texts)]).tolist()
        return tuple(Bag(at, one.width, len(one.tokens) + 1) for at, one in zip(starts, self.texts, strict=False))

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Return how many indices each categorical column has."""
        return tuple(vocabulary.cardinality for vocabulary in self.vocabularies)

    def state(self) -> dict[str, Any]:
        """Return everything as plain values."""
        state: dict[str, Any] = to_builtins(self)
        return state

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Encoder":
        """Return the encoder of a state; raises `msgspec.ValidationError`."""
        return convert(state, cls)

    def encode(self, table: Table, rows: NDArray[np.int64] | None = None, threads: int = 1) -> Encoded:
        """Return these rows of the table, or all, as arrays; a missing target column becomes NaN or -1."""
        n_rows = table.n_rows if rows is None else len(rows)
        numeric = np.empty((n_rows, len(self.features)), np.float32)
        n_categorical = len(self.vocabularies) + sum(bag.width for bag in self.bags)
        categorical = np.empty((n_rows, n_categorical), np.int64)
        alike = [i for i, one in enumerate(self.features) if one.part == "value" and not one.is_linear]
        bent = [alike[start : start + _AT_ONCE] for start in range(0, len(alike), _AT_ONCE)]
        others = sorted({*range(len(self.features))} - {*alike})
        lookups = [_lookup(table.columns[one.column], one) for one in self.vocabularies]

        tokens = [np.vstack([_places(table, rule), np.zeros((1, rule.width), np.int32)]) for rule in self.texts]

        def fill(start: int) -> None:
            block = slice(start, start + _BLOCK)
            chosen = block if rows is None else rows[block]
            for some in bent:
                values = np.stack([_values(table, self.features[i].column)[chosen] for i in some])
                numeric[block, some] = _scaled(values, [self.features[i] for i in some]).T
            for i in others:
                feature = self.features[i]
                numeric[block, i] = _numbers(take(table.columns[feature.column], chosen), feature)
            for i, (vocabulary, lookup) in enumerate(zip(self.vocabularies, lookups, strict=True)):
                categorical[block, i] = lookup[_codes_in(table, vocabulary.column)[chosen]]
            for rule, bag, places in zip(self.texts, self.bags, tokens, strict=True):
                codes = _codes_in(table, rule.column)[chosen]
                categorical[block, bag.start : bag.start + bag.width] = places[codes]

        mapped(fill, range(0, n_rows, _BLOCK), threads)
        target = self.encode_target(table)
        return Encoded(numeric, categorical, target if rows is None else target[rows])

    def encode_target(self, table: Table) -> NDArray[Any]:
        """Return the target: numbers as they are, or class indices."""
        cells = table.columns.get(self.target)
        if cells is None:
            return np.full(table.n_rows, -1, np.int64) if self.labels else np.full(table.n_rows, np.nan)
        return class_indices(cells, self.labels) if self.labels else np.asarray(cells, np.float64)

    def places(self, column: str) -> tuple[list[int], list[int]]:
        """Return which numeric and which categorical columns of the encoded table come from this column."""
        numeric = [i for i, feature in enumerate(self.features) if feature.column == column]
        categorical = [i for i, vocabulary in enumerate(self.vocabularies) if vocabulary.column == column]
        for rule, bag in zip(self.texts, self.bags, strict=True):
            categorical += range(bag.start, bag.start + bag.width) if rule.column == column else ()
        return numeric, categorical


def fit(
    schema: Schema,
    table: Table,
    rows: NDArray[np.int64] | None = None,
    threads: int = 1,
    *,
    is_linear: bool = False,
) -> Encoder:
    """Return the encoder fitted on these training rows of the table, or on all."""

    def fit_column(column: Column) -> Vocabulary | list[Feature] | TextRule | None:
        cells = table.columns[column.name] if rows is None else take(table.columns[column.name], rows)
        if column.kind == "text":
            assert isinstance(cells, Codes)
            return fit_text(column.name, cells)
        return (
            _fit_vocabulary(column, cells)
            if isinstance(cells, Codes)
            else _fit_numbers(column, cells, is_linear=is_linear)
        )

    fitted = mapped(fit_column, schema.features(), threads if table.n_rows > _BLOCK else 1)
    features = tuple(feature for one in fitted if isinstance(one, list) for feature in one)
    vocabularies = tuple(one for one in fitted if isinstance(one, Vocabulary))
    texts = tuple(one for one in fitted if isinstance(one, TextRule))
    target = next((column for column in schema.columns if column.role == "target"), None)
    return Encoder(schema.features(), features, vocabularies, schema.target, schema.labels, texts, target)


def class_indices(cells: Cells, labels: Sequence[str]) -> NDArray[np.int64]:
    """Return each cell's index among the labels, -1 for none of them."""
    if isinstance(cells, Codes):
        index = {canonical_number(label): i for i, label in enumerate(labels)}
        lookup = np.array([*(index.get(canonical_number(level), -1) for level in cells.levels), -1], np.int64)
        return lookup[cells.codes]
    raise TypeError("classes are text")


def _fit_numbers(column: Column, cells: Numbers | Mixed, *, is_linear: bool) -> list[Feature]:
    words = [Feature(column.name, "word", None, word) for word in column.words] if isinstance(cells, Mixed) else []
    values = cells.numbers if isinstance(cells, Mixed) else cells
    found = [Feature(column.name, "missing")] if _is_missing(cells).any() else []
    found += words
    if column.kind == "datetime":
        parts = [part for part in _TIME_PARTS if _varies(_time_part(values, part))]
        scales = {part: _fit_scale(_time_part(values, part)) for part in parts}
        return [Feature(column.name, part, scale, is_linear=is_linear) for part, scale in scales.items()] + found
    if not _varies(values):
        return found
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (None, None)
    scale = _fit_scale(values)
    return [Feature(column.name, "value", scale, is_linear=is_linear, low=low, high=high), *found]


def _is_missing(cells: Numbers | Mixed) -> NDArray[np.bool_]:
    if isinstance(cells, Mixed):
        found: NDArray[np.bool_] = np.isnan(cells.numbers) & (cells.words.codes < 0)
        return found
    return np.isnan(cells)


def _varies(values: Numbers) -> bool:
    is_missing = np.isnan(values)
    present = values[~is_missing] if is_missing.any() else values
    return bool(len(present)) and bool(present.min() < present.max())


def _fit_scale(values: Numbers) -> Scale:
    """Return the robust scale of RealMLP (Holzmueller et al., NeurIPS 2024): quartiles, else the whole range."""
    is_finite = np.isfinite(values)
    present = values if is_finite.all() else values[is_finite]
    if not len(present):
        return Scale(0.0, 0.0)
    with np.errstate(invalid="ignore", over="ignore"):
        low, first, median, third, high = _quartiles(present)
    if not np.isfinite(median):  # numbers near the largest float
        return Scale(0.0, 0.0)
    if third > first:
        return Scale(median, 1.0 / (third - first))
    return Scale(median, 2.0 / (high - low) if high > low else 0.0)


def _quartiles(values: Numbers) -> list[float]:
    """Return minimum, quartiles and maximum.

    Of many values every second, third ... is taken: training rows are in no order that a step could follow.
    """
    ordered = np.sort(values[:: len(values) // _SORTED] if len(values) >= 2 * _SORTED else values)
    found: list[float] = quantiles(ordered, np.array([0.0, 0.25, 0.5, 0.75, 1.0])).tolist()
    return found


def quantiles(ordered: NDArray[Any], shares: NDArray[np.float64]) -> NDArray[Any]:
    """Return the quantiles of ascending numbers, as `np.quantile`, which is several times slower than sorting."""
    places = shares * (len(ordered) - 1)
    below = places.astype(np.int64)
    share = places - below
    left, right = ordered[below], ordered[np.minimum(below + 1, len(ordered) - 1)]
    step = right - left
    found: NDArray[Any] = np.where(share < 0.5, left + step * share, right - step * (1.0 - share))
    return found


def _places(table: Table, rule: TextRule) -> NDArray[np.int32]:
    cells = table.columns[rule.column]
    assert isinstance(cells, Codes)
    return rule.places(cells.levels)


def _values(table: Table, column: str) -> Numbers:
    cells = table.columns[column]
    assert not isinstance(cells, Codes)
    return cells.numbers if isinstance(cells, Mixed) else cells


def _codes_in(table: Table, column: str) -> NDArray[np.int32]:
    cells = table.columns[column]
    assert isinstance(cells, Codes)
    return cells.codes


def _numbers(cells: Cells, feature: Feature) -> NDArray[Any]:
    assert not isinstance(cells, Codes)
    if feature.part == "missing":
        return _is_missing(cells)
    if feature.part == "word":
        return (
            cells.words.codes == _place(cells.words, feature.word)
            if isinstance(cells, Mixed)
            else np.zeros(len(cells))
        )
    numbers = cells.numbers if isinstance(cells, Mixed) else cells
    values = numbers if feature.part == "value" else _time_part(numbers, feature.part)
    found: Numbers = _scaled(values[None], [feature])[0]
    return found


def _scaled(values: Numbers, features: Sequence[Feature]) -> Numbers:
    """Return scaled numbers (features, rows), smoothly clipped unless the first feature is linear."""
    scales = np.array([(one.scale.center, one.scale.factor) for one in features if one.scale is not None])
    with np.errstate(invalid="ignore", over="ignore"):  # infinite cells
        scaled = (values - scales[:, :1]) * scales[:, 1:]
        return np.nan_to_num(np.clip(scaled, -1e6, 1e6)) if features[0].is_linear else smooth_clip(scaled)


def _place(words: Codes, word: str) -> int:
    """Return the code of a word, or a code that no cell has."""
    return words.levels.index(word) if word in words.levels else len(words.levels)


def smooth_clip(z: Numbers) -> Numbers:
    """Return `z / sqrt(1 + (z / 3)^2)`: nearly z around 0, within (-3, 3) always; missing is 0."""
    with np.errstate(invalid="ignore", over="ignore"):
        size = np.sqrt(1.0 + (z / 3.0) ** 2)
        clipped = z / size
    if np.isfinite(size).all():
        return clipped
    return np.where(np.isnan(z), 0.0, np.where(np.abs(z) > 1e150, 3.0 * np.sign(z), clipped))


def _time_part(seconds: Numbers, part: str) -> Numbers:
    """Return one part of each time, in UTC; NaN where missing."""
    if part == "day":
        return seconds / _DAY_S
    days = np.floor(seconds / _DAY_S)
    if part == "hour":
        return (seconds - days * _DAY_S) / 3_600.0
    if part == "weekday":
        return (days + 3.0) % 7.0  # 1970-01-01 was a Thursday; Monday is 0
    missing = np.isnan(days)
    dates = np.where(missing, 0, days).astype(np.int64).astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    found = (
        (months.astype(np.int64) % 12 + 1).astype(np.float64)
        if part == "month"
        else (dates - months).astype(np.int64) + 1.0
    )
    return np.where(missing, np.nan, found)


def _fit_vocabulary(column: Column, cells: Codes) -> Vocabulary:
    """Keep the levels that occur often enough; the others train the index of unseen levels."""
    present = cells.codes[cells.codes >= 0]
    counts = np.bincount(present, minlength=len(cells.levels))
    is_boolean = column.kind == "boolean"
    spelled = [level for level, count in zip(cells.levels, counts, strict=True) if count]
    is_number = bool(spelled) and all(number_of(level) is not None for level in spelled)
    is_number = is_number and len({canonical_number(level) for level in spelled}) == len(spelled)
    totals: dict[str, int] = {}
    for level, count in zip(cells.levels, counts.tolist(), strict=True):
        key = _key(level, is_boolean=is_boolean, is_number=is_number)
        totals[key] = totals.get(key, 0) + count
    least = 1 if is_boolean else 2 if len(cells.codes) < 1_000 else 5
    kept = sorted((key for key, n in totals.items() if n >= least), key=lambda key: (-totals[key], key))[:MAX_LEVELS]
    in_kept = [totals[key] for key in kept]
    missing = len(cells.codes) - len(present)
    counted = (missing, len(present) - sum(in_kept), *in_kept)
    return Vocabulary(column.name, tuple(kept), counted, is_boolean=is_boolean, is_number=is_number)


def _key(level: str, *, is_boolean: bool, is_number: bool) -> str:
    """Return the spelling by which a level is looked up."""
    if is_boolean:
        said = boolean_of(level)
        return level if said is None else str(said).lower()
    return canonical_number(level) if is_number else level


def _lookup(cells: Cells, vocabulary: Vocabulary) -> NDArray[np.int64]:
    """Return the index of each of the cells' levels, then that of a missing cell."""
    assert isinstance(cells, Codes)
    index = {level: i for i, level in enumerate(vocabulary.levels, FIRST)}
    keys = [_key(level, is_boolean=vocabulary.is_boolean, is_number=vocabulary.is_number) for level in cells.levels]
    return np.array([*(index.get(key, UNSEEN) for key in keys), MISSING], np.int64)
