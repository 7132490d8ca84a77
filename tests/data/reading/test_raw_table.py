"""Hostile and honest files: each is read right, or refused with line and column."""

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from traind.data.describe import describe_request
from traind.data.errors import BadTable
from traind.data.predict_input import table_from
from traind.data.prepare import Prepared, Request, prepare
from traind.data.reading.formats import detect
from traind.data.reading.raw_table import read_table

RNG = random.Random(0)
ROWS = [f"{RNG.gauss(0, 1):.4f},{RNG.choice('abc')},{RNG.random() * 100:.2f}" for _ in range(300)]


def table(rows: list[str] = ROWS, *, header: str = "x,c,y", at: dict[int, str] | None = None) -> bytes:
    """Rows under a header, the row on a line of the file replaced by another."""
    lines = [header, *rows]
    for line, row in (at or {}).items():
        lines[line - 1] = row
    return "".join(line + "\n" for line in lines).encode()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(content: bytes, name: str = "table.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def prepared(path: Path, form: str | None = None, **request: Any) -> Prepared:
    request.setdefault("target", "y")
    return prepare((path, form or str(detect(path, path.name))), Request(**request))


def refused(path: Path, form: str | None = None, **request: Any) -> BadTable:
    with pytest.raises(BadTable) as caught:
        prepared(path, form, **request)
    return caught.value


def plain(path: Path) -> Prepared:
    return prepared(path)


def test_ragged_rows_are_all_named(write: Callable[..., Path]) -> None:
    error = refused(write(table(at={52: "1,a,2,9", 79: "1,2", 101: ",,,9"})))
    assert [(cell.line, cell.message) for cell in error.cells] == [
        (52, "4 cells, where the header has 3 names"),
        (79, "2 cells, where the header has 3 names"),
        (101, "4 cells, where the header has 3 names"),
    ]
    assert error.cells[0].value == "1,a,2,9"


@pytest.mark.parametrize("gap", [" ", "   "])
def test_spaces_may_stand_between_cells(write: Callable[..., Path], gap: str) -> None:
    text = "\n".join(gap + row.replace(",", gap) + " " for row in ["x,c,y", *ROWS])
    same, found = plain(write(table())), plain(write(text.encode() + b"\n", "spaced.txt"))
    assert [(c.name, c.kind) for c in found.schema.columns] == [(c.name, c.kind) for c in same.schema.columns]
    assert np.array_equal(found.train.numeric, same.train.numeric)
    error = refused(write(text.replace(gap + ROWS[250].replace(",", gap), gap + "1").encode(), "short.txt"))
    assert [(cell.line, cell.message) for cell in error.cells] == [(252, "1 cells, where the header has 3 names")]
    table_of = table_from(write(text.encode(), "spaced.txt"), found.encoder)
    assert table_of.n_rows == len(ROWS)


def test_rows_may_have_names_as_r_writes_them(write: Callable[..., Path]) -> None:
    rows = "".join(f'"row{place}" {place % 7}.5 "{"ab"[place % 2]}" {place / 3}\n' for place in range(1, 60))
    found = prepare((write(f'"x" "c" "y"\n{rows}'.encode(), "r.txt"), "csv"), Request(target="y"))
    assert [(column.name, column.role) for column in found.schema.columns] == [
        ("column_1", "ignored"),
        ("x", "feature"),
        ("c", "feature"),
        ("y", "target"),
    ]


def test_a_column_of_texts_is_not_cut_at_its_spaces(write: Callable[..., Path]) -> None:
    path = write(b"full name\n" + b"".join(b"Ann Lee%c\n" % (97 + i) for i in range(9)))
    assert list(read_table(path, detect(path)).columns) == ["full name"]


def test_a_wrong_cell_is_found_deep_in_a_file(write: Callable[..., Path]) -> None:
    path = write(table(ROWS * 200, at={43_212: "abc,a,1.5"}))
    error = refused(path)
    assert [(c.line, c.column, c.value) for c in error.cells] == [(43_212, "x", "abc")]
    assert error.message == "line 43212, column 'x': 'abc' is not a number"
    warnings = describe_request({"path": str(path), "format": None})["warnings"]
    assert [(w["code"], w["column"]) for w in warnings] == [("bad_cells", "x")]


def test_wrong_cells_of_all_columns_are_named_up_to_a_limit(write: Callable[..., Path]) -> None:
    error = refused(write(table(ROWS * 50, at=dict.fromkeys(range(100, 250), "abc,a,zz"))))
    assert [(c.line, c.column, c.value) for c in error.cells[:2]] == [(100, "x", "abc"), (100, "y", "zz")]
    assert len(error.cells) == 100
    assert "(150 such cells); other columns have bad cells too" in error.message


def test_lines_are_counted_over_blank_ones_and_line_breaks_in_quotes(write: Callable[..., Path]) -> None:
    rows = [*ROWS[:10], "", '1,"a\nb",2', "", *ROWS[10:], "oops,a,1"]
    assert refused(write(table(rows))).cells[0].line == len(rows) + 2
    error = refused(write(table([*ROWS[:10], "", '1,"a\nb",2', "1,2"])))
    assert [cell.line for cell in error.cells] == [15]


def test_a_wrong_cell_of_json_lines_is_named(write: Callable[..., Path]) -> None:
    rows = [json.dumps({"x": i / 7, "y": i / 3}) for i in range(100)]
    rows[49] = '{"x": "oops", "y": 1}'
    error = refused(write("\n".join(["", *rows]).encode(), "t.jsonl"))
    assert [(c.line, c.column, c.value) for c in error.cells] == [(51, "x", "oops")]


def test_keys_of_json_lines_that_come_late_are_columns_of_all_rows(write: Callable[..., Path]) -> None:
    rows = b"{}\n" * 20_001 + b'{"x": 1}\n' * 20_000 + b'{"y": 2}\n'
    path = write(rows, "t.jsonl")
    found = read_table(path, detect(path, path.name))
    assert (list(found.columns), found.n_rows) == (["x", "y"], 40_002)
    assert [cells.null_count() for cells in found.columns.values()] == [20_002, 40_001]
    assert found.columns["y"].to_list()[-2:] == [None, "2"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"x": [1, 2], "y": 1}', "a cell holds text, a number, true, false or null, not list"),
        ('{"x": 1', "truncated"),
        ("[1, 2]", "not an object"),
        ('{"x": "\\ud800"}', "not a row"),
        ("[" * 5_000, "not an object|depth|recursion"),
    ],
)
def test_json_lines_that_are_no_rows_are_named(write: Callable[..., Path], line: str, message: str) -> None:
    path = write(b'{"x": 1, "y": 2}\n' * 5 + line.encode() + b"\n", "t.jsonl")
    with pytest.raises(BadTable, match=message) as caught:
        prepared(path)
    assert caught.value.cells[0].line == 6


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x,c,y\n", "header but no rows"),
        (table([f"{i / 3},a,yes" for i in range(50)]), "'yes' in every row"),
        (table([f"{i / 3},a," for i in range(50)]), "missing in every row"),
        (table([f"{i / 3},a,?" for i in range(50)]), "missing in every row"),
        (table([f"a,b,{i / 3}" for i in range(50)]), "no column is left"),
        (table([f"{i / 3},a,2014-10-{i % 28 + 1:02d}" for i in range(50)]), "holds dates"),
        (table([f"{i / 3},a,label {i}" for i in range(50)]), "occur only once"),
        (table(ROWS[:2]), "no rows are left for validation: 2 rows were split"),
        (table(at={9: '1,"a,2'}), "line 9 cannot be read: a quote is left open"),
        (table(at={9: '1,"a"b,2'}), "line 9 cannot be read"),
        (table(at={9: "1,a,-inf"}), "line 9, column 'y': '-inf' is not a finite number"),
    ],
)
def test_tables_that_cannot_be_learned_from_say_why(write: Callable[..., Path], content: bytes, message: str) -> None:
    with pytest.raises(BadTable, match=message):
        prepared(write(content))


