"""The limits of names, cells and lists. Imports nothing of traind.

Input is checked against them, output is cut with `clipped`, so that the cost of a request or a file is bounded by its
size. docs/api.md says what callers see of them.
"""

from collections.abc import Iterable

MEGABYTE = 1024 * 1024

# Taken in
NAME_CHARS = 1_000  # of a column's name
HEADER_CHARS = 1_000_000  # of all the names of a table together
COLUMNS = 10_000
LINE_CHARS = 4_000_000  # of one line of a file, and so of one cell
VALUE_CHARS = 64  # longer cells are neither numbers nor dates
CELLS_A_BYTE = 16  # cells of a table of JSON lines for each byte of the file, since rows may leave out keys
LEAST_CELLS = 1_000_000  # cells that any file of JSON lines may make
TEXT_TOKENS = 16_384  # most tokens of a column of free text, the most frequent
TEXT_WIDTH = 192  # tokens of one text, the rarest first
TEXT_CELLS = 30_000_000  # of a column's token matrix, beyond eight tokens a text

# Shown
ANSWER_BYTES = MEGABYTE  # of any answer but a download
ANSWER_FACTOR = 16  # of a request's size: longer predictions are sent as a download
PAGE_BYTES = MEGABYTE // 2  # of a page of a list, which then ends early
DETAILS = 100  # problems named in one error
DETAILS_CHARS = 100_000  # of all of them together
MESSAGE_CHARS = 2_000  # of an error's sentence
NAME_SHOWN = 80  # characters of a name in a sentence
CELL_SHOWN = 200  # characters of a cell in a preview or an error


def clipped(text: str, limit: int = NAME_SHOWN) -> str:
    """Return the text, cut to `limit` characters and `...` if it is longer."""
    return text if len(text) <= limit else f"{text[:limit]}..."


def text_width(rows: int) -> int:
    """Return the number of tokens for each of `rows` texts: fewer for many texts."""
    return min(TEXT_WIDTH, max(8, TEXT_CELLS // max(1, rows)))


def how_many_fit(sizes: Iterable[int], limit: int = PAGE_BYTES) -> int:
    """Return how many of the first sizes add up to at most `limit`; at least one if there is any."""
    total = count = 0
    for size in sizes:
        total += size
        if count and total > limit:
            break
        count += 1
    return count
