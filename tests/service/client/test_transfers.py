"""What programs have becomes the bytes of a data set."""

import datetime as dt
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from traind.service.client.transfers import CHUNK_BYTES, Upload, format_of, upload_of


async def bytes_of(upload: Upload) -> bytes:
    return b"".join([chunk async for chunk in upload.chunks()])


async def test_a_file_is_read_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes(b"a,b\n" * CHUNK_BYTES)
    upload = upload_of(path, None)
    assert (upload.size_bytes, upload.format, upload.is_repeatable) == (4 * CHUNK_BYTES, "csv", True)
    assert [len(chunk) async for chunk in upload.chunks()] == [CHUNK_BYTES] * 4
    assert await bytes_of(upload) == path.read_bytes()


async def test_rows_become_lines_of_json() -> None:
    rows = [
        {"a": 1, "b": Decimal("2.50"), "c": dt.date(2026, 1, 2)},
        {"a": float("nan"), "b": None, "c": "x"},
    ]
    upload = upload_of(rows, None)
    assert upload.format == "jsonl"
    assert await bytes_of(upload) == b'{"a":1,"b":2.50,"c":"2026-01-02"}\n{"a":null,"b":null,"c":"x"}\n'


async def test_many_rows_are_sent_in_pieces() -> None:
    upload = upload_of(({"number": number} for number in range(200_000)), None)
    pieces = [chunk async for chunk in upload.chunks()]
    assert len(pieces) > 1
    assert b"".join(pieces).count(b"\n") == 200_000
    assert not upload.is_repeatable


async def test_bytes_and_async_sources_are_sent_as_they_are() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"a,b\n"
        yield b"1,2\n"

    async def rows() -> AsyncIterator[dict[str, int]]:
        yield {"a": 1}
        yield {"a": 2}

    assert await bytes_of(upload_of(b"a,b\n", "csv")) == b"a,b\n"
    assert await bytes_of(upload_of(parts(), "csv")) == b"a,b\n1,2\n"
    assert await bytes_of(upload_of(rows(), "jsonl")) == b'{"a":1}\n{"a":2}\n'


def test_what_is_no_source_is_refused() -> None:
    with pytest.raises(TypeError, match="not int"):
        upload_of(5, None)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        upload_of("nowhere.csv", None)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("d.csv", "csv"), ("d.CSV.gz", "csv.gz"), ("d.2024.jsonl", "jsonl"), ("d.parquet", "parquet"), ("d.txt", None)],
)
def test_a_files_name_tells_its_format(name: str, expected: str | None) -> None:
    assert format_of(Path(name)) == expected
