import gzip
from pathlib import Path

import pytest

from traind.data.errors import BadTable
from traind.data.reading.dialect import sniff
from traind.data.reading.formats import FORMATS, Format, Options, detect, parse_format
from traind.data.reading.text_bytes import CHUNK_BYTES, utf8_chunks

CSV = b"a,b\n1,2\n"


def written(folder: Path, content: bytes, name: str = "table") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def scan(path: Path, form: Format) -> None:
    for _ in utf8_chunks(path, form):
        pass


@pytest.mark.parametrize(
    "name",
    [
        *FORMATS,
        "csv;charset=latin-1",
        "tsv.gz;charset=utf-16",
        "csv;charset=cp1252;delimiter=%3B;quote=;decimal=%2C;thousands=.;skip=2;comment=%23;missing=-9,n%2Cd;header=false",
        "xlsx;sheet=Sheet 2",
    ],
)
def test_formats_are_written_as_they_are_read(name: str) -> None:
    assert str(parse_format(name)) == name


def test_an_encoding_goes_by_many_names() -> None:
    for alias in ("iso-8859-1", "ISO8859-1", "latin1", '"latin-1"'):
        assert str(parse_format(f"csv; charset={alias}")) == "csv;charset=latin-1"


@pytest.mark.parametrize(
    "name",
    [
        "ods",
        "",
        "csv.bz2",
        "csv;charset=ebcdic",
        "csv;charset=hex",
        "csv;delimiter=ab",
        "csv;skip=x",
        "csv;colour=red",
    ],
)
def test_other_formats_are_refused(name: str) -> None:
    with pytest.raises(BadTable, match=r"cannot be read|can be read|can.t be read"):
        parse_format(name)


@pytest.mark.parametrize(
    ("content", "hint", "found"),
    [
        (CSV, None, "csv"),
        (CSV, "house.v2.csv", "csv"),
        (CSV, "data.xyz", "csv"),
        (b"a\tb\n", "house.tsv", "tsv"),
        (gzip.compress(CSV, mtime=0), None, "csv.gz"),
        (gzip.compress(CSV, mtime=0), "csv", "csv.gz"),
        (CSV, "csv.gz", "csv"),
        (b'\xef\xbb\xbf  {"a": 1}\n', None, "jsonl"),
        (gzip.compress(b'{"a": 1}\n', mtime=0), "rows.ndjson.gz", "jsonl.gz"),
        (b'{"a";"b"}\n', "csv", "csv"),
        (b"PAR1", "csv", "parquet"),
        (CSV.decode().encode("utf-16"), None, "csv;charset=utf-16"),
        (b"a,b\n\xe9,1\n", "csv;charset=latin-1", "csv;charset=latin-1"),
    ],
)
def test_the_content_tells_the_format(tmp_path: Path, content: bytes, hint: str | None, found: str) -> None:
    assert str(detect(written(tmp_path, content), hint)) == found


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04rest", "zip archive"),
        (b"\xd0\xcf\x11\xe0rest", "Excel"),
        (b'[{"a": 1}]', "JSON array"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"", "empty"),
        (b" \n \n", "empty"),
        (b"\x1f\x8bnot gzip at all", "unzipped"),
    ],
)
def test_files_sent_in_good_faith_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(BadTable, match=message):
        detect(written(tmp_path, content))


def test_a_table_that_is_called_parquet_must_be_it(tmp_path: Path) -> None:
    with pytest.raises(BadTable, match="PAR1"):
        detect(written(tmp_path, CSV), "parquet")


