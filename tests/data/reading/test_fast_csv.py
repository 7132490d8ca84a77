"""A plain file read by numpy alone is the same table as by the engine of SQL; every other file is left to that."""

import math
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traind.data.prepare import Request, prepare
from traind.data.reading import fast_csv as reader
from traind.data.reading.dialect import sniff
from traind.data.reading.duckdb_csv import parse
from traind.data.reading.fast_csv import read_plain
from traind.data.reading.fast_numbers import Cut, read_numbers
from traind.data.reading.formats import Format
from traind.data.table.arrays import Cells, Codes

CSV = Format("csv")
HEADER = "x,c,y\n"
ROWS = "".join(f"{i / 7},{'ab'[i % 2]},{i / 3}\n" for i in range(100))


def read(path: Path, threads: int = 1) -> list[list[float | str | None]] | None:
    dialect = sniff(path, CSV)
    found = read_plain(path, CSV, dialect, dialect.guess.numbers, 1e9, threads)
    return None if found is None else [plainly(found[place]) for place in sorted(found)]


def plainly(cells: Cells) -> list[float | str | None]:
    if isinstance(cells, Codes):
        return list(cells.texts())
    return [None if math.isnan(cell) else cell for cell in cells.tolist()]


def by_sql(path: Path) -> list[list[float | str | None]]:
    import duckdb

    dialect = sniff(path, CSV)
    with duckdb.connect() as connection:
        parse(connection, path, CSV, dialect, dialect.guess.numbers)
        return [list(column) for column in zip(*connection.execute("SELECT * FROM t").fetchall(), strict=True)]


def cut(texts: list[str]) -> Cut:
    body = "".join(f"{text}," for text in texts).encode()
    data = np.frombuffer(bytes(64) + body + bytes(16 - len(body) % 8), np.uint8)
    ends = np.flatnonzero(data == ord(","))
    return Cut(data, data.view(np.uint64), np.append(64, ends[:-1] + 1), ends)


NUMBERS = st.one_of(
    st.floats(allow_nan=False).map(repr),
    st.floats(-1e6, 1e6).map(repr),
    st.floats(-1e6, 1e6).map("{:.6g}".format),
    st.integers(-(10**21), 10**21).map(str),
    st.from_regex(r"-?[0-9]{0,19}\.?[0-9]{0,19}", fullmatch=True),
    st.from_regex(r"-?0?\.0{0,22}[0-9]{0,4}", fullmatch=True),
    st.text("0123456789.-+e_ /:\u00e9", max_size=26),
)


@given(st.lists(NUMBERS, min_size=1, max_size=200))
@settings(deadline=None)
def test_numbers_are_what_float_makes_of_them(texts: list[str]) -> None:
    values, odd = read_numbers(cut(texts))
    for place, (text, value) in enumerate(zip(texts, values.tolist(), strict=True)):
        if place in odd:
            continue
        assert math.isnan(value) if not text else repr(float(text)) == repr(value)
        assert set(text) <= set("-.0123456789")
        assert not (text.strip("-").isdigit() and text.strip("-").startswith("0") and len(text.strip("-")) > 1)


def test_nearly_all_numbers_are_read_at_once() -> None:
    rng = random.Random(0)
    for write in (repr, "{:.6g}".format, "{:.2f}".format, lambda x: str(int(x * 1e6)), lambda x: str(int(x * 1e18))):
        _, odd = read_numbers(cut([write(rng.gauss(0, 1)) for _ in range(10_000)]))
        assert len(odd) < 10


def test_a_quotient_that_is_hard_to_round_is_rounded_right() -> None:
    texts = [
        "9007199254740993",
        "9007199254740992.5",
        "0.9007199254740993",
        "1.00000000000000011",
        ".12345678901234567890123",
        ".00000000000000000000123",
        "-.00000000000000000000001",
    ]
    values, odd = read_numbers(cut(texts))
    assert [value for i, value in enumerate(values.tolist()) if i not in odd] == [
        float(text) for i, text in enumerate(texts) if i not in odd
    ]


CELLS = st.one_of(
    st.sampled_from(["", "NA", "a", "b b", " a", "a ", "\u00e9", '""', '"q"', '"q,r"', "x" * 40, "12345678", "1.5"]),
    st.text("ab\u00e9'#; ", max_size=12),
)


