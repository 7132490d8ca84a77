"""Decision trees as tensors: all splits are evaluated at once, and a matrix product finds the leaves.

The GEMM strategy of Hummingbird (Nakandala et al., OSDI 2020): a row's decisions (+1 left, -1 right) times a tree's
paths count the right turns towards each leaf; the row's leaf is the one with all of them. It needs no tree library
and has no control flow that depends on data, so it can be exported. Where it is not exported, tables find the same
leaves sooner (`tables.Tables`).
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from traind.trainer.trees.tables import (
    LEAF_OFFSET,
    MOST_COLUMNS,
    MOST_LEAVES,
    TREES_AT_ONCE,
    Edges,
    Tables,
    columns_split_on,
    splits_of,
)

ROUNDS_AT_ONCE = 10  # rounds evaluated together: memory grows with it
NO_LEAF = 127  # turns towards a leaf that does not exist
NO_SPLIT = float("inf")
_OF_SETS = ("set_columns", "sets")


class Trees(nn.Module):
    """A sum of rounds of trees; a round has one tree for each output.

    Args of forward: numeric (rows, features) float32, categorical (rows, columns) int64. Returns (rows, outputs).

    A split by category reads an extra column: 0 where the level is in the split's set, else 1.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name in ("features", "paths", "turns", "set_counts", "set_columns", "sets"):
            self.register_buffer(name, weights[name])
        for name in ("thresholds", "values", "base"):
            self.register_parameter(name, nn.Parameter(weights[name], requires_grad=False))
        self.features: Tensor  # (rounds, outputs, splits) int32: a column, or -1 - n for set n of the round
        self.thresholds: Tensor  # (rounds, outputs, splits) float32: a row goes left where the column is at most this
        self.paths: (
            Tensor  # (rounds, outputs, splits, leaves) int8: 1: the leaf is to the left, -1: right, 0: neither
        )
        self.turns: Tensor  # (rounds, outputs, leaves) int8: number of splits above the leaf
        self.values: Tensor  # (rounds, outputs, leaves) float32
        self.set_counts: Tensor  # (rounds,) int64: sets of each round
        self.set_columns: Tensor  # (sets,) int64: the categorical column of each
        self.sets: Tensor  # (sets, levels) bool
        self.base: Tensor  # (outputs,) float32
        self.register_buffer("set_starts", torch.cumsum(self.set_counts, 0) - self.set_counts, persistent=False)
        self.set_starts: Tensor
        self.set_ends = [0, *torch.cumsum(self.set_counts, 0).tolist()]
        self._edges: Edges | None = None
        self._tables: dict[int, list[Tables] | None] = {}  # of the rounds from a first one on; None: products

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Return the raw outputs: standardised target, or logits."""
        total = self.base.expand(numeric.shape[0], -1)
        columns = plain_columns(numeric, categorical)
        if torch.onnx.is_in_onnx_export() or numeric.is_cuda or self.paths.shape[3] > MOST_LEAVES:
            for first in range(0, len(self.features), ROUNDS_AT_ONCE):
                total = total + self.block(columns, categorical, first)
            return total
        self._edges = self._edges or Edges(self.features, self.thresholds.detach())
        places = self._edges.places(columns.t().contiguous(), categorical.t())
        rounds = ROUNDS_AT_ONCE * max(1, TREES_AT_ONCE // (ROUNDS_AT_ONCE * self.features.shape[1]))
        for first in range(0, len(self.features), rounds):
            last = min(first + rounds, len(self.features))
            tables = self._tables_of(first, last, self._edges)
            values = None if tables is None else self._looked_up(tables, places, first, last)
            for start in range(first, last, ROUNDS_AT_ONCE):
                if values is None:
                    total = total + self.block(columns, categorical, start)
                else:
                    total = total + values[start - first : start - first + ROUNDS_AT_ONCE].sum(0).t()
        return total

    def _tables_of(self, first: int, last: int, edges: Edges) -> list[Tables] | None:
        """Return the tables of these rounds, made once; None where products are as fast."""
        if first not in self._tables:
            outputs, weights = self.features.shape[1], dict(self.state_dict())
            trees = (last - first) * outputs
            groups = -(-trees // TREES_AT_ONCE)
            borders = [first * outputs + trees * number // groups for number in range(groups + 1)]
            splits = [splits_of(weights, *ends) for ends in pairwise(borders)]
            is_wide = max(map(columns_split_on, splits)) > MOST_COLUMNS
            self._tables[first] = None if is_wide else [Tables(one, edges) for one in splits]
        return self._tables[first]

    def _looked_up(self, tables: list[Tables], places: Tensor, first: int, last: int) -> Tensor:
        """Return the values of the rows' leaves in these rounds, (rounds, outputs, rows)."""
        leaves = torch.cat([one.leaves(places) for one in tables], dim=1).t()
        values = self.values[first:last].flatten(0, 1)
        starts = torch.arange(len(values), dtype=torch.int32).unsqueeze(1) * values.shape[1] - LEAF_OFFSET
        found = values.flatten().index_select(0, (leaves + starts).flatten())
        return found.view(last - first, self.features.shape[1], leaves.shape[1])

    def block(self, columns: Tensor, categorical: Tensor, first: int) -> Tensor:
        """Return the sum of `ROUNDS_AT_ONCE` rounds from `first` on, (rows, outputs), for rows of `plain_columns`."""
        last = min(first + ROUNDS_AT_ONCE, len(self.features))
        features = self.features[first:last].long()
        if (start := self.set_ends[first]) < (end := self.set_ends[last]):
            of_sets = columns.shape[1] - 1 - start + self.set_starts[first:last].view(-1, 1, 1) - features
            features = torch.where(features < 0, of_sets, features)
            columns = torch.cat((columns, self._of_sets(categorical, start, end)), dim=1)
        is_left = columns.index_select(1, features.flatten()) <= self.thresholds[first:last].flatten()
        paths = self.paths[first:last].flatten(0, 1).float()
        decisions = (is_left.float() * 2.0 - 1.0).view(len(columns), len(paths), paths.shape[1]).transpose(0, 1)
        taken = torch.matmul(decisions, paths)  # (trees, rows, leaves)
        is_leaf = (taken == self.turns[first:last].flatten(0, 1).unsqueeze(1).float()).float()
        found = torch.matmul(is_leaf, self.values[first:last].flatten(0, 1).unsqueeze(2)).squeeze(2)
        return found.view(last - first, self.features.shape[1], len(columns)).sum(0).t()

    def _of_sets(self, categorical: Tensor, start: int, end: int) -> Tensor:
        """Return the columns of sets `start` to `end`, (rows, sets): 0 where the level is in the set, else 1."""
        sets = self.sets[start:end]
        levels = categorical.index_select(1, self.set_columns[start:end])
        places = levels + torch.arange(end - start, device=levels.device) * sets.shape[1]
        is_out = (~sets).float().flatten()
        return is_out.index_select(0, places.flatten()).view(levels.shape)


