"""Columns of lists and objects are left out, whatever the format; asked for by name they are refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from traind.data.columns.request import Request
from traind.data.describe import describe, preview
from traind.data.errors import BadTable
from traind.data.prepare import Prepared, prepare
from traind.data.reading.formats import detect

ROWS = [{"x": i / 7, "tags": ["a", "b"], "where": {"lat": i}, "y": i / 3} for i in range(60)]


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "\n".join(map(json.dumps, rows)).encode()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(content: bytes, name: str) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


@pytest.fixture(params=["jsonl", "parquet"])
def nested(request: pytest.FixtureRequest, write: Callable[..., Path], tmp_path: Path) -> Path:
    """The same rows in each format that can hold them."""
    if request.param == "jsonl":
        return write(lines(ROWS), "t.jsonl")
    path = tmp_path / "t.parquet"
    pl.DataFrame(ROWS).write_parquet(path)
    return path


def prepared(path: Path, **request: Any) -> Prepared:
    return prepare((path, str(detect(path, path.name))), Request(target="y", **request))


def test_nested_columns_are_left_out_with_a_remark_in_every_format(nested: Path) -> None:
    schema = prepared(nested).schema
    assert [column.name for column in schema.columns if column.role == "feature"] == ["x"]
    said = [(remark.column, remark.message) for remark in schema.warnings]
    assert said == [(name, f"{name!r} is left out: cells hold lists, objects or bytes") for name in ("tags", "where")]


def test_they_are_described_and_shown(nested: Path) -> None:
    form = detect(nested, nested.name)
    told = {column["name"]: column for column in describe(nested, form)["columns"]}
    assert (told["tags"]["kind"], told["tags"]["is_used"], told["tags"]["missing"]) == ("ignore", False, 0)
    [row] = preview(nested, form, 1)["rows"]
    assert str(row[1]).replace('"', "'").replace(" ", "") in {"['a','b']", "[a,b]"}


@pytest.mark.parametrize("asked", [{"features": ("x", "tags")}, {"columns": {"tags": "categorical"}}])
def test_asked_for_by_name_they_are_refused(nested: Path, asked: dict[str, Any]) -> None:
    with pytest.raises(BadTable, match="names 'tags', which holds lists, objects or bytes"):
        prepared(nested, **asked)


def test_as_the_target_they_are_refused(nested: Path) -> None:
    with pytest.raises(BadTable, match="the target 'where' holds lists, objects or bytes"):
        prepare((nested, str(detect(nested, nested.name))), Request(target="where"))


def test_a_column_that_is_mostly_nested_is_left_out_and_its_gaps_are_counted(write: Callable[..., Path]) -> None:
    odd = [{**row, "where": ({}, None, "none")[i % 3]} for i, row in enumerate(ROWS)]
    path = write(lines(odd), "t.jsonl")
    where = next(c for c in describe(path, detect(path, path.name))["columns"] if c["name"] == "where")
    assert (where["kind"], where["missing"]) == ("ignore", 20)


def test_a_list_among_plain_values_is_a_wrong_cell(write: Callable[..., Path]) -> None:
    odd = [{**row, "x": [1, 2] if i in (7, 9) else i} for i, row in enumerate(ROWS)]
    with pytest.raises(BadTable, match="line 8, column 'x': a cell holds text") as caught:
        prepared(write(lines(odd), "t.jsonl"))
    assert [(cell.line, cell.column, cell.value) for cell in caught.value.cells] == [
        (8, "x", "[1,2]"),
        (10, "x", "[1,2]"),
    ]
