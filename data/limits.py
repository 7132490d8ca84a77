"""What may be how large: the limits of names, cells and lists, stated once. Imports nothing of ours.

Whoever takes something in checks it against these; whoever shows something cuts it with `clipped`. What a request or
a file costs is then bounded by its size. docs/api.md says what callers see of them.
"""

from collections.abc import Iterable

MEGABYTE = 1024 * 1024

# Taken in
NAME_CHARS = 1_000  # of a column's name
HEADER_CHARS = 1_000_000  # of all the names of a table together
COLUMNS = 10_000
LINE_CHARS = 4_000_000  # of one line of a file, and so of one cell
VALUE_CHARS = 64  # of a cell that may be a number or a date: a longer one is neither
CELLS_A_BYTE = 16  # of the table that JSON lines make, by byte of the file: rows may leave out most keys, not all
LEAST_CELLS = 1_000_000  # that any file of JSON lines may make
TEXT_TOKENS = 16_384  # of a column of free text, those of most rows
TEXT_WIDTH = 192  # tokens of one text, the rarest first
TEXT_CELLS = 30_000_000  # of the matrix of a column's tokens, but for eight a text

# Shown
ANSWER_BYTES = MEGABYTE  # of any answer but a download
ANSWER_FACTOR = 16  # of a request's size: predictions of a large one may be longer, and are then sent as a download
PAGE_BYTES = MEGABYTE // 2  # of a list, which then ends early and says where it goes on
DETAILS = 100  # problems named in one error
DETAILS_CHARS = 100_000  # of all of them together
MESSAGE_CHARS = 2_000  # of an error's sentence
NAME_SHOWN = 80  # characters of a name in a sentence
CELL_SHOWN = 200  # characters of a cell in a preview or an error


def clipped(text: str, limit: int = NAME_SHOWN) -> str:
    """Return the text, cut to `limit` characters with `...` behind where it is longer."""
    return text if len(text) <= limit else f"{text[:limit]}..."


def text_width(rows: int) -> int:
    """Return how many tokens each of so many texts may have: fewer where texts are many."""
    return min(TEXT_WIDTH, max(8, TEXT_CELLS // max(1, rows)))


def how_many_fit(sizes: Iterable[int], limit: int = PAGE_BYTES) -> int:
    """Return how many of the first ones are together at most `limit`, and one at least where there is any."""
    total = count = 0
    for size in sizes:
        total += size
        if count and total > limit:
            break
        count += 1
    return count
