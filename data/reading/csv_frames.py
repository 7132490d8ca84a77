"""A CSV file as frames of text, one for each block of bytes. Cells are as written, empty ones null.

polars parses a block whose rows and quotes are in order, which is checked by counting: each delimiter stands between
two cells, or within one. From the first block that is not, Python's reader goes on, row by row: it names what is
wrong, and reads what is only unusual.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import numpy as np
import polars as pl

from traind.data.errors import BadCell, BadTable
from traind.data.reading.dialect import Dialect, read_records
from traind.data.reading.formats import Format
from traind.data.reading.text_bytes import utf8_chunks

LISTED = 100  # bad rows named in one error
_BLOCK_BYTES = 1 << 23
_ROWS_AT_ONCE = 20_000  # rows of Python's reader in one frame
_LONE_RETURN = re.compile(rb"\r(?!\n)")
_BLANK_LINES = re.compile(rb"\n(?:\r?\n)+")


class QuotesAreText(Exception):
    """In a TSV file quotes are ordinary characters."""


def csv_frames(path: Path, form: Format, dialect: Dialect) -> Iterator[pl.DataFrame]:
    """Yield the file's rows as frames with numbered columns.

    Raises:
        BadTable: rows that are no rows, each named by line, up to a limit.
        QuotesAreText: the file has to be read again, without quotes.
    """
    is_plain = not (dialect.comment or dialect.has_backslash or dialect.delimiter == " ")
    is_plain &= f"{dialect.delimiter}{dialect.quote}".isascii()  # as polars wants them
    blocks = _blocks(utf8_chunks(path, form), dialect)
    for number, block in enumerate(blocks):
        frame = _parsed(block, dialect) if is_plain else None
        if frame is None:
            rest = (text.decode() for text in chain([block], blocks))
            line = _first_line(path, form, dialect, number)
            may_drop_quotes = form.kind == "tsv" and form.options.quote is None
            yield from _one_by_one(rest, dialect, line, may_drop_quotes=may_drop_quotes)
            return
        if len(frame):
            yield frame


def _first_line(path: Path, form: Format, dialect: Dialect, number: int) -> int:
    """Return the line at which a block begins."""
    before = islice(_blocks(utf8_chunks(path, form), dialect), number)
    return dialect.first + 1 + sum(block.count(b"\n") for block in before)


def _blocks(chunks: Iterator[bytes], dialect: Dialect) -> Iterator[bytes]:
    """Yield blocks of whole rows, as long as quotes are in order."""
    parts, size, skip, end = list[bytes](), 0, dialect.first, b""
    for chunk in chunks:
        end = end or (b"\r" if b"\n" not in chunk and b"\r" in chunk else b"\n")
        parts.append(chunk.replace(b"\r", b"\n") if end == b"\r" else chunk)
        size += len(chunk)
        if not skip and size < _BLOCK_BYTES:
            continue
        data = b"".join(parts)
        begin, skip = _skipped(data, skip) if skip else (0, 0)
        cut = _end_of_rows(data, dialect) if not skip and size - begin >= _BLOCK_BYTES else begin
        if cut > begin:
            yield data[begin:cut]
        parts = [data[cut:]]
        size = len(parts[0])
    if size and not skip:
        yield b"".join(parts)


def _skipped(data: bytes, skip: int) -> tuple[int, int]:
    """Return where the lines to skip end, and how many are left to skip."""
    begin = 0
    while skip and (place := data.find(b"\n", begin)) >= 0:
        begin, skip = place + 1, skip - 1
    return begin, skip


def _end_of_rows(data: bytes, dialect: Dialect) -> int:
    """Return the end of the last complete row; 0 for none."""
    if not dialect.quote or (quote := dialect.quote.encode()) not in data:
        return data.rfind(b"\n") + 1
    view = np.frombuffer(data, np.uint8)
    quotes, ends = np.flatnonzero(view == quote[0]), np.flatnonzero(view == 10)
    outside = ends[np.searchsorted(quotes, ends) % 2 == 0]
    return int(outside[-1]) + 1 if len(outside) else 0


def _parsed(block: bytes, dialect: Dialect) -> pl.DataFrame | None:
    """Return the rows of a block; None where it is not in order."""
    quote = dialect.quote.encode() if dialect.quote else b'"'
    has_quotes = dialect.quote is not None and quote in block
    if has_quotes and not _are_quotes_in_order(block, quote, dialect.delimiter.encode()):
        return None
    if b"\r" in block and block.count(b"\r") != block.count(b"\r\n"):
        if has_quotes:
            return None
        block = _LONE_RETURN.sub(b"\n", block)
    width = len(dialect.names)
    frame = _frame_of(block, dialect, width)
    if frame is not None and (width == 1 or not frame[:, -1].null_count()):
        return frame  # no row is short: rows that are too long are refused
    if width > 1 and (frame is None or _has_empty_row(frame)):
        if has_quotes and b"\n\n" in block.replace(b"\r\n", b"\n"):
            return None
        block = _BLANK_LINES.sub(b"\n", block.strip(b"\r\n"))
        frame = _frame_of(block, dialect, width) if block else pl.DataFrame()
    return frame if frame is not None and _are_rows_whole(frame, block, dialect, has_quotes=has_quotes) else None


def _has_empty_row(frame: pl.DataFrame) -> bool:
    return bool(frame.select(pl.all_horizontal(pl.all().is_null()).any()).item())


def _are_rows_whole(frame: pl.DataFrame, block: bytes, dialect: Dialect, *, has_quotes: bool) -> bool:
    """Return whether no row lacks cells: each delimiter is between two cells, or within one."""
    n_delimiters = int(np.count_nonzero(np.frombuffer(block, np.uint8) == ord(dialect.delimiter)))
    if has_quotes and len(frame):
        within = pl.all().str.count_matches(dialect.delimiter, literal=True).sum()
        n_delimiters -= frame.select(pl.sum_horizontal(within)).item() or 0
    return n_delimiters == len(frame) * max(0, len(dialect.names) - 1)


def _frame_of(text: bytes, dialect: Dialect, width: int) -> pl.DataFrame | None:
    try:
        return pl.read_csv(
            text,
            has_header=False,
            schema={str(place): pl.String for place in range(width)},
            separator=dialect.delimiter,
            quote_char=dialect.quote,
        )
    except pl.exceptions.PolarsError:
        return None


def _are_quotes_in_order(block: bytes, quote: bytes, delimiter: bytes) -> bool:
    """Return whether quotes are in pairs around whole cells, apart from doubled ones within cells."""
    view = np.frombuffer(block, np.uint8)
    places = np.flatnonzero(view == quote[0])
    if len(places) % 2:
        return False
    may_border = np.zeros(256, np.bool_)
    may_border[[*delimiter, *b"\r\n", quote[0]]] = True
    opening, closing = places[::2], places[1::2]
    before = view[np.maximum(opening - 1, 0)]
    after = view[np.minimum(closing + 1, len(view) - 1)]
    return bool(
        (may_border[before] | (opening == 0)).all() and (may_border[after] | (closing == len(view) - 1)).all()
    )


def _one_by_one(
    texts: Iterator[str], dialect: Dialect, line: int, *, may_drop_quotes: bool
) -> Iterator[pl.DataFrame]:
    """Yield the rows of Python's reader; a block may end within a line or a cell."""
    lines = _lines(texts)
    reader = read_records(lines, dialect, is_strict=True)
    width, begin = len(dialect.names), 0
    rows: list[list[str]] = []
    bad: list[BadCell] = []
    while len(bad) < LISTED:
        begin = reader.line_num
        try:
            record = next(reader, None)
        except csv.Error as error:
            if may_drop_quotes:
                raise QuotesAreText from None
            said = (
                "a quote is left open, or text stands behind a closing one"
                if "limit" not in str(error)
                else str(error)
            )
            bad.append(BadCell(line + begin, None, None, said))
            break
        if record is None:
            break
        if len(record) == width or (width == 1 and not record):
            rows.append(record or [""])
        elif record:
            said = f"{len(record)} cells, where the header has {width} names"
            bad.append(BadCell(line + begin, None, dialect.delimiter.join(record)[:200], said))
        if len(rows) >= _ROWS_AT_ONCE:
            yield text_frame(rows, width)
            rows = []
    if bad:
        raise _ragged(bad, dialect)
    if rows:
        yield text_frame(rows, width)


