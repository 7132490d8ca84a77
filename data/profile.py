"""What is counted in each column of an open table, by SQL over all rows: the facts that inference decides by."""

# ruff: noqa: S608 - SQL is made of quoted identifiers and literals of ours

import math
from dataclasses import dataclass

from traind.data.cells import no_number_sql, number_of
from traind.data.read import Field, OpenTable

FEW = 2_000  # distinct values up to which they are all counted
_FEW_FRACTIONS = 50  # distinct values up to which those of a column of fractions are counted
_SAMPLE = 1_000  # distinct texts looked at, where there are more
_AT_ONCE = 256  # columns a query


@dataclass(frozen=True, slots=True)
class Profile:
    """Counts of one column. `levels` are its most frequent texts with their counts, all of them if `is_counted`."""

    field: Field
    n_rows: int
    missing: int
    numbers: int
    no_numbers: int  # words such as "none" and "-"
    integers: int
    infinite: int
    leading_zeros: int
    round_numbers: int  # divisible by ten, where the levels are counted
    distinct: int
    smallest: float | None  # of the finite
    largest: float | None
    shortest: int  # text, in bytes
    longest: int
    levels: tuple[tuple[str, int], ...]
    is_counted: bool

    @property
    def name(self) -> str:
        """Return the column's name."""
        return self.field.name

    @property
    def present(self) -> int:
        """Return how many cells are not missing."""
        return self.n_rows - self.missing


@dataclass(frozen=True, slots=True)
class _Counts:
    """What one pass over the rows counts."""

    present: int
    distinct: int
    numbers: int
    integers: int | None  # None: of none
    smallest: float | None
    largest: float | None
    shortest: int | None
    longest: int | None


def profile(table: OpenTable) -> dict[str, Profile]:
    """Return the profile of every column, by name."""
    fields = list(table.fields.values())
    profiles: dict[str, Profile] = {}
    for start in range(0, len(fields), _AT_ONCE):
        some = fields[start : start + _AT_ONCE]
        for field, counts in zip(some, _counts(table, some), strict=True):
            profiles[field.name] = _profile(table, field, counts)
    return profiles


def _counts(table: OpenTable, fields: list[Field]) -> list[_Counts]:
    """Count all of these columns in one pass; each of a kind costs time, so few are counted here."""
    cells = ", ".join(f"{field.sql} AS t{i}, {field.number} AS x{i}" for i, field in enumerate(fields))
    wanted = ", ".join(_aggregates(field, f"t{i}", f"x{i}") for i, field in enumerate(fields))
    row = table.connection.execute(f"SELECT {wanted} FROM (SELECT {cells} FROM {table.relation})").fetchone()
    assert row is not None
    width = len(row) // len(fields)
    return [_Counts(*row[i * width : (i + 1) * width]) for i in range(len(fields))]


def _aggregates(field: Field, t: str, x: str) -> str:
    lengths = f"min(strlen({t})), max(strlen({t}))" if field.is_text else "0, 0"
    if field.is_nested:
        return f"count({t}), 0, 0, 0, NULL, NULL, 0, 0"
    numbers = f"count({x}), count_if({x} = trunc({x})), min({x}), max({x})"
    return f"count({t}), approx_count_distinct({t}), {numbers}, {lengths}"


def _profile(table: OpenTable, field: Field, counts: _Counts) -> Profile:
    is_few = counts.distinct <= FEW
    is_fraction = counts.numbers == counts.present and (counts.integers or 0) < counts.numbers
    has_levels = not field.is_nested and not (is_fraction and counts.distinct > _FEW_FRACTIONS)
    levels = _levels(table, field, FEW * 2, is_few=is_few) if has_levels else ()
    is_counted = has_levels and is_few and len(levels) < FEW * 2
    shortest, longest = counts.shortest or 0, counts.longest or 0
    if not field.is_text and counts.smallest is not None and counts.largest is not None:
        shortest, longest = len(f"{counts.smallest:.0f}"), len(f"{counts.largest:.0f}")
    infinite, smallest, largest = _finite(table, field, counts)
    return Profile(
        field=field,
        n_rows=table.n_rows,
        missing=table.n_rows - counts.present,
        numbers=counts.numbers,
        no_numbers=_no_numbers(table, field, counts),
        integers=(counts.integers or 0) - infinite,
        infinite=infinite,
        leading_zeros=_leading_zeros(table, field, counts),
        round_numbers=sum(n for text, n in levels if text.endswith("0") and number_of(text) is not None),
        distinct=len(levels) if is_counted else min(counts.distinct, counts.present),
        smallest=smallest,
        largest=largest,
        shortest=shortest,
        longest=longest,
        levels=levels,
        is_counted=is_counted,
    )


def _levels(table: OpenTable, field: Field, limit: int, *, is_few: bool) -> tuple[tuple[str, int], ...]:
    """Return distinct texts with their counts: the most frequent first, or of whichever rows stand first."""
    source = table.relation if is_few else f"(SELECT {field.sql} FROM {table.relation} LIMIT {_SAMPLE})"
    grouped = f"SELECT {field.sql} AS t, count(*) AS n FROM {source} GROUP BY ALL"
    rows = table.connection.execute(
        f"SELECT CAST(t AS VARCHAR) AS t, n FROM ({grouped}) WHERE t IS NOT NULL ORDER BY n DESC, t LIMIT {limit}"
    ).fetchall()
    return tuple((text, int(n)) for text, n in rows)


def _finite(table: OpenTable, field: Field, counts: _Counts) -> tuple[int, float | None, float | None]:
    """Return how many cells are infinite, and the range of the others."""
    low, high = counts.smallest, counts.largest
    if low is None or high is None or (math.isfinite(low) and math.isfinite(high)):
        return 0, low, high
    x = field.number
    row = table.connection.execute(
        f"SELECT count_if(isinf(x)), min(x) FILTER (isfinite(x)), max(x) FILTER (isfinite(x)) "
        f"FROM (SELECT {x} AS x FROM {table.relation})"
    ).fetchone()
    assert row is not None
    return int(row[0]), row[1], row[2]


def _no_numbers(table: OpenTable, field: Field, counts: _Counts) -> int:
    if not field.is_text or not 0 < counts.numbers < counts.present:
        return 0
    query = f"SELECT count_if({no_number_sql(field.sql)}) FROM {table.relation}"
    (count,) = table.connection.execute(query).fetchone() or (0,)
    return int(count)


def _leading_zeros(table: OpenTable, field: Field, counts: _Counts) -> int:
    if not field.is_text or not counts.numbers or (counts.integers or 0) < counts.numbers:
        return 0
    query = f"SELECT count_if(regexp_matches({field.sql}, '^0[0-9]+$')) FROM {table.relation}"
    (count,) = table.connection.execute(query).fetchone() or (0,)
    return int(count)
