"""The estimate of a job's memory, for the server before it accepts a job and for the dry run. Imports no torch.

The server knows the table by its summary and the network by its spec; the dry run has built both. Both use the same
sum. A worker's memory limit follows from the largest estimate that is accepted (`service.settings`).
"""

import math
from itertools import pairwise
from typing import Literal

from msgspec import Struct

from traind.data.limits import TEXT_TOKENS, text_width

Embedding = Literal["none", "piecewise_linear", "periodic"]
NUMBER_BYTES = 4
CODE_BYTES = 8  # of a category
TABLE_COPIES = 2  # of the training rows: encoded arrays, and tensors
PREPARED_COPIES = 4  # prepared numbers for each encoded number, at most
MAX_PREPARED_BYTES = 1 << 29  # the batches of a larger table are prepared one by one
STATES = 7  # numbers kept for each weight: itself, gradient, two moments, average, best, snapshot
ACTIVATIONS = 4  # numbers kept for each unit and row of a batch, forward and backward
ONE_HOT_LEVELS = 100  # categories with more levels are embedded
MOST_BINS = 128
BATCHES = ((2_000, 32), (5_000, 64), (10_000, 128), (60_000, 256), (200_000, 512), (math.inf, 1024))  # by rows below
NARROW_ROWS = 5_000  # from here on narrow layers at a higher learning rate lose nothing, in half the time
FREQUENCIES = 48  # of a periodic embedding
TEXT_WIDTH = 32  # dimensions of a token's vector, and of a text
READER_BYTES = 64 * 1024**2  # of reading a file: buffers and libraries
EVALUATED_ROWS = 2_048  # at once, without gradients
TREE_CELL_BYTES = 2  # of the bins that trees are grown on
TREE_OUTPUT_BYTES = 32  # of a row's value, gradient and curvature


class Text(Struct, frozen=True):
    """A column of free text, as it is encoded."""

    width: int  # tokens of each text
    size: int  # tokens that there are, none among them


class Table(Struct, frozen=True):
    """The size of the encoded rows, from which a network's size and memory follow."""

    rows: int  # trained on
    numeric: int  # encoded numeric features
    cardinalities: tuple[int, ...] = ()  # of the categorical columns, missing and unseen included
    texts: tuple[Text, ...] = ()
    held_rows: int = 0  # beside the training rows: those of validation and test
    is_read: bool = True  # from a file

    @property
    def bytes(self) -> int:
        """Size of the encoded rows with the target, in bytes."""
        codes = len(self.cardinalities) + sum(text.width for text in self.texts) + 1
        return (self.rows + self.held_rows) * (NUMBER_BYTES * self.numeric + CODE_BYTES * codes)


class Shape(Struct, frozen=True):
    """The size of a network, from its spec."""

    hidden: tuple[int, ...] | None = None  # None: as the recipe chooses
    heads: int = 1
    embedding: Embedding = "piecewise_linear"  # of its numbers
    bins: int = MOST_BINS
    dim: int = 32
    outputs: int = 1
    members: int = 1  # networks trained side by side
    has_network: bool = True
    has_trees: bool = False


def embedding_dim(numeric: int, most: int) -> int:
    """Return the embedding dimensions of each numeric feature: fewer for many features."""
    return min(32 if numeric <= 8 else 16 if numeric <= 100 else 8, most)


def embedding_bins(rows: int, numeric: int, most: int) -> int:
    """Return the most bins of each numeric embedding: fewer for many columns or few rows."""
    return min(most, max(8, rows // 40), max(16, 12_800 // max(1, numeric)))


def auto_batch(rows: int) -> int:
    """Return the batch size that the recipe chooses for `rows` training rows."""
    return next(size for below, size in BATCHES if rows < below)


def auto_hidden(rows: int) -> tuple[int, ...]:
    """Return the widths of the layers that the recipe chooses for `rows` training rows."""
    return (256, 256) if rows < NARROW_ROWS else (128, 128)


def category_width(cardinality: int) -> int:
    """Return the width of an encoded category: one-hot for few levels, else an embedding's dimensions."""
    if cardinality <= ONE_HOT_LEVELS:
        return cardinality
    return 16 if cardinality < 1_000 else 32


def widths(shape: Shape, table: Table) -> tuple[int, ...]:
    """Return the width of each layer's input and of the outputs."""
    dim = 1 if shape.embedding == "none" else embedding_dim(table.numeric, shape.dim)
    encoded = table.numeric * dim + sum(map(category_width, table.cardinalities)) + TEXT_WIDTH * len(table.texts)
    hidden = auto_hidden(table.rows) if shape.hidden is None else shape.hidden
    return (encoded, *hidden, shape.heads * shape.outputs)


def weights(shape: Shape, table: Table) -> int:
    """Return the number of weights of all networks, with embeddings of the most bins."""
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
    """Return the largest encoding of a text column with `rows` training rows, for a table not read yet."""
    return Text(text_width(rows), TEXT_TOKENS + 1)


def needs(shape: Shape, table: Table, batch_size: int, weight_count: int | None = None) -> dict[str, int]:
    """Return the bytes that a job needs beside the process itself, by cause: dataset, model, batch_size.

    `weight_count` is the number of weights of all its networks, if known.
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