def _lines(texts: Iterator[str]) -> Iterator[str]:
    """Yield the lines of a text that comes in parts."""
    left = ""
    for text in texts:
        lines = list(io.StringIO(left + text, newline=""))
        left = lines.pop() if lines else ""
        yield from lines
    if left:
        yield left


def text_frame(rows: Sequence[Sequence[str | None]], width: int) -> pl.DataFrame:
    """Return rows of cells as a frame with numbered columns; empty cells are null."""
    columns = zip(*rows, strict=True) if rows else ([] for _ in range(width))
    return pl.DataFrame(
        [pl.Series(str(place), [cell or None for cell in cells], pl.String) for place, cells in enumerate(columns)]
    )


def _ragged(bad: list[BadCell], dialect: Dialect) -> BadTable:
    more = " and others" if len(bad) > 1 else ""
    header = ", ".join(map(repr, dialect.names[:3])) + (", ..." if len(dialect.names) > 3 else "")
    return BadTable(
        f"line {bad[0].line}{more} cannot be read: {bad[0].message}",
        hint=f"the header, line {dialect.skip + 1}, was read as {header}" if dialect.has_header else None,
        cells=tuple(bad),
    )


def first_rows(frames: Iterator[pl.DataFrame], size: int) -> list[list[str | None]]:
    """Return the first rows of frames."""
    return [list(row) for row in islice((row for frame in frames for row in frame.iter_rows()), size)]
