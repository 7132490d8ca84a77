"""Reads a plain CSV file without an SQL engine: numpy cuts a block of bytes into cells and reads all of them at once.

Plain is a file in UTF-8 in which every row is one line, quotes only enclose cells, columns that were guessed to hold
numbers do so, and the others have not too many texts. At the first sign of anything else this ends, and the caller
reads the file in the general way, which says what is wrong if something is. Called by `read` alone.
"""

import itertools
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from traind.data.reading.dialect import MAX_LINE, Dialect, read_records
from traind.data.reading.fast_numbers import Cut, read_numbers
from traind.data.reading.fast_texts import Lexicon, TooMany
from traind.data.reading.formats import Format
from traind.data.table.arrays import Cells, Codes
from traind.data.threads import mapped

_BLOCK = 1 << 20  # bytes read at once: less, and threads wait for each other, more, and it leaves the cache
_BEFORE = 64  # bytes that stand before them
_LEAST = 1 << 20  # bytes that are worth a thread
_NUMBER = re.compile(rb"[+-]?(?:\d++\.?\d*+|\.\d++)(?:[eE][+-]?\d+)?")
_LEADING_ZERO = re.compile(rb"[+-]?0\d+")
_NEWLINE, _RETURN, _QUOTE = b'\n\r"'


