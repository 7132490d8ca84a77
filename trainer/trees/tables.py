"""Trees evaluated by looking up which leaves a column's value leaves possible: ten times as fast as products.

Each tree has one bit for each of its leaves (QuickScorer, Lucchese et al., SIGIR 2015). For every column and every
range between two of its thresholds a table has the bits of the leaves that rows with such a value can still reach;
all columns' bits joined by "and" leave the one leaf of the row. It finds the leaves that `Trees.block` finds, and
`Trees` adds their values in the same order: the sums are equal bit for bit.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

TREES_AT_ONCE = 128  # their tables fit into the cache
LEAF_OFFSET = 127  # of a float32's exponent
MOST_LEAVES = 31  # bits of an int32 but for the sign
MOST_COLUMNS = 200  # that a group of trees splits on; products are as fast beyond
Ints = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Splits:
    """All splits of some trees, in numpy arrays. `sets` is of all sets of the model, (sets, levels)."""

    columns: Ints  # (trees, splits): a column, or -1 - n for set n
    thresholds: NDArray[np.float32]  # (trees, splits); infinite where there is no split
    if_left: Ints  # (trees, splits): bits of the leaves that are possible to the left of a split
    if_right: Ints  # (trees, splits)
    exist: Ints  # (trees,): bits of all leaves
    set_columns: NDArray[np.int64]  # (sets,)
    sets: NDArray[np.bool_]


class Edges:
    """The thresholds of all trees of a model, by which each row's numbers are placed once for all of them."""

    def __init__(self, features: Tensor, thresholds: Tensor) -> None:
        columns, cuts = features.flatten().numpy(), thresholds.flatten().numpy()
        is_number = (columns >= 0) & np.isfinite(cuts)
        used = np.unique(columns[is_number])
        self.of: dict[int, NDArray[np.float32]] = {
            int(column): np.unique(cuts[is_number & (columns == column)]) for column in used
        }
        edges = np.full((len(used), max(map(len, self.of.values()), default=0)), np.inf, np.float32)
        for place, own in enumerate(self.of.values()):
            edges[place, : len(own)] = own
        self._edges = torch.from_numpy(edges)  # (number columns, most thresholds), in order
        self._most = torch.tensor([len(own) for own in self.of.values()], dtype=torch.int64).unsqueeze(1)
        self._numbers = torch.tensor(list(self.of), dtype=torch.int64)
        self.row_of = {column: row for row, column in enumerate(self.of)}  # of `places`; categories come after these

    def places(self, columns: Tensor, categorical: Tensor) -> Tensor:
        """Return by column how many thresholds each row is above, then the levels of categories, int64.

        Args: columns (columns, rows) float32, categorical (columns, rows) int64.
        """
        ranges = torch.searchsorted(self._edges, columns.index_select(0, self._numbers))
        return torch.cat((torch.minimum(ranges, self._most), categorical))  # NaN is above every threshold


class Tables:
    """The tables of a group of trees, for rows that `edges` has placed."""

    def __init__(self, splits: Splits, edges: Edges) -> None:
        numbers, sets = _numeric_tables(splits, edges), _set_tables(splits)
        parts = [table for _, table in (*numbers, *sets)]
        starts = np.concatenate(([0], np.cumsum([len(part) for part in parts])))[: len(parts)].astype(np.int64)
        rows = [edges.row_of[column] for column, _ in numbers]
        rows += [len(edges.of) + column for column, _ in sets]
        self.rows = torch.tensor(rows, dtype=torch.int64)  # of the places of each column
        self.starts = torch.from_numpy(starts).unsqueeze(1)  # of each column's rows in `possible`
        self.possible = torch.from_numpy(np.concatenate([np.zeros((0, len(splits.exist)), np.int32), *parts]))
        self.exist = torch.from_numpy(splits.exist)  # (trees,)

    def leaves(self, places: Tensor) -> Tensor:
        """Return the number of each row's leaf in each tree, plus `LEAF_OFFSET`, (rows, trees) int32.

        Args: places (columns, rows), as `Edges.places` returns them.
        """
        possible = self.exist.expand(places.shape[1], -1)
        for number, place in enumerate(places.index_select(0, self.rows).add_(self.starts)):
            found = self.possible.index_select(0, place)
            possible = found if not number else possible.bitwise_and_(found)
        return possible.float().view(torch.int32).bitwise_right_shift_(23)  # the exponent of 2 to the leaf's number