@given(
    rows=st.lists(st.tuples(st.floats(-1e9, 1e9), CELLS, st.sampled_from(["{}", "{:.3f}", "{:.2e}", '"{}"', ""]))),
    end=st.sampled_from(["\n", "\r\n"]),
    is_ended=st.booleans(),
    block=st.sampled_from([64, 200, 1 << 20]),
)
@settings(deadline=None, max_examples=60)
def test_it_is_the_table_that_sql_reads(tmp_path_factory, rows, end: str, is_ended, block: int) -> None:
    path = tmp_path_factory.mktemp("t") / "t.csv"
    lines = [*(HEADER + ROWS).splitlines(), *(f"{w.format(x)},{c},{x / 3}" for x, c, w in rows)]
    path.write_text(end.join(lines) + end * is_ended, newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "_BLOCK", block)
        found = read(path)
    if found is not None:
        assert found == by_sql(path)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("cell", ["a", "", '"a, b"', "\u00e9", "NA"])
def test_plain_files_are_read_so(tmp_path: Path, cell: str, end: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text((HEADER + ROWS + f"1e-5,{cell},\n").replace("\n", end), newline="")
    found = read(path)
    assert found is not None
    assert found == by_sql(path)


RAGGED = ["1,a", "1,a,2,3", "", '1,"a\nb",1', '1,"a,1', "1,a\rb,1", "1,a,1\r"]
ODD = ["x,a,1", "007,a,1", "1_0,a,1", "+-5,a,1", "inf,a,1", '1,"a""b",1', '1,a"b,1', "1,\0,1", f"1,{'x' * 300},1"]


@pytest.mark.parametrize("row", [*RAGGED, *ODD])
def test_any_other_file_is_left_to_the_engine(tmp_path: Path, row: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(HEADER + ROWS * 15 + row + "\n" + ROWS, newline="")  # the guess is made before that row
    assert read(path) is None


def test_other_encodings_too_many_texts_and_large_tables_are_left_to_the_engine(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(f"{HEADER}{ROWS}1,\u00e9,1\n".encode("latin-1"))
    assert read_plain(path, CSV, sniff(path, Format("csv", charset="latin-1")), frozenset({0, 2}), 1e9, 1) is None
    path.write_text(HEADER + "".join(f"1.5,{i} {i % 7},2.5\n" for i in range(20_001)))
    assert read(path) is None
    path.write_text(HEADER + ROWS)
    assert read_plain(path, CSV, sniff(path, CSV), frozenset({0, 2}), 1_000, 1) is None


def test_texts_that_would_fill_the_memory_are_left_to_the_engine(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "".join(f"{i % 9_000}{'x' * 200},{i % 9_000}y\n" for i in range(20_000)))
    dialect = sniff(path, CSV)
    assert read_plain(path, CSV, dialect, frozenset(), 2e6, 1) is None
    assert read_plain(path, CSV, dialect, frozenset(), 1e8, 1) is not None


def test_a_file_that_is_written_to_meanwhile_is_left_to_the_engine(tmp_path: Path) -> None:
    path, rest = tmp_path / "t.csv", b"9,a,1\n"
    path.write_text(HEADER + ROWS + "1.5,a,2")
    dialect = sniff(path, CSV)

    class Growing(type(path)):  # type: ignore[misc]
        def open(self, *args, **kwargs):
            with Path(self).open("ab") as file:
                file.write(rest)
            return super().open(*args, **kwargs)

    assert read_plain(Growing(path), CSV, dialect, dialect.guess.numbers, 1e9, 1) is None


def test_two_threads_read_what_one_does(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rng = random.Random(1)
    texts = (f"{'t' if i < 50_000 else 'u'}{rng.randrange(900)}" for i in range(100_000))
    path.write_text(HEADER + "".join(f"{rng.gauss(0, 1)!r},{text},{rng.random():.5f}\n" for text in texts))
    one = read(path)
    assert one is not None
    assert read(path, 2) == one


def test_texts_that_share_a_slot_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("traind.data.reading.fast_texts._SLOTS_LOG2", 1)
    path = tmp_path / "t.csv"
    texts = (f"{'long enough for words ' * (i % 3)}{i % 40}" for i in range(999))
    path.write_text(HEADER + "".join(f"{i / 7},{text},2.5\n" for i, text in enumerate(texts)))
    assert read(path) == by_sql(path)


def test_a_column_that_is_wanted_as_text_is_spelled_as_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + "".join(f"{i / 7},{i % 3}.50\n" for i in range(300)))
    assert prepare((path, "csv"), Request(task="multiclass")).schema.labels == ("0.50", "1.50", "2.50")


def test_columns_of_short_and_long_texts_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    lengths = (1, 7, 8, 9, 40, 250)
    rows = (",".join(f"{'ab'[(i + n) % 2] * n}{i % 5}" if i % 7 else "" for n in lengths) for i in range(600))
    path.write_text("a,b,c,d,e,f\n" + "\n".join(rows) + "\n")
    assert read(path) == by_sql(path)
    assert read(path, 2) == read(path)
