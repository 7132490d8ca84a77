"""What is counted in each column of an open table, by SQL over all rows: the facts that inference decides by."""

# ruff: noqa: S608 - SQL is made of quoted identifiers and literals of ours

from collections.abc import Sequence
from dataclasses import dataclass

from traind.data.cells import no_number_sql, number_sql, text_sql
from traind.data.read import Field, OpenTable

FEW = 2_000  # distinct values up to which they are all counted
_SAMPLE = 1_000  # distinct texts looked at, where there are more
_AT_ONCE = 64  # columns a query


@dataclass(frozen=True, slots=True)
class Profile:
    """Counts of one column. `levels` are its most frequent texts with their counts, all of them if `is_counted`."""

    name: str
    is_text: bool  # not typed by the file
    is_time: bool  # typed as a date or time by the file
    is_nested: bool
    n_rows: int
    missing: int
    numbers: int
    no_numbers: int  # words such as "none" and "-"
    integers: int
    infinite: int
    leading_zeros: int
    round_numbers: int  # divisible by ten
    distinct: int
    smallest: float | None
    largest: float | None
    shortest: int
    longest: int
    levels: tuple[tuple[str, int], ...]
    is_counted: bool

    @property
    def present(self) -> int:
        """Return how many cells are not missing."""
        return self.n_rows - self.missing


def profile(table: OpenTable, names: Sequence[str] | None = None) -> dict[str, Profile]:
    """Return the profiles of the named columns, or of all."""
    fields = [field for field in table.fields if names is None or field.name in names]
    profiles: dict[str, Profile] = {}
    for start in range(0, len(fields), _AT_ONCE):
        some = fields[start : start + _AT_ONCE]
        for field, counts in zip(some, _counts(table, some), strict=True):
            profiles[field.name] = _profile(table, field, counts)
    return profiles


def _counts(table: OpenTable, fields: list[Field]) -> list[tuple[float, ...]]:
    inner, outer = [], []
    for i, field in enumerate(fields):
        inner.append(f"{_text(field)} AS t{i}")
        outer.append(_aggregates(i))
    middle = ", ".join(f"t{i}, {_number(field, f't{i}')} AS x{i}" for i, field in enumerate(fields))
    source = f"SELECT {', '.join(inner)} FROM {table.relation}"
    row = table.connection.execute(f"SELECT {', '.join(outer)} FROM (SELECT {middle} FROM ({source}))").fetchone()
    assert row is not None
    width = len(row) // len(fields)
    return [row[i * width : (i + 1) * width] for i in range(len(fields))]


def _aggregates(i: int) -> str:
    t, x = f"t{i}", f"x{i}"
    is_padded = f"starts_with({t}, '0') AND length({t}) > 1 AND {x} = trunc({x}) AND NOT contains({t}, '.')"
    return (
        f"count({t}), count({x}), count(*) FILTER ({x} IS NULL AND {no_number_sql(t)}), "
        f"count(*) FILTER ({x} = trunc({x}) AND isfinite({x})), count(*) FILTER (isinf({x})), "
        f"count(*) FILTER ({is_padded}), "
        f"count(*) FILTER (isfinite({x}) AND {x} % 10 = 0), "
        f"approx_count_distinct({t}), min({x}) FILTER (isfinite({x})), max({x}) FILTER (isfinite({x})), "
        f"coalesce(min(length({t})), 0), coalesce(max(length({t})), 0)"
    )


def _text(field: Field) -> str:
    return "NULL::VARCHAR" if field.is_nested else text_sql(field.text)


def _number(field: Field, text: str) -> str:
    return number_sql(f"replace({text}, ',', '.')" if field.has_decimal_comma else text)


def _profile(table: OpenTable, field: Field, counts: tuple[float, ...]) -> Profile:
    present, numbers, no_numbers, integers, infinite, zeros, rounds, distinct, low, high, short, long = counts
    is_few = distinct <= FEW
    levels = _levels(table, field, FEW * 2 if is_few else _SAMPLE, by_count=is_few)
    is_counted = is_few and len(levels) < FEW * 2
    return Profile(
        name=field.name,
        is_text=field.is_text,
        is_time=field.is_time,
        is_nested=field.is_nested,
        n_rows=table.n_rows,
        missing=table.n_rows - int(present),
        numbers=int(numbers),
        no_numbers=int(no_numbers),
        integers=int(integers),
        infinite=int(infinite),
        leading_zeros=int(zeros),
        round_numbers=int(rounds),
        distinct=len(levels) if is_counted else min(int(distinct), int(present)),
        smallest=low,
        largest=high,
        shortest=int(short),
        longest=int(long),
        levels=levels,
        is_counted=is_counted,
    )


def _levels(table: OpenTable, field: Field, limit: int, *, by_count: bool) -> tuple[tuple[str, int], ...]:
    """Return distinct texts with their counts: the most frequent first, or whichever stand first in the file."""
    if field.is_nested:
        return ()
    source = f"SELECT {_text(field)} AS t FROM {table.relation}"
    if not by_count:
        source += f" LIMIT {limit * 5}"
    rows = table.connection.execute(
        f"SELECT t, count(*) AS n FROM ({source}) WHERE t IS NOT NULL GROUP BY t ORDER BY n DESC, t LIMIT {limit}"
    ).fetchall()
    return tuple((text, int(n)) for text, n in rows)
