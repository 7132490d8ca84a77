"""How much memory a job needs: one estimate, by the server before it accepts a job and by the dry run.

The server knows a table by its summary and a network by its spec; the dry run has built both. The sum is the same,
and the largest that is accepted decides what a worker may allocate (`service.settings`). Imports no torch.
"""

import math
from itertools import pairwise
from typing import Literal

from msgspec import Struct

from traind.data.limits import TEXT_TOKENS, text_width

Embedding = Literal["none", "piecewise_linear", "periodic"]
NUMBER_BYTES = 4
CODE_BYTES = 8  # of a category
TABLE_COPIES = 2  # of the training rows: as encoded, and as tensors
PREPARED_COPIES = 4  # what is prepared of a number, at most
MAX_PREPARED_BYTES = 1 << 29  # of a larger table, each batch is prepared as it comes
STATES = 7  # numbers a weight costs: itself, gradient, two moments, average, best, snapshot
ACTIVATIONS = 4  # numbers that a unit costs for each row of a batch, forward and back
ONE_HOT_LEVELS = 100  # categories with more levels are embedded
MOST_BINS = 128
BATCHES = ((2_000, 32), (5_000, 64), (10_000, 128), (60_000, 256), (200_000, 512), (math.inf, 1024))  # by rows below
FREQUENCIES = 48  # of a periodic embedding
TEXT_WIDTH = 32  # dimensions of a token's vector, and of a text
READER_BYTES = 64 * 1024**2  # of whoever reads a file: its buffers, and what it loads
EVALUATED_ROWS = 2_048  # at once, without gradients
TREE_CELL_BYTES = 2  # of the bins that trees are grown on
TREE_OUTPUT_BYTES = 32  # of a row's value, gradient and curvature


class Text(Struct, frozen=True):
    """A column of free text, as it is encoded."""

    width: int  # tokens of each text
    size: int  # tokens that there are, none among them


class Table(Struct, frozen=True):
    """What a network and its memory follow from: the rows as they are encoded."""

    rows: int  # trained on
    numeric: int  # encoded numeric features
    cardinalities: tuple[int, ...] = ()  # of the categorical columns, missing and unseen included
    texts: tuple[Text, ...] = ()
    held_rows: int = 0  # beside the training rows: those of validation and test
    is_read: bool = True  # from a file

    @property
    def bytes(self) -> int:
        """How large the encoded rows are, the target among them."""
        codes = len(self.cardinalities) + sum(text.width for text in self.texts) + 1
        return (self.rows + self.held_rows) * (NUMBER_BYTES * self.numeric + CODE_BYTES * codes)


class Shape(Struct, frozen=True):
    """A network's size as its spec says it."""

    hidden: tuple[int, ...] = (256, 256)
    heads: int = 1
    embedding: Embedding = "piecewise_linear"  # of its numbers
    bins: int = MOST_BINS
    dim: int = 32
    outputs: int = 1
    members: int = 1  # networks that are trained side by side
    has_network: bool = True
    has_trees: bool = False


def embedding_dim(numeric: int, most: int) -> int:
    """Return the dimensions that each number is embedded in: fewer where there are many."""
    return min(32 if numeric <= 8 else 16 if numeric <= 100 else 8, most)


def embedding_bins(rows: int, numeric: int, most: int) -> int:
    """Return the pieces of each number's embedding, at most: fewer where columns are many or rows are few."""
    return min(most, max(8, rows // 40), max(16, 12_800 // max(1, numeric)))


def auto_batch(rows: int) -> int:
    """Return the rows of a batch that the recipe chooses for so many training rows."""
    return next(size for below, size in BATCHES if rows < below)


def category_width(cardinality: int) -> int:
    """Return the dimensions of a category: one for each level where they are few, those of its vector else."""
    if cardinality <= ONE_HOT_LEVELS:
        return cardinality
    return 16 if cardinality < 1_000 else 32


def widths(shape: Shape, table: Table) -> tuple[int, ...]:
    """Return the width of each layer's input and of the outputs."""
    dim = 1 if shape.embedding == "none" else embedding_dim(table.numeric, shape.dim)
    encoded = table.numeric * dim + sum(map(category_width, table.cardinalities)) + TEXT_WIDTH * len(table.texts)
    return (encoded, *shape.hidden, shape.heads * shape.outputs)


def weights(shape: Shape, table: Table) -> int:
    """Return how many weights the networks have, embeddings counted, every piece of them in use."""
    sizes = widths(shape, table)
    count = sum(before * after + after for before, after in pairwise(sizes))
    if shape.heads > 1:  # each head has scales of its own, in and out
        count += shape.heads * sum(before + 2 * after for before, after in pairwise(sizes[:-1]))
    dim = embedding_dim(table.numeric, shape.dim)
    if shape.embedding == "piecewise_linear":
        count += table.numeric * dim * (2 + embedding_bins(table.rows, table.numeric, shape.bins))
    elif shape.embedding == "periodic":
        count += table.numeric * (FREQUENCIES + dim * (2 * FREQUENCIES + 1))
    count += sum(size * category_width(size) for size in table.cardinalities if size > ONE_HOT_LEVELS)
    return shape.members * (count + sum(text.size * TEXT_WIDTH for text in table.texts))


def text_of(rows: int) -> Text:
    """Return the most that a column of free text of so many training rows becomes, when nobody has read it."""
    return Text(text_width(rows), TEXT_TOKENS + 1)


def needs(shape: Shape, table: Table, batch_size: int, weight_count: int | None = None) -> dict[str, int]:
    """Return the bytes that a job holds at once beside the process itself, by what makes them necessary.

    `weight_count` is how many weights all its networks have, where that is known.
    """
    held = TABLE_COPIES * table.bytes + READER_BYTES * table.is_read
    if shape.has_trees:
        columns = table.numeric + len(table.cardinalities)
        grown = TREE_CELL_BYTES * columns + TREE_OUTPUT_BYTES * shape.outputs
        held += (table.rows + table.held_rows) * (NUMBER_BYTES * columns + shape.members * grown)
    if not shape.has_network:
        return {"dataset": held, "model": NUMBER_BYTES * (weight_count or 0), "batch_size": 0}
    count = weights(shape, table) if weight_count is None else weight_count
    first, *others = widths(shape, table)
    units = first + shape.heads * sum(others) + sum(text.width * TEXT_WIDTH for text in table.texts)
    batch = max(ACTIVATIONS * shape.members * min(batch_size, table.rows), min(EVALUATED_ROWS, table.held_rows))
    return {
        "dataset": held + min(PREPARED_COPIES * table.bytes, MAX_PREPARED_BYTES),
        "model": STATES * NUMBER_BYTES * count,
        "batch_size": NUMBER_BYTES * batch * units,
    }