def test_text_in_a_numeric_target_is_named(write: Callable[..., Path]) -> None:
    error = refused(write(table(at={7: "1,a,oops", 8: "1,b,-"})), task="regression")
    assert [(c.line, c.column, c.value) for c in error.cells] == [(7, "y", "oops")]


@pytest.mark.parametrize("field", ["target", "features", "ignore", "columns", "validation"])
def test_names_that_the_table_lacks_are_told(write: Callable[..., Path], field: str) -> None:
    from traind.data.columns.request import Split

    request: dict[str, Any] = {
        "target": {"target": "zz"},
        "features": {"features": ("x", "zz")},
        "ignore": {"ignore": ("zz",)},
        "columns": {"columns": {"zz": "numeric"}},
        "validation": {"validation": Split(kind="time", column="zz")},
    }[field]
    error = refused(write(table()), **request)
    assert "'zz', which the table does not have" in error.message
    assert error.hint == "its columns are x, c, y"


SAME = [
    ("semicolons", table(), lambda b: b.replace(b",", b";"), "table.csv"),
    ("decimal commas", table(), lambda b: b.replace(b",", b";").replace(b".", b","), "table.csv"),
    ("tabs", table(), lambda b: b.replace(b",", b"\t"), "table.tsv"),
    ("pipes", table(), lambda b: b.replace(b",", b"|"), "table.csv"),
    ("windows lines", table(), lambda b: b.replace(b"\n", b"\r\n"), "table.csv"),
    ("old mac lines", table(), lambda b: b.replace(b"\n", b"\r"), "table.csv"),
    ("mixed lines", table(), lambda b: b.replace(b"\n", b"\r\n", 9), "table.csv"),
    ("byte order mark", table(), lambda b: b"\xef\xbb\xbf" + b, "table.csv"),
    ("blank lines", table(), lambda b: b"\n\n" + b.replace(b"\n", b"\n\n", 20), "table.csv"),
    ("spaces", table(), lambda b: b.replace(b",", b" , "), "table.csv"),
    ("quotes", table(), lambda b: b.replace(b",a,", b', "a",'), "table.csv"),
    ("gzip", table(), gzip.compress, "table.csv.gz"),
    ("utf-16", table(), lambda b: b.decode().encode("utf-16"), "table.csv"),
    ("glob name", table(), lambda b: b, "d[1]*?.csv"),
    ("quoted name", table(), lambda b: b, 'it\'s "one".csv'),
]


