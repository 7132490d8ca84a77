import csv
import gzip
import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from traind.data.columns.held import coded_texts
from traind.data.encoding.encoder import UNSEEN, Encoded, Encoder
from traind.data.errors import BadTable
from traind.data.predict_input import batches_of, table_from
from traind.data.prepare import Prepared, Request, prepare
from traind.data.reading.formats import Format
from traind.data.reading.raw_table import read_table
from traind.data.table.cell_text import text_of

RNG = random.Random(2)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """A table with a column of each kind, some cells of each missing."""
    path = tmp_path_factory.mktemp("rows") / "table.csv"
    rows = []
    for i in range(400):
        cells = [f"{RNG.gauss(0, 9):.3f}", RNG.choice(["red", "green, dark", "blue"]), str(98_001 + i % 20)]
        cells += [RNG.choice(["True", "False"]), f"2014-{i % 12 + 1:02d}-{i % 28 + 1:02d}"]
        for place in range(len(cells)):
            if RNG.random() < 0.05:
                cells[place] = RNG.choice(["", " ? ", "NA"])
        rows.append([*cells, f"{RNG.random() * 100:.2f}"])
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["num", "cat", "zip", "flag", "day", "y"], *rows])
    found = prepare((path, "csv"), Request(target="y"))
    kinds = [column.kind for column in found.schema.columns]
    assert kinds == ["numeric", "categorical", "categorical", "boolean", "datetime", "numeric"]
    return found


def encoded(encoder: Encoder, data: Any, form: str | None = None) -> Encoded:
    return encoder.encode(table_from(data, encoder, form))


def assert_same(one: Encoded, other: Encoded) -> None:
    assert np.array_equal(one.numeric, other.numeric)
    assert np.array_equal(one.categorical, other.categorical)
    assert np.array_equal(one.target, other.target, equal_nan=True)


ROW: dict[str, Any] = {"num": 1.5, "cat": "red", "zip": 98_001, "flag": True, "day": "2014-10-13"}

CELL = {
    "num": st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**20), 10**20)),
    "cat": st.one_of(st.none(), st.sampled_from(["red", " red ", "blue", "new", "", "?"]), st.integers(0, 3)),
    "zip": st.one_of(st.none(), st.integers(98_000, 98_025), st.just("98001"), st.just(98_001.0)),
    "flag": st.one_of(st.none(), st.booleans(), st.sampled_from(["yes", "0", "no", "maybe"])),
    "day": st.one_of(st.none(), st.dates().map(str), st.datetimes().map(lambda time: time.isoformat())),
}


