"""Notes on uncertain predictions: cells unlike those in training, and clamped values.

Says so row by row, in words; whoever has many rows counts them by kind.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from traind.data.encoding.encoder import MISSING, UNSEEN, Encoded, Encoder
from traind.data.table.arrays import Codes, Mixed, Table
from traind.trainer.network.recipe import Recipe

Notes = list[list[str]]
Note = Callable[[str, Any, str], None]


def notes_on(
    encoder: Encoder, recipe: Recipe, table: Table, rows: Encoded, values: Tensor
) -> tuple[Notes, dict[str, int]]:
    """Return the notes on each row's prediction, and the number of rows with each kind."""
    notes: Notes = [[] for _ in range(table.n_rows)]
    kinds: Counter[str] = Counter()

    def note(kind: str, places: Any, message: str) -> None:
        kinds[kind] += len(places)
        for place in places.tolist():
            notes[place].append(message)

    _on_values(recipe, values, note)
    _on_numbers(encoder, table, note)
    for place, vocabulary in enumerate(encoder.vocabularies):
        cells, indices = table.columns[vocabulary.column], rows.categorical[:, place]
        assert isinstance(cells, Codes)
        for code in np.unique(cells.codes[(indices == UNSEEN) & (cells.codes >= 0)]).tolist():
            level = cells.levels[code][:80]
            message = f"{vocabulary.column}: {level!r} was seen in training rarely or never"
            note("unseen", np.flatnonzero(cells.codes == code), message)
        if not vocabulary.counts[MISSING]:
            message = f"{vocabulary.column}: missing, as it never was in training"
            note("missing", np.flatnonzero(indices == MISSING), message)
    return notes, {kind: n for kind, n in kinds.items() if n}


def _on_values(recipe: Recipe, values: Tensor, note: Note) -> None:
    if values.ndim == 2:
        return
    found, scale = values.numpy(), recipe.target_scale
    for bound, is_beyond, what in (
        (scale.low, found <= scale.low, "smallest"),
        (scale.high, found >= scale.high, "largest"),
    ):
        if np.isfinite(bound):
            note(
                "clamped", np.flatnonzero(is_beyond), f"clamped to the {what} target of the training rows, {bound:g}"
            )


def _on_numbers(encoder: Encoder, table: Table, note: Note) -> None:
    may_miss = {feature.column for feature in encoder.features if feature.part == "missing"}
    for column in encoder.columns:
        cells = table.columns[column.name]
        if isinstance(cells, Codes):
            continue
        numbers = table.numbers(column.name)
        is_missing = np.isnan(numbers) & (cells.words.codes < 0 if isinstance(cells, Mixed) else True)
        if column.name not in may_miss:
            note("missing", np.flatnonzero(is_missing), f"{column.name}: missing, as it never was in training")
    for feature in encoder.features:
        if feature.low is None or feature.high is None:
            continue
        numbers = table.numbers(feature.column)
        span = f"{feature.low:g} to {feature.high:g}"
        outside = np.flatnonzero((numbers < feature.low) | (numbers > feature.high))
        for place in outside.tolist():
            message = f"{feature.column}: {numbers[place]:g} is outside of the training rows, {span}"
            note("outside", np.array([place]), message)
