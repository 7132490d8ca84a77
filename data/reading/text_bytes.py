"""The bytes of a text file as UTF-8, checked on the way: what no table holds stops here, with its line.

Zero bytes, bytes of another encoding, endless lines and zip bombs end here, in a fixed amount of memory.
"""

import codecs
import zlib
from collections.abc import Iterator
from pathlib import Path

from traind.data.errors import BadCell, BadTable
from traind.data.reading.dialect import MAX_LINE
from traind.data.reading.formats import Format, fitting_encoding, open_bytes

CHUNK_BYTES = 1 << 21  # less than a line may have
FREE_BYTES = 64 << 20  # that any zipped file may hold when it is unzipped
MAX_RATIO = 100  # of unzipped to zipped bytes, beyond that: tables stay below


def utf8_chunks(path: Path, form: Format, *, free_bytes: int = FREE_BYTES) -> Iterator[bytes]:
    """Yield the file's text as UTF-8, cut anywhere but within a character, a byte order mark dropped.

    A zipped file may hold `free_bytes`, and more in proportion to its own size.

    Raises:
        BadTable: the file holds a zero byte, foreign bytes, a line that is too long, or too much.
    """
    limit = free_bytes + MAX_RATIO * path.stat().st_size if form.is_gzip else None
    look = _Look(path, form)
    total = 0
    try:
        with open_bytes(path, form) as file:
            while chunk := file.read(CHUNK_BYTES):
                yield look.at(chunk)
                total += len(chunk)
                if limit is not None and total > limit:
                    raise BadTable(f"the file unzips to more than {limit:,} bytes", hint="unzip it yourself")
        yield look.at(b"", final=True)
    except (EOFError, OSError, zlib.error) as error:
        message = f"the file cannot be unzipped beyond line {look.line()}: {error}"
        raise BadTable(message, hint="is it whole?") from None


class _Look:
    """Where the reading is: the line it is in, and how long that is so far."""

    def __init__(self, path: Path, form: Format) -> None:
        self._file = path, form
        self._passed = 0  # bytes
        self._is_first = True
        self._length = 0
        self._end = b""  # of lines, known from the first chunk
        self._decoder = codecs.getincrementaldecoder(form.charset)()
        self._is_pending = False  # a character is cut in two by the chunk's end

    def line(self) -> int:
        """Return the line in which the bytes that are looked at begin; they are counted when somebody asks."""
        path, form = self._file
        decoder, line, left = codecs.getincrementaldecoder(form.charset)(), 1, self._passed
        end = (self._end or b"\n").decode()
        with open_bytes(path, form) as file:
            while left and (chunk := file.read(min(left, CHUNK_BYTES))):
                line += decoder.decode(chunk).count(end)
                left -= len(chunk)
        return line

    def at(self, chunk: bytes, *, final: bool = False) -> bytes:
        """Check the next bytes and return them as UTF-8."""
        size = len(chunk)
        is_utf8 = self._file[1].charset == "utf-8"
        if not is_utf8 or self._is_pending or not chunk.isascii():
            chunk = self._decode(chunk, final=final).encode()
        if self._is_first:
            chunk = chunk.removeprefix(codecs.BOM_UTF8)
            self._is_first = False
        self._end = self._end or (b"\r" if b"\n" not in chunk and b"\r" in chunk else b"\n")
        if (place := chunk.find(b"\0")) >= 0:
            hint = "is this a text file? if it is UTF-16, say so: csv;charset=utf-16"
            raise _bad(self.line() + chunk.count(self._end, 0, place), "holds a zero byte", hint)
        self._check_length(chunk)
        self._passed += size
        return chunk

    def _check_length(self, chunk: bytes) -> None:
        first = chunk.find(self._end)
        longest = self._length + (len(chunk) if first < 0 else first)
        if longest > MAX_LINE:
            raise _bad(self.line(), f"is longer than {MAX_LINE:,} bytes", "is this a table?")
        self._length = self._length + len(chunk) if first < 0 else len(chunk) - chunk.rfind(self._end) - 1

    def _decode(self, chunk: bytes, *, final: bool) -> str:
        try:
            text = self._decoder.decode(chunk, final)
        except UnicodeDecodeError as error:
            path, form = self._file
            end = self._end or b"\n"
            line = self.line() + error.object[: error.start].count(end)
            hint = f"say which encoding it is; {form.kind};charset={fitting_encoding(path, form)} can be read"
            found = error.object[error.start : error.start + 1].hex()
            raise _bad(line, f"is not {form.charset}: it holds the byte 0x{found}", hint) from None
        except UnicodeError as error:
            raise BadTable(f"the file is not {self._file[1].charset}: {error}") from None
        self._is_pending = bool(self._decoder.getstate()[0])
        return text


def _bad(line: int, message: str, hint: str) -> BadTable:
    return BadTable(f"line {line} {message}", hint=hint, cells=(BadCell(line, None, None, message),))
