"""Looks at every byte of a text file before anything parses it, and stops what no table holds.

Zero bytes, bytes of another encoding, endless lines and zip bombs end here with their line, in a fixed amount of
memory. Costs a few percent of parsing.
"""

import codecs
import zlib
from pathlib import Path

from traind.data.errors import BadCell, BadTable
from traind.data.reading.dialect import MAX_LINE
from traind.data.reading.formats import Format, open_bytes
from traind.data.reading.odd_numbers import OddNumbers

CHUNK_BYTES = 1 << 16  # what numpy makes of them stays in the processor's cache
_FREE_BYTES = 256 << 20  # that any zipped file may hold
_MAX_RATIO = 100  # of unzipped to zipped bytes, beyond that: tables stay below


def scan(path: Path, form: Format, oddities: OddNumbers | None = None) -> None:
    """Raise `BadTable` where the file holds a zero byte, foreign bytes, a line that is too long, or too much.

    On the way `oddities` looks for numbers that are oddly written.
    """
    limit = _FREE_BYTES + _MAX_RATIO * path.stat().st_size if form.is_gzip else None
    look = _Look(form, oddities)
    total = 0
    try:
        with open_bytes(path, form) as file:
            while chunk := file.read(CHUNK_BYTES):
                look.at(chunk)
                total += len(chunk)
                if limit is not None and total > limit:
                    raise BadTable(f"the file unzips to more than {limit:,} bytes", hint="unzip it yourself")
        look.at_end()
    except (EOFError, OSError, zlib.error) as error:
        message = f"the file cannot be unzipped beyond line {look.line}: {error}"
        raise BadTable(message, hint="is it whole?") from None


class _Look:
    """Where the scan is: the line it is in, and how long that is so far."""

    def __init__(self, form: Format, oddities: OddNumbers | None) -> None:
        self.line = 1
        self._oddities = oddities
        self._form = form
        self._length = 0
        self._end = b""  # of lines, known from the first chunk
        self._decoder = codecs.getincrementaldecoder(form.charset)()
        self._is_pending = False  # a character is cut in two by the chunk's end

    def at(self, chunk: bytes) -> None:
        """Look at the next bytes."""
        self._end = self._end or (b"\r" if b"\n" not in chunk and b"\r" in chunk else b"\n")
        if self._form.charset == "utf-8":
            self._refuse_zero(chunk)
            if self._is_pending or not chunk.isascii():
                self._decode(chunk)
        elif self._form.charset == "utf-16":
            self._decode(chunk)
        first = chunk.find(self._end)
        if self._length + (len(chunk) if first < 0 else first) > MAX_LINE:
            raise _bad(self.line, f"is longer than {MAX_LINE:,} bytes", "is this a table?")
        self._length = self._length + len(chunk) if first < 0 else len(chunk) - chunk.rfind(self._end) - 1
        self.line += chunk.count(self._end)
        if self._oddities is not None:
            self._oddities.look(chunk)

    def at_end(self) -> None:
        """Tell that no more bytes come."""
        if self._oddities is not None:
            self._oddities.look(self._end)
        if self._is_pending:
            self._decode(b"", final=True)

    def _refuse_zero(self, chunk: bytes) -> None:
        place = chunk.find(b"\0")
        if place >= 0:
            line = self.line + chunk.count(self._end, 0, place)
            hint = "is this a text file? if it is UTF-16, say so: csv;charset=utf-16"
            raise _bad(line, "holds a zero byte", hint)

    def _decode(self, chunk: bytes, *, final: bool = False) -> None:
        try:
            self._decoder.decode(chunk, final)
        except UnicodeDecodeError as error:
            line = self.line + error.object[: error.start].count(self._end)
            hint = f"if it is latin-1 (Windows, older exports), say so: {self._form.kind};charset=latin-1"
            found = error.object[error.start : error.start + 1].hex()
            raise _bad(line, f"is not {self._form.charset}: it holds the byte 0x{found}", hint) from None
        except UnicodeError as error:
            raise BadTable(f"the file is not {self._form.charset}: {error}") from None
        self._is_pending = bool(self._decoder.getstate()[0])


def _bad(line: int, message: str, hint: str) -> BadTable:
    return BadTable(f"line {line} {message}", hint=hint, cells=(BadCell(line, None, None, message),))
