"""Splits rows into training, validation and test, depending on the seed and the rows only."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traind.data.columns.request import Split
from traind.data.errors import BadTable
from traind.data.table.arrays import Cells, Codes, Mixed
from traind.data.table.cell_text import number_of

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Parts:
    """Row numbers of each part, ascending."""

    train: Indices
    validation: Indices
    test: Indices


def split(request: Split, n_rows: int, labels: NDArray[np.int64] | None, by: Cells | None) -> Parts:
    """Return the parts of `n_rows` rows; `labels` are class indices, `by` the cells of the request's column.

    Raises:
        BadTable: a part would be empty.
    """
    rng = np.random.Generator(np.random.PCG64(request.seed))
    kind = request.kind
    if kind == "auto":
        kind = "random" if labels is None else "stratified"
    if kind == "stratified" and labels is not None:
        return _with_every_class(_cut(_spread(labels, rng), request), labels)
    if kind == "time":
        place = _by_time(_required(by, request))
    elif kind == "group":
        place = _by_group(_required(by, request), request, rng)
    else:
        place = _ranks(rng.permutation(n_rows)) / n_rows
    return _cut(place, request)


def _cut(place: NDArray[np.float64], request: Split) -> Parts:
    """Cut rows by their position in [0, 1): training first, then validation, then test."""
    test_from = 1.0 - request.test_fraction
    validation_from = test_from - request.fraction
    epsilon = 1e-9
    test = place >= test_from - epsilon if request.test_fraction else np.zeros(len(place), np.bool_)
    validation = (place >= validation_from - epsilon) & ~test
    parts = Parts(*(np.flatnonzero(mask) for mask in (~validation & ~test, validation, test)))
    wanted = {"training": parts.train, "validation": parts.validation}
    if request.test_fraction:
        wanted["test"] = parts.test
    for name, rows in wanted.items():
        if not len(rows):
            raise BadTable(
                f"no rows are left for {name}: {len(place)} rows were split",
                hint="give more rows, or other fractions",
            )
    return parts


def _with_every_class(parts: Parts, labels: NDArray[np.int64]) -> Parts:
    """Return the parts with a validation row of each class, if training keeps one too."""
    here, there = (
        np.bincount(labels[rows], minlength=int(labels.max()) + 1) for rows in (parts.train, parts.validation)
    )
    wanted = np.flatnonzero((there == 0) & (here > 1))
    if not len(wanted):
        return parts
    moved = np.array([parts.train[labels[parts.train] == label][-1] for label in wanted])
    validation = np.sort(np.concatenate([parts.validation, moved]))
    return Parts(np.setdiff1d(parts.train, moved), validation, parts.test)


def _ranks(order: NDArray[Any]) -> NDArray[np.float64]:
    """Return each row's position in `order`."""
    ranks = np.empty(len(order))
    ranks[order] = np.arange(len(order))
    return ranks


def _spread(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Spread each class evenly over [0, 1); the first row of a class always trains."""
    order = rng.permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    counts = np.bincount(labels)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    within = np.arange(len(labels)) - np.repeat(starts, counts)
    size = np.repeat(counts, counts)
    jitter = np.repeat(rng.random(len(counts)), counts)  # so that the remainders of small classes differ
    place = np.empty(len(labels))
    place[by_class] = np.where(within == 0, 0.0, (within + jitter) / size)
    return np.asarray(_ranks(np.argsort(place, kind="stable")) / len(labels))


def _by_time(by: Cells) -> NDArray[np.float64]:
    """Order rows by the column, missing ones first, equal ones in file order."""
    values = _places(by) if isinstance(by, Codes) else by.numbers if isinstance(by, Mixed) else by
    order = np.argsort(np.where(np.isnan(values), -np.inf, values), kind="stable")
    return _ranks(order) / len(values)


def _places(by: Codes) -> NDArray[np.float64]:
    """Return the ranks of texts: by value if all are numbers, else alphabetical."""
    numbers = [number_of(level) for level in by.levels]
    if all(number is not None for number in numbers):
        places = np.array(numbers, np.float64)
    else:
        places = _ranks(np.argsort(np.array(by.levels, dtype=object), kind="stable"))
    return np.asarray(np.append(places, np.nan)[by.codes])


def _by_group(by: Cells, request: Split, rng: np.random.Generator) -> NDArray[np.float64]:
    """Order whole groups randomly; each part gets at least one group if there are enough."""
    names = (
        by.codes
        if isinstance(by, Codes)
        else np.where(by.words.codes >= 0, -1e300 - by.words.codes, by.numbers)
        if isinstance(by, Mixed)
        else by
    )
    _, group = np.unique(names, return_inverse=True)
    counts = np.bincount(group)
    order = rng.permutation(len(counts))
    middle = (np.cumsum(counts[order]) - counts[order] / 2) / len(group)
    middle[0], middle[-1] = 0.0, 1.0
    test_from = 1.0 - request.test_fraction
    validation_from = test_from - request.fraction
    if request.test_fraction and len(counts) > 2 and not ((middle >= validation_from) & (middle < test_from)).any():
        middle[-2] = validation_from
    place = np.empty(len(counts))
    place[order] = middle
    return np.asarray(place[group])


def _required(by: Cells | None, request: Split) -> Cells:
    if by is None:
        raise BadTable(f"a split by {request.kind} needs a column", hint="set validation.column")
    return by