@pytest.mark.parametrize(("content", "change", "name"), [case[1:] for case in SAME], ids=[case[0] for case in SAME])
def test_however_it_is_written_it_is_the_same_table(
    write: Callable[..., Path], content: bytes, change: Callable[[bytes], bytes], name: str
) -> None:
    expected = plain(write(content, "plain.csv"))
    found = plain(write(change(content), name))
    assert (found.train.numeric == expected.train.numeric).all()
    assert (found.train.categorical == expected.train.categorical).all()
    assert (found.validation.target == expected.validation.target).all()


def test_backslashes_escape_quotes_where_they_do(write: Callable[..., Path]) -> None:
    rows = [f'{i / 7},"say \\"{"ab"[i % 2]}\\", he said",{i}' for i in range(60)]
    found = plain(write(table(rows)))
    assert set(found.encoder.vocabularies[0].levels) == {'say "a", he said', 'say "b", he said'}


def test_json_lines_and_parquet_are_the_same_table(write: Callable[..., Path], tmp_path: Path) -> None:
    expected = plain(write(table()))
    rows = [row.split(",") for row in ROWS]
    lines = "".join(json.dumps({"c": c, "x": float(x), "y": float(y)}) + "\n" for x, c, y in rows)
    pl.read_csv(table()).write_parquet(tmp_path / "p.parquet")
    for path in (write(lines.encode(), "t.jsonl"), tmp_path / "p.parquet"):
        found = plain(path)
        assert (found.train.numeric == expected.train.numeric).all()
        assert (found.train.target == expected.train.target).all()
        assert found.encoder.vocabularies == expected.encoder.vocabularies


def test_an_encoding_is_said_not_guessed(write: Callable[..., Path]) -> None:
    path = write(table().replace(b"a", "é".encode("latin-1")))
    error = refused(path)
    assert error.message == "line 2 is not utf-8: it holds the byte 0xe9" or error.cells[0].line is not None
    assert "charset=cp1252" in (error.hint or "")
    found = prepared(path, "csv;charset=latin-1")
    assert "é" in found.encoder.vocabularies[0].levels


def test_a_torn_parquet_file_is_named_without_our_paths(write: Callable[..., Path]) -> None:
    error = refused(write(b"PAR1 torn PAR1", "t.parquet"))
    assert "not a whole Parquet file" in error.message
    assert "/tmp" not in error.message


def test_parquet_types_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    i = np.arange(200)
    frame = {
        "d": i / 7,
        "m": pl.Series(i % 7).cast(pl.Decimal(9, 2)),
        "b": i % 2 == 0,
        "l": [[int(n)] for n in i],
        "t": pl.Series(i * 3_600_000_000 + 1_672_531_200_000_000).cast(pl.Datetime("us", "UTC")),
        "day": pl.Series(19_358 + i).cast(pl.Int32).cast(pl.Date),
        "f": np.where(i % 10 == 0, np.nan, i / 3).astype(np.float32),
        "y": np.sin(i),
    }
    pl.DataFrame(frame).write_parquet(path)
    found = prepared(path)
    kinds = {column.name: column.kind for column in found.schema.columns}
    assert kinds == {
        "d": "numeric",
        "m": "numeric",
        "b": "boolean",
        "l": "ignore",
        "t": "datetime",
        "day": "datetime",
        "f": "numeric",
        "y": "numeric",
    }
    assert {c.name: c.missing for c in found.schema.columns}["f"] == 20


