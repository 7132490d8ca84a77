"""Looks at every byte of a text file before anything parses it, and stops what no table holds.

Zero bytes, endless lines and zip bombs end here with their line, in a fixed amount of memory. Costs a few percent
of parsing.
"""

import zlib
from pathlib import Path

from traind.data.dialect import MAX_LINE
from traind.data.errors import BadCell, BadTable
from traind.data.formats import Format, open_bytes

CHUNK_BYTES = 1 << 20
_FREE_BYTES = 256 << 20  # that any zipped file may hold
_MAX_RATIO = 200  # of unzipped to zipped bytes, beyond that: tables stay below 100


def scan(path: Path, form: Format) -> None:
    """Raise `BadTable` where the file holds a zero byte, a line that is too long, or too much in all."""
    line, since, total = 1, 0, 0  # the line that the chunk begins in, bytes of it so far, bytes in all
    limit = _FREE_BYTES + _MAX_RATIO * path.stat().st_size
    is_wide = form.charset == "utf-16"
    try:
        with open_bytes(path, form) as file:
            while chunk := file.read(CHUNK_BYTES):
                total += len(chunk)
                place = -1 if is_wide else chunk.find(b"\0")
                if place >= 0:
                    raise _bad(line + chunk.count(b"\n", 0, place), "holds a zero byte", "is this a text file?")
                first = chunk.find(b"\n")
                if since + (len(chunk) if first < 0 else first) > MAX_LINE:
                    raise _bad(line, f"is longer than {MAX_LINE:,} bytes", "is this a table?")
                line += chunk.count(b"\n")
                since = since + len(chunk) if first < 0 else len(chunk) - chunk.rfind(b"\n") - 1
                if form.is_gzip and total > limit:
                    raise BadTable(f"the file unzips to more than {limit:,} bytes", hint="unzip it yourself")
    except (EOFError, OSError, zlib.error) as error:
        raise BadTable(f"the file cannot be unzipped beyond line {line}: {error}", hint="is it whole?") from None


def _bad(line: int, message: str, hint: str) -> BadTable:
    return BadTable(f"line {line} {message}", hint=hint, cells=(BadCell(line, None, None, message),))