@pytest.mark.parametrize(
    ("content", "delimiter", "names", "skip"),
    [
        (CSV, ",", ("a", "b"), 0),
        (b"a;b\n1,5;2\n", ";", ("a", "b"), 0),
        (b"a|b|c\r\n1|2|3\r\n", "|", ("a", "b", "c"), 0),
        (b"a b\tc\n1\t2\n", "\t", ("a b", "c"), 0),
        (b"\n\r\na,b\n1,2\n", ",", ("a", "b"), 2),
        (b"\xef\xbb\xbfa,b\n1,2\n", ",", ("a", "b"), 0),
        (b'"a,b","c\nd"\n1,2\n', ",", ("a,b", "c\nd"), 0),
        (b"y\n1\n2\n", ",", ("y",), 0),
        (b"a,b", ",", ("a", "b"), 0),
        (b",b\n0,1\n", ",", ("column_1", "b"), 0),
        (b"0,1,2\n5,6,7\n", ",", ("0", "1", "2"), 0),
        (b" a , b\n1,2\n", ",", ("a", "b"), 0),
    ],
)
def test_dialects_are_found(
    tmp_path: Path, content: bytes, delimiter: str, names: tuple[str, ...], skip: int
) -> None:
    dialect = sniff(written(tmp_path, content), Format("csv"))
    assert (dialect.delimiter, dialect.names, dialect.skip) == (delimiter, names, skip)


def test_a_line_of_excel_names_the_delimiter(tmp_path: Path) -> None:
    dialect = sniff(written(tmp_path, b"sep=;\na;b,c\n1;2\n"), Format("csv"))
    assert (dialect.delimiter, dialect.names, dialect.skip) == (";", ("a", "b,c"), 1)


def test_what_is_said_goes_before_what_is_found(tmp_path: Path) -> None:
    path = written(tmp_path, b"about this file\n# a comment\n1|2,5\n3|4,5\n")
    dialect = sniff(path, Format("csv", options=Options(delimiter="|", skip=1, comment="#", header=False)))
    assert (dialect.delimiter, dialect.names, dialect.first) == ("|", ("column_1", "column_2"), 2)


def test_a_file_without_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadTable, match="looks like values"):
        sniff(written(tmp_path, b"1.5,2.5\n3.5,4.5\n"), Format("csv"))


def test_two_columns_of_one_name_are_refused_with_their_places(tmp_path: Path) -> None:
    with pytest.raises(BadTable, match="'a': numbers 1 and 3") as caught:
        sniff(written(tmp_path, b"a,b,a\n1,2,3\n"), Format("csv"))
    assert [(cell.line, cell.column) for cell in caught.value.cells] == [(1, "a")]


def test_a_million_columns_are_refused(tmp_path: Path) -> None:
    names = ",".join(f"c{i}" for i in range(10_001)).encode()
    with pytest.raises(BadTable, match="10,001 columns; at most 10,000"):
        sniff(written(tmp_path, names + b"\n"), Format("csv"))


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"a,b\n1,\x00\n", 2, "zero byte"),
        (b"a,b\n" + b"1,2\n" * CHUNK_BYTES + b"\xff\n", CHUNK_BYTES + 2, "not utf-8: it holds the byte 0xff"),
        ("a\nä\n".encode("latin-1"), 2, "not utf-8"),
        (b"a\n\xc3", 2, "not utf-8"),
        (b"a,b\n" + b"x" * 4_000_001 + b"\n", 2, "longer than 4,000,000 bytes"),
        (b"x" * 5_000_000, 1, "longer than"),
        (b"a\r1\r\x00\r", 3, "zero byte"),
    ],
)
def test_no_parser_sees_hostile_bytes(tmp_path: Path, content: bytes, line: int, message: str) -> None:
    with pytest.raises(BadTable, match=message) as caught:
        scan(written(tmp_path, content), Format("csv"))
    assert [cell.line for cell in caught.value.cells] == [line]


def test_characters_may_be_cut_in_two_by_a_chunk(tmp_path: Path) -> None:
    content = b"a" + "é\n".encode() * CHUNK_BYTES
    scan(written(tmp_path, content), Format("csv"))


def test_a_zip_bomb_is_stopped(tmp_path: Path) -> None:
    bomb, form = written(tmp_path, gzip.compress(b"1,2\n" * (1 << 20))), Format("csv", is_gzip=True)
    with pytest.raises(BadTable, match="unzips to more than"):
        list(utf8_chunks(bomb, form, free_bytes=1 << 20))


def test_a_torn_zip_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadTable, match="cannot be unzipped"):
        scan(written(tmp_path, gzip.compress(CSV * 1_000)[:-20]), Format("csv", is_gzip=True))