def test_hundreds_of_columns_are_read(write: Callable[..., Path]) -> None:
    names = ",".join(f"c{i}" for i in range(300))
    rows = [",".join(str((i * j) % 97 / 7) for j in range(300)) for i in range(1, 61)]
    found = prepared(write(table(rows, header=names)), target=None)
    assert len(found.schema.columns) == 300


def test_many_times_are_the_same_however_they_are_written(write: Callable[..., Path]) -> None:
    def times(rows: list[str]) -> Prepared:
        return plain(write(table([f"{row},a,{i / 7}" for i, row in enumerate(rows)])))

    hours = [
        f"{2010 + i % 9}-{i % 12 + 1:02d}-{i % 28 + 1:02d} {i % 24:02d}:{i // 24 % 60:02d}:00" for i in range(7_000)
    ]
    expected = times(hours)
    assert expected.schema.columns[0].distinct > 5_000
    for written in (
        [hour.replace(" ", "T") for hour in hours],
        [f"{hour} UTC" if i % 3 else hour for i, hour in enumerate(hours)],
        [f"  {hour}" for hour in hours],
        [f"{hour[8:10]}.{hour[5:7]}.{hour[:4]} {hour[11:]}" for hour in hours],
    ):
        found = times(written)
        assert found.schema.columns[0].kind == "datetime"
        assert (found.train.numeric == expected.train.numeric).all()


def test_columns_of_many_rows_read_as_those_of_few(write: Callable[..., Path]) -> None:
    rows = [f" {i % 7} ,{['a', ' a', 'N/A', 'b'][i % 4]},{'none' if i % 9 == 0 else i % 30}" for i in range(6_000)]
    many, few = (plain(write(table(rows[:n]))) for n in (6_000, 3_000))
    kinds = [(column.name, column.kind, column.evidence) for column in few.schema.columns]
    assert [(column.name, column.kind) for column in many.schema.columns] == [kind[:2] for kind in kinds]
    assert [v.levels for v in many.encoder.vocabularies] == [v.levels for v in few.encoder.vocabularies]
    assert many.schema.columns[1].missing == 1_500
    assert many.encoder.vocabularies[0].levels == ("a", "b")


def test_a_guess_that_fails_late_changes_nothing(write: Callable[..., Path]) -> None:
    rows = [f"{i / 7},a,{i}" for i in range(6_000)]
    for word, missing in {"NA": 1, " ? ": 1, "None": 1, "inf": 0, "007": 0}.items():
        found = plain(write(table(rows, at={5_500: f"{word},a,{word if word == '007' else 5}"}))).schema.columns[0]
        assert (found.kind, found.missing) == ("numeric", missing), word
    for word in ("1_000", "+-5", "abc"):
        assert [(c.line, c.value) for c in refused(write(table(rows, at={5_500: f"{word},a,5"}))).cells] == [
            (5_500, word)
        ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (b"1,\0,2", "line 250 holds a zero byte"),
        (b"1,\xe9,2", "line 250 is not utf-8"),
        (b"1," + b"a" * 4_000_001 + b",2", "line 250 is longer than"),
        (b"1,a", "line 250 cannot be read"),
    ],
)
def test_what_is_wrong_is_the_same_with_two_threads(write: Callable[..., Path], row: bytes, message: str) -> None:
    lines = table().splitlines(keepends=True)
    path = write(b"".join([*lines[:249], row + b"\n", *lines[250:]]))
    for threads in (1, 2):
        with pytest.raises(BadTable, match=message):
            prepare((path, "csv"), Request(target="y"), threads=threads)


def test_what_is_right_is_the_same_with_two_threads(write: Callable[..., Path]) -> None:
    rows = [f"{100 + i % 90 if i < 9_000 else '007'},{'abc'[i % 3]}{i % 50},{i / 7}" for i in range(30_000)]
    one, two = (prepare((write(table(rows)), "csv"), Request(target="y"), threads=threads) for threads in (1, 2))
    assert (one.schema, one.encoder, one.samples) == (two.schema, two.encoder, two.samples)
    assert one.schema.columns[0].evidence == "digits with leading zeros: a code, not a quantity"
    assert (one.train.numeric == two.train.numeric).all()
    assert (one.train.categorical == two.train.categorical).all()