def splits_of(weights: dict[str, Tensor], first: int, last: int) -> Splits:
    """Return the splits of the trees `first` to `last`, counted over all rounds, of the weights of `Trees`."""
    outputs = weights["features"].shape[1]
    paths, turns = (weights[name].flatten(0, 1)[first:last].numpy() for name in ("paths", "turns"))
    features, thresholds = (weights[name].flatten(0, 1)[first:last].numpy() for name in ("features", "thresholds"))
    counts = weights["set_counts"].numpy()
    starts = np.repeat(np.cumsum(counts) - counts, outputs)[first:last, None]
    bits = np.left_shift(np.int32(1), np.arange(paths.shape[2], dtype=np.int32))
    exist = ((turns < 127) * bits).sum(axis=1, dtype=np.int32)
    return Splits(
        columns=np.where(features < 0, features - starts, features).astype(np.int32),
        thresholds=thresholds,
        if_left=exist[:, None] & ~((paths < 0) * bits).sum(axis=2, dtype=np.int32),
        if_right=exist[:, None] & ~((paths > 0) * bits).sum(axis=2, dtype=np.int32),
        exist=exist,
        set_columns=weights["set_columns"].numpy(),
        sets=weights["sets"].numpy(),
    )


def columns_split_on(splits: Splits) -> int:
    """Return how many columns these trees split on."""
    is_number = (splits.columns >= 0) & np.isfinite(splits.thresholds)
    sets = splits.set_columns[-1 - splits.columns[splits.columns < 0]]
    return len(np.unique(splits.columns[is_number])) + len(np.unique(sets))


def _numeric_tables(splits: Splits, edges: Edges) -> list[tuple[int, Ints]]:
    """Return of each column split by thresholds: its place and the table.

    The table is (thresholds + 1, trees): row n is of values above the first n of the column's thresholds in the model
    and not above the others.
    """
    trees, places = np.nonzero((splits.columns >= 0) & np.isfinite(splits.thresholds))
    columns, thresholds = splits.columns[trees, places], splits.thresholds[trees, places]
    found = []
    for column in np.unique(columns):
        of_it = np.flatnonzero(columns == column)
        ranks = np.searchsorted(edges.of[int(column)], thresholds[of_it])
        above = np.tile(splits.exist, (len(edges.of[int(column)]) + 1, 1))
        below = above.copy()
        tree, place = trees[of_it], places[of_it]
        np.bitwise_and.at(above, (ranks + 1, tree), splits.if_right[tree, place])
        np.bitwise_and.at(below, (ranks, tree), splits.if_left[tree, place])
        upwards: Ints = np.bitwise_and.accumulate(above, axis=0)
        downwards: Ints = np.bitwise_and.accumulate(below[::-1], axis=0)[::-1]
        found.append((int(column), upwards & downwards))
    return found


def _set_tables(splits: Splits) -> list[tuple[int, Ints]]:
    """Return of each column split by sets of levels: its place and the table, (levels, trees)."""
    trees, places = np.nonzero(splits.columns < 0)
    sets = -1 - splits.columns[trees, places]
    columns = splits.set_columns[sets]
    found = []
    for column in np.unique(columns):
        possible = np.tile(splits.exist, (splits.sets.shape[1], 1))
        for at in np.flatnonzero(columns == column):
            tree, place = trees[at], places[at]
            left, right = splits.if_left[tree, place], splits.if_right[tree, place]
            possible[:, tree] &= np.where(splits.sets[sets[at]], left, right)
        found.append((int(column), possible))
    return found
