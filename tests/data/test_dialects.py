"""A table of known meaning, written in many dialects and formats, comes back as the same arrays and kinds."""

import csv
import gzip
import io
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from traind.data.encoding.encoder import Encoded
from traind.data.predict_input import table_from
from traind.data.prepare import Prepared, Request, prepare

Row = dict[str, Any]
DAY = datetime(2019, 3, 14, tzinfo=UTC)
WORDS = ["red", "grün", 'a "b" c', "x, y; z", "two\nlines"]
DATES = ["%Y-%m-%d", "%d.%m.%Y", "%d %b %Y", "%d-%b-%y", "%a, %d %b %Y", "%Y/%m/%d"]


def made(n: int, seed: int) -> list[Row]:
    """Rows of every kind; of each some are missing."""
    rng = random.Random(seed)
    rows = []
    for i in range(n):
        row: Row = {
            "count": rng.randrange(0, 90_000),
            "share": round(rng.gauss(0, 900), 2),
            "colour": rng.choice(WORDS),
            "flag": rng.random() < 0.4,
            "day": DAY + timedelta(days=rng.randrange(900)),
            "big": str(10**17 + rng.randrange(30)),
            "y": round(rng.gauss(0, 5), 3),
        }
        rows.append({name: None if i % 17 == place else cell for place, (name, cell) in enumerate(row.items())})
    return rows


def texts(rows: list[Row], decimal: str, thousands: str, written: str, missing: str) -> list[dict[str, str]]:
    """The rows as text, the way somebody writes numbers, dates and gaps."""

    def text(cell: Any) -> str:
        match cell:
            case None:
                return missing
            case bool():
                return str(cell)
            case datetime():
                return cell.strftime(written)
            case int():
                return f"{cell:,}".replace(",", thousands)
            case float():
                return str(cell).replace(".", decimal)
            case _:
                return str(cell)

    return [
        {name: text(cell) if name != "y" or cell is not None else "" for name, cell in row.items()} for row in rows
    ]


def prepared(path: Path, form: str) -> Prepared:
    return prepare((path, form), Request(target="y", columns={"big": "categorical"}))


def assert_same(one: Prepared, other: Prepared) -> None:
    assert [(c.name, c.kind, c.role, c.missing, c.distinct) for c in one.schema.columns] == [
        (c.name, c.kind, c.role, c.missing, c.distinct) for c in other.schema.columns
    ]
    for part in ("train", "validation"):
        assert np.array_equal(getattr(one, part).numeric, getattr(other, part).numeric)
        assert np.array_equal(getattr(one, part).categorical, getattr(other, part).categorical)
        assert np.array_equal(getattr(one, part).target, getattr(other, part).target)


def encoded(found: Prepared, path: Path, form: str) -> Encoded:
    """The whole file as a model predicts it, in the order of its rows."""
    return found.encoder.encode(table_from(path, found.encoder, form))


def assert_predicted_alike(plain: "Plain", found: Prepared, path: Path, form: str) -> None:
    """What training reads alike prediction reads alike."""
    one = encoded(found, path, form)
    assert np.array_equal(one.numeric, plain.encoded.numeric)
    assert np.array_equal(one.categorical, plain.encoded.categorical)
    assert np.array_equal(one.target, plain.encoded.target, equal_nan=True)


def written_csv(rows: list[dict[str, str]], **how: Any) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), **how)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


class Plain(NamedTuple):
    """Rows, and what a plain file of them is read as."""

    rows: list[Row]
    found: Prepared
    encoded: Encoded

    def __repr__(self) -> str:
        return f"{len(self.rows)} rows"


@pytest.fixture(scope="module", params=[400, 6_000])
def plain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Plain:
    """The rows, and what the plainest CSV file of them is read as; below and above 5,000 rows."""
    rows = made(request.param, seed=request.param)
    path = tmp_path_factory.mktemp("plain") / "t.csv"
    path.write_text(written_csv(texts(rows, ".", "", "%Y-%m-%d", "")), encoding="utf-8", newline="")
    found = prepared(path, "csv")
    kinds = {column.name: column.kind for column in found.schema.columns}
    assert kinds == {
        "count": "numeric",
        "share": "numeric",
        "colour": "categorical",
        "flag": "boolean",
        "day": "datetime",
        "big": "categorical",
        "y": "numeric",
    }
    return Plain(rows, found, encoded(found, path, "csv"))


class Dialect(Struct, frozen=True):
    """How somebody writes a table."""

    marks: tuple[str, str]  # decimal, thousands
    delimiter: str
    date: str
    missing: str
    ends: str
    encoding: str
    quoting: Any
    is_gzip: bool


DIALECT = st.builds(
    Dialect,
    marks=st.sampled_from([(".", ""), (".", ","), (",", "."), (",", " "), (".", "'"), (",", "")]),
    delimiter=st.sampled_from([";", "\t", "|", ","]),
    date=st.sampled_from(DATES),
    missing=st.sampled_from(["", "NA", "n/a", "#DIV/0!", "..", " ? "]),
    ends=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "latin-1", "cp1252", "utf-16"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    is_gzip=st.booleans(),
)


@settings(
    deadline=None,
    max_examples=10,
    phases=[Phase.generate],  # what fails is small enough to be read
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(how=DIALECT)
def test_a_dialect_changes_nothing(plain: Plain, tmp_path: Path, how: Dialect) -> None:
    rows, expected, _ = plain
    cells = texts(rows, *how.marks, how.date, how.missing)
    text = written_csv(cells, delimiter=how.delimiter, lineterminator=how.ends, quoting=how.quoting)
    content = text.encode(how.encoding)
    path = tmp_path / "t"
    path.write_bytes(gzip.compress(content, 1) if how.is_gzip else content)
    form = f"csv{'.gz' if how.is_gzip else ''};charset={how.encoding}"
    found = prepared(path, form)
    assert_same(found, expected)
    assert_predicted_alike(plain, found, path, form)


def test_json_lines_and_parquet_change_nothing(plain: Plain, tmp_path: Path) -> None:
    rows, expected, _ = plain
    lines = tmp_path / "t.jsonl"
    plainly = [{**row, "day": row["day"] and str(row["day"].date())} for row in rows]
    lines.write_text("".join(json.dumps(row) + "\n" for row in plainly))
    assert_same(found := prepared(lines, "jsonl"), expected)
    assert_predicted_alike(plain, found, lines, "jsonl")
    typed = tmp_path / "typed.parquet"
    exact = [{**row, "big": row["big"] and int(row["big"])} for row in rows]
    frame = pl.DataFrame(exact, infer_schema_length=None)
    frame.write_parquet(typed)
    assert_same(found := prepared(typed, "parquet"), expected)
    assert_predicted_alike(plain, found, typed, "parquet")
    text = tmp_path / "text.parquet"
    pl.DataFrame(texts(rows, ",", ".", "%d.%m.%Y", "")).write_parquet(text)
    assert_same(found := prepared(text, "parquet"), expected)
    assert_predicted_alike(plain, found, text, "parquet")