@given(rows=st.lists(st.fixed_dictionaries(CELL), min_size=1, max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
def test_rows_columns_and_files_are_read_alike(table: Prepared, tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    expected = encoded(table.encoder, rows)
    assert_same(encoded(table.encoder, {name: [row[name] for row in rows] for name in ROW}), expected)
    lines = tmp_path / "rows.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert_same(encoded(table.encoder, lines), expected)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(ROW))
    writer.writeheader()
    writer.writerows(rows)
    packed = tmp_path / "rows.csv.gz"
    packed.write_bytes(gzip.compress(text.getvalue().encode()))
    assert_same(encoded(table.encoder, packed), expected)


def test_the_file_it_was_trained_on_reads_as_in_training(houses: Path) -> None:
    found = prepare((houses, "csv.gz"), Request(target="price"))
    again = encoded(found.encoder, houses)
    order = np.lexsort(again.numeric.T)
    parts = np.concatenate([found.train.numeric, found.validation.numeric])
    assert np.array_equal(again.numeric[order], parts[np.lexsort(parts.T)])
    assert sorted(again.target) == sorted(np.concatenate([found.train.target, found.validation.target]))


def test_order_and_further_columns_do_not_matter(table: Prepared) -> None:
    expected = encoded(table.encoder, [ROW])
    shuffled = {"more": [1], **dict(reversed(ROW.items()))}
    assert_same(encoded(table.encoder, [shuffled]), expected)


def test_what_training_never_saw_has_its_place(table: Prepared) -> None:
    found = encoded(table.encoder, [ROW | {"cat": "violet", "flag": "maybe", "num": None}])
    names = [vocabulary.column for vocabulary in table.encoder.vocabularies]
    places = dict(zip(names, found.categorical[0].tolist(), strict=True))
    assert (places["cat"], places["flag"]) == (UNSEEN, UNSEEN)
    assert np.isfinite(found.numeric).all()


def test_a_missing_column_is_named(table: Prepared) -> None:
    encoder = replace(table.encoder, columns=tuple(replace(one, missing=0) for one in table.encoder.columns))
    with pytest.raises(BadTable, match="row 2 lacks the column 'zip'") as caught:
        encoded(encoder, [ROW, {name: cell for name, cell in ROW.items() if name != "zip"}])
    assert [(cell.line, cell.column) for cell in caught.value.cells] == [(2, "zip")]
    with pytest.raises(BadTable, match="the column 'num' is missing, and 3 more"):
        encoded(table.encoder, {"cat": ["red"]})


def test_an_absent_key_is_a_missing_value_where_training_had_some(table: Prepared) -> None:
    row = {name: cell for name, cell in ROW.items() if name != "zip"}
    assert_same(encoded(table.encoder, [row]), encoded(table.encoder, [ROW | {"zip": None}]))


def test_each_bad_row_is_named(table: Prepared) -> None:
    rows = [ROW, ROW | {"num": "abc"}, ROW | {"day": "soon"}, ROW | {"cat": ["red"]}, ROW | {"num": {"a": 1}}]
    with pytest.raises(BadTable, match="row 2, column 'num': 'abc' is not a number") as caught:
        encoded(table.encoder, rows)
    assert sorted((cell.line or 0, cell.column or "") for cell in caught.value.cells) == [
        (2, "num"),
        (3, "day"),
        (4, "cat"),
        (5, "num"),
    ]
    assert caught.value.cells[-1].message == "no cell: it holds text, a number, true, false or null, not dict"


def test_columns_of_different_lengths_are_refused(table: Prepared) -> None:
    with pytest.raises(BadTable, match="different lengths"):
        encoded(table.encoder, {name: [cell] * (1 + (name == "num")) for name, cell in ROW.items()})


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ('num,cat,zip,flag,day\n1,a,1,1,2014-10-13\n\n"1\n",a,1,1,2014-10-13\nx,a,1,1,\n', 6, "'x' is not a number"),
        ("num,cat,zip,flag,day\n1,a,1,1\n", 2, "4 cells, where the header has 5 names"),
        ('num,cat,zip,flag,day\n1,"a,1,1,2014-10-13\n', 2, "a quote is left open"),
    ],
)
def test_bad_lines_of_a_file_are_named(
    table: Prepared, tmp_path: Path, content: str, line: int, message: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(BadTable, match=message) as caught:
        encoded(table.encoder, path)
    assert caught.value.cells[0].line == line


def test_no_rows_are_no_rows(table: Prepared, tmp_path: Path) -> None:
    assert len(encoded(table.encoder, [])) == 0
    path = tmp_path / "t.csv"
    path.write_text(",".join(ROW) + "\n")
    assert len(encoded(table.encoder, path)) == 0


def test_a_file_comes_in_batches(houses: Path) -> None:
    batches = list(batches_of(houses, "csv.gz", 10_000))
    assert [len(batch.lines) for batch in batches] == [10_000, 10_000, 1_613]
    assert batches[1].lines[0] == 10_002
    assert batches[0].columns["zipcode"][:2] == ["98178", "98125"]


@pytest.mark.parametrize(
    "cell", ['"a" ', '"a" "b"', ' "a"', 'a"b', '"a""b"', '"a"b', '"a', "\\a", '"a\nb"', '"a\\"b"', "", '""']
)
def test_prediction_takes_and_refuses_what_training_does(tmp_path: Path, cell: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"x,c,y\n1,{cell},2\n" + "1,z,2\n" * 3)

    def trained() -> list[str | None] | None:
        try:
            return coded_texts(read_table(path, Format("csv")).columns["c"])[0].texts()
        except BadTable:
            return None

    def predicted() -> list[str | None] | None:
        try:
            return [text_of(text) for batch in batches_of(path, "csv", 9) for text in batch.columns["c"]]
        except BadTable:
            return None

    assert trained() == predicted()


def test_the_lines_of_a_batch_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('\nx,c\n1,"a\nb"\n\n2,c\n3,d\n')
    batches = [*batches_of(path, "csv", 2)]
    assert [[*batch.lines] for batch in batches] == [[3, 6], [7]]


def test_what_data_frames_have_for_none_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = (f"{i / 7},{i % 5},{'abc'[i % 3]},2020-01-{i % 28 + 1:02d},{i % 2 == 0},{i % 13 / 3}" for i in range(300))
    path.write_text("n,k,c,d,f,y\n,,,,,1\n" + "\n".join(rows))
    encoder = prepare((path, "csv"), Request(target="y")).encoder
    frame = pd.DataFrame(
        {
            "n": [1.5, np.nan],
            "k": pd.array([3, pd.NA], dtype="Int64"),
            "c": pd.array(["a", pd.NA], dtype="string"),
            "d": pd.to_datetime(["2020-01-03", None]),
            "f": pd.array([True, pd.NA], dtype="boolean"),
        }
    )
    plainly: list[dict[str, Any]] = [
        {"n": "1.5", "k": 3, "c": "a", "d": "2020-01-03", "f": "true"},
        dict.fromkeys("nkcdf"),
    ]
    expected = encoder.encode(table_from(plainly, encoder))
    assert expected.numeric[1].tolist() == [float(feature.part == "missing") for feature in encoder.features]
    for data in (
        frame,
        frame.to_dict("records"),
        dict(frame),
        pl.DataFrame(plainly, schema_overrides={"n": pl.String}),
    ):
        found = encoder.encode(table_from(data, encoder))  # type: ignore[arg-type]
        assert np.array_equal(found.numeric, expected.numeric)
        assert np.array_equal(found.categorical, expected.categorical)


def test_of_many_bad_cells_the_first_are_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b,y\n" + "".join(f"{i / 7},{i / 3},{i}\n" for i in range(100)))
    encoder = prepare((path, "csv"), Request(target="y")).encoder
    rows = [{"a": 1.0 if i < 80 else "odd", "b": "bad" if i % 2 else 1.0} for i in range(5_000)]
    with pytest.raises(BadTable) as caught:
        table_from(rows, encoder)
    expected = [(i + 1, name) for i, row in enumerate(rows) for name, cell in row.items() if isinstance(cell, str)]
    assert sorted((cell.line, cell.column) for cell in caught.value.cells) == sorted(expected[:100])
    with pytest.raises(BadTable, match="row 1 lacks") as caught:
        table_from([{}] * 1_000, encoder)
    assert [(cell.line, cell.column) for cell in caught.value.cells] == [
        (i // 2 + 1, "ab"[i % 2]) for i in range(100)
    ]