def plain_columns(numeric: Tensor, categorical: Tensor) -> Tensor:
    """Return the columns that trees split on: numbers, then category levels as numbers, float32."""
    return torch.cat((numeric, categorical.to(numeric.dtype)), dim=1)


def stacked(rounds: Sequence[Mapping[str, Tensor]], base: Tensor) -> dict[str, Tensor]:
    """Return the weights of `Trees` of these pieces, each of one or more rounds."""
    names = [name for name in rounds[0] if name != "base"]
    return {"base": base, **{name: torch.cat([one[name] for one in rounds]) for name in names}}


def cut(weights: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """Return the weights of `Trees` in pieces of `ROUNDS_AT_ONCE` rounds, then in single rounds."""
    counts, pieces = weights["set_counts"], []
    ends = [0, *torch.cumsum(counts, 0).tolist()]
    whole = len(counts) // ROUNDS_AT_ONCE * ROUNDS_AT_ONCE
    borders = [*range(0, whole, ROUNDS_AT_ONCE), *range(whole, len(counts))]
    for first, last in zip(borders, [*borders[1:], len(counts)], strict=True):
        sets = slice(ends[first], ends[last])
        pieces.append(
            {
                name: tensor if name == "base" else tensor[sets if name in _OF_SETS else slice(first, last)].clone()
                for name, tensor in weights.items()
            }
        )
    return pieces


def round_of(
    trees: Sequence[Mapping[str, Any]], leaves: int, numeric: int, cardinalities: Sequence[int]
) -> dict[str, Tensor]:
    """Return one round from trees dumped by LightGBM, with at most `leaves` leaves each.

    `numeric` is the number of numeric columns; the categorical columns after them have `cardinalities` levels.
    """
    packed = _Round(len(trees), leaves, numeric, max(cardinalities, default=1))
    for place, tree in enumerate(trees):
        packed.add(place, tree["tree_structure"])
    return packed.tensors()


class _Round:
    """The arrays of one round, filled split by split."""

    def __init__(self, outputs: int, leaves: int, numeric: int, levels: int) -> None:
        splits = max(1, leaves - 1)
        self.numeric = numeric
        self.features = np.zeros((outputs, splits), np.int32)
        self.thresholds = np.full((outputs, splits), NO_SPLIT, np.float32)
        self.paths = np.zeros((outputs, splits, leaves), np.int8)
        self.turns = np.full((outputs, leaves), NO_LEAF, np.int8)
        self.values = np.zeros((outputs, leaves), np.float32)
        self.set_columns: list[int] = []
        self.sets: list[NDArray[np.bool_]] = []
        self._levels = levels

    def add(self, place: int, root: Mapping[str, Any]) -> None:
        """Write one tree. Without recursion: its depth is not bounded."""
        waiting: list[tuple[Mapping[str, Any], tuple[tuple[int, int], ...]]] = [(root, ())]
        while waiting:
            node, path = waiting.pop()
            if "leaf_value" in node:
                leaf = node.get("leaf_index", 0)
                self.values[place, leaf] = node["leaf_value"]
                self.turns[place, leaf] = len(path)
                for split, turn in path:
                    self.paths[place, split, leaf] = turn
                continue
            split = node["split_index"]
            self._split(place, split, node)
            waiting.append((node["left_child"], (*path, (split, 1))))
            waiting.append((node["right_child"], (*path, (split, -1))))

    def _split(self, place: int, split: int, node: Mapping[str, Any]) -> None:
        column = node["split_feature"]
        if node["decision_type"] == "==":
            self.features[place, split] = -1 - len(self.sets)
            self.thresholds[place, split] = 0.5
            self.set_columns.append(column - self.numeric)
            self.sets.append(np.zeros(self._levels, bool))
            self.sets[-1][[int(level) for level in str(node["threshold"]).split("||")]] = True
            return
        self.features[place, split] = column
        self.thresholds[place, split] = _down(float(node["threshold"]))

    def tensors(self) -> dict[str, Tensor]:
        """Return the round's weights of `Trees`."""
        arrays = ("features", "thresholds", "paths", "turns", "values")
        sets = np.array(self.sets) if self.sets else np.zeros((0, self._levels), bool)
        return {
            **{name: torch.from_numpy(getattr(self, name)).unsqueeze(0) for name in arrays},
            "set_counts": torch.tensor([len(self.sets)]),
            "set_columns": torch.tensor(self.set_columns, dtype=torch.int64),
            "sets": torch.from_numpy(sets),
        }


def _down(threshold: float) -> np.float32:
    """Return the largest float32 not above the threshold: it splits float32 numbers in the same way."""
    near = np.float32(threshold)
    return near if float(near) <= threshold else np.nextafter(near, np.float32(-np.inf))