class NotPlain(Exception):
    """The file has to be read in the general way."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """What is known of the file before its rows are read."""

    path: Path
    dialect: Dialect
    numbers: tuple[int, ...]  # places of columns
    texts: tuple[int, ...]
    has_return: bool  # lines end with \r\n
    text_bytes: float  # that the texts of a part may take


def read_plain(
    path: Path, form: Format, dialect: Dialect, numbers: frozenset[int], max_bytes: float, threads: int
) -> dict[int, Cells] | None:
    """Return the file's columns by place: doubles, or texts as they are written; None if it is not plain.

    Columns and texts take about `max_bytes` at most. A file that is written to meanwhile is not plain.
    """
    width = len(dialect.names)
    is_odd = dialect.has_decimal_comma or dialect.has_backslash or dialect.nested
    if is_odd or form.charset != "utf-8" or form.is_gzip or width < 2:
        return None
    try:
        found_state = _state(path)
        begin, has_return = _after_header(path, dialect)
        texts = tuple(place for place in range(width) if place not in numbers)
        spans = _spans(path, begin, threads)
        counts = mapped(lambda span: _count_rows(path, *span), spans, threads)
        left = max_bytes - sum(counts) * (8 * len(numbers) + 4 * len(texts))
        if left < 0:
            return None
        layout = _Layout(path, dialect, tuple(sorted(numbers)), texts, has_return, left / len(spans))
        doubles, codes = np.empty((len(numbers), sum(counts))), np.empty((len(texts), sum(counts)), np.int32)
        edges = np.cumsum([0, *counts]).tolist()
        rows = [slice(*pair) for pair in itertools.pairwise(edges)]
        parts = [_Part(layout, doubles[:, some], codes[:, some]) for some in rows]
        mapped(lambda one: one[0].read(*one[1]), zip(parts, spans, strict=True), threads)
        return _joined(layout, parts, doubles, codes) if _state(path) == found_state else None
    except (NotPlain, TooMany, UnicodeDecodeError):
        return None


def _state(path: Path) -> tuple[int, int, int]:
    """Return what changes when the file is written to, or another takes its place."""
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _after_header(path: Path, dialect: Dialect) -> tuple[int, bool]:
    """Return where the first row begins, and whether lines end with a carriage return, too."""
    with path.open("rb") as file:
        for _ in range(dialect.skip):
            if file.readline(MAX_LINE).strip(b"\r\n"):
                raise NotPlain
        header = file.readline(MAX_LINE)
        if not header.endswith(b"\n") or b"\r" in header[:-2]:
            raise NotPlain
        if len(next(read_records([header.decode("utf-8-sig")], dialect), [])) != len(dialect.names):
            raise NotPlain
        return file.tell(), header.endswith(b"\r\n")


def _spans(path: Path, begin: int, threads: int) -> list[tuple[int, int]]:
    """Return parts of the file, one a thread, each of whole lines."""
    size = path.stat().st_size
    n_parts = max(1, min(threads, (size - begin) // _LEAST))
    edges = [begin]
    with path.open("rb") as file:
        for part in range(1, n_parts):
            file.seek(begin + (size - begin) * part // n_parts)
            file.readline(MAX_LINE)
            edges.append(max(edges[-1], file.tell()))
    return list(zip(edges, [*edges[1:], size], strict=True))


def _count_rows(path: Path, begin: int, end: int) -> int:
    """Return how many lines this part of the file has."""
    count, last = 0, _NEWLINE
    block = np.empty(_BLOCK, np.uint8)
    with path.open("rb", buffering=0) as file:
        while size := os.preadv(file.fileno(), [block[: min(_BLOCK, end - begin)].data], begin):
            count += int(np.count_nonzero(block[:size] == _NEWLINE))
            last = block[size - 1]
            begin += size
    return count + (last != _NEWLINE)


class _Part:
    """The rows of a part of the file, as they are read."""

    def __init__(self, layout: _Layout, numbers: NDArray[np.float64], codes: NDArray[np.int32]) -> None:
        self.numbers = numbers  # (columns, rows)
        self.codes = codes
        self._layout = layout
        self._n_read = 0  # rows
        self.lexicon = Lexicon(len(layout.texts), layout.text_bytes)
        self._missing = {word.encode() for word in layout.dialect.guess.missing}
        self._buffer = bytearray(_BEFORE + _BLOCK + 8)
        self._data = np.frombuffer(self._buffer, np.uint8)

    def read(self, begin: int, end: int) -> None:
        """Read these bytes of the file."""
        with self._layout.path.open("rb", buffering=0) as file:
            while begin < end:
                wanted = memoryview(self._buffer)[_BEFORE : _BEFORE + min(_BLOCK, end - begin)]
                size = os.preadv(file.fileno(), [wanted], begin)
                if size and begin + size == end and self._buffer[_BEFORE + size - 1] != _NEWLINE:
                    self._buffer[_BEFORE + size] = _NEWLINE  # the last line of a file may not end
                    size += 1
                last = self._buffer.rfind(b"\n", _BEFORE, _BEFORE + size)
                if last < 0 or self._buffer.find(b"\0", _BEFORE, last) >= 0:
                    raise NotPlain
                self._take(self._cells(last + 1))
                begin += last + 1 - _BEFORE
        if self._n_read != self.numbers.shape[1]:
            raise NotPlain

    def _cells(self, end: int) -> tuple[Cut, int]:
        """Return the cells of all rows up to `end` in the order of the file, and how many rows there are."""
        view = self._data[_BEFORE:end]
        is_end = view == _NEWLINE
        n_rows = int(np.count_nonzero(is_end))
        is_end |= view == ord(self._layout.dialect.delimiter)
        has_quotes = self._buffer.find(b'"', _BEFORE, end) >= 0
        if has_quotes:
            is_quote = view == _QUOTE
            is_inside = np.logical_xor.accumulate(is_quote)
            if is_inside[-1]:
                raise NotPlain
            is_end &= ~is_inside
        ends = np.flatnonzero(is_end)
        ends += _BEFORE
        if len(ends) != n_rows * len(self._layout.dialect.names):
            raise NotPlain
        starts = np.empty_like(ends)
        starts[0] = _BEFORE
        np.add(ends[:-1], 1, out=starts[1:])
        of_rows = ends[len(self._layout.dialect.names) - 1 :: len(self._layout.dialect.names)]
        if not (self._data[of_rows] == _NEWLINE).all():
            raise NotPlain
        self._check_returns(of_rows, end)
        if has_quotes:
            self._strip_quotes(starts, ends, int(np.count_nonzero(is_quote)))
        return Cut(self._data, self._data.view(np.uint64), starts, ends), n_rows

    def _check_returns(self, of_rows: NDArray[np.int64], end: int) -> None:
        """Leave carriage returns out of the cells; they stand at each line's end, or nowhere."""
        if not self._layout.has_return:
            if self._buffer.find(b"\r", _BEFORE, end) >= 0:
                raise NotPlain
            return
        of_rows -= 1
        n_returns = np.count_nonzero(self._data[_BEFORE:end] == _RETURN)
        if n_returns != len(of_rows) or not (self._data[of_rows] == _RETURN).all():
            raise NotPlain

    def _strip_quotes(self, starts: NDArray[np.int64], ends: NDArray[np.int64], n_quotes: int) -> None:
        """Leave quotes out of the cells; each belongs to a pair that encloses one."""
        is_quoted = (self._data[starts] == _QUOTE) & (self._data[ends - 1] == _QUOTE) & (ends - starts > 1)
        if 2 * int(np.count_nonzero(is_quoted)) != n_quotes:
            raise NotPlain
        starts += is_quoted
        ends -= is_quoted

    def _take(self, found: tuple[Cut, int]) -> None:
        """Read the cells of a block."""
        cells, n_rows = found
        rows = slice(self._n_read, self._n_read + n_rows)
        self._n_read += n_rows
        if self._n_read > self.numbers.shape[1]:
            raise NotPlain  # the file grew meanwhile
        order = [*self._layout.numbers, *self._layout.texts]
        starts, ends = (places.reshape(n_rows, len(order)).T[order] for places in (cells.starts, cells.ends))
        columns = Cut(cells.data, cells.words, starts, ends)
        n_numbers = len(self._layout.numbers)
        numbers, texts = columns.take(slice(n_numbers)), columns.take(slice(n_numbers, None))
        if n_numbers:
            self.numbers[:, rows] = self._numbers(numbers.flat()).reshape(n_numbers, n_rows)
        if self._layout.texts:
            self.codes[:, rows] = self.lexicon.codes(texts)

    def _numbers(self, cells: Cut) -> NDArray[np.float64]:
        values, odd = read_numbers(cells)
        for place, text in zip(odd.tolist(), cells.take(odd).texts(), strict=True):
            if text in self._missing:
                values[place] = np.nan
            elif _NUMBER.fullmatch(text) and not _LEADING_ZERO.fullmatch(text):
                values[place] = float(text)
            else:
                raise NotPlain
        return values


def _joined(
    layout: _Layout, parts: list[_Part], numbers: NDArray[np.float64], codes: NDArray[np.int32]
) -> dict[int, Cells]:
    """Return the columns by place; a text gets one code in all parts."""
    columns: dict[int, Cells] = dict(zip(layout.numbers, numbers, strict=True))
    for i, place in enumerate(layout.texts):
        known: dict[str, int] = {}
        for part in parts:
            meant = [known.setdefault(text, len(known)) for text in part.lexicon.texts(i)]
            if meant != list(range(len(meant))):
                part.codes[i] = np.array([*meant, -1], np.int32)[part.codes[i]]
        columns[place] = Codes(codes[i], tuple(known))
    return columns
