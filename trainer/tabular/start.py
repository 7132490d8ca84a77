"""A job that starts from another job's checkpoint: its table encoded by the parent's encoder, weights, position.

Network and encoder stay the parent's. Unseen categories, far numbers and the drift of each column are counted and
reported.
"""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from traind.data.encoding.encoder import UNSEEN, Encoded, Encoder
from traind.data.encoding.split import split
from traind.data.errors import BadTable
from traind.data.predict_input import table_from
from traind.data.prepare import Prepared
from traind.data.table.schema import Schema
from traind.trainer.contract.errors import CheckpointDamaged
from traind.trainer.contract.spec import DatasetFile
from traind.trainer.model.assemble import without_dropped
from traind.trainer.network.network import Ensemble, Network, rebuild
from traind.trainer.run.environment import data_digest
from traind.trainer.run.run import Run
from traind.trainer.tabular.loop import FitState, TrainingPlan

FAR_IQRS = 3.0  # interquartile ranges from the median: outer fences (Tukey, Exploratory Data Analysis, 1977)
DRIFTED = 0.25  # total variation distance or interquartile ranges above which drift is logged
LOGGED = 20  # columns


def prepared_as_before(run: Run[Any], saved: dict[str, Any] | None, natural: Prepared | None, how: Any) -> Prepared:
    """Return the job's table, encoded by the encoder of the checkpoint that it starts from.

    `natural` is the table with its own encoder, for the same data as the checkpoint's: returned if that encoder is
    the same. `how` is the split.
    """
    if saved is None:
        raise CheckpointDamaged("The checkpoint that this job starts from is not whole.")
    about = saved["model"]
    if natural is not None and natural.encoder.state() == about["encoder"]:
        return natural
    if run.dataset is None:
        raise BadTable("the synthetic data is not that of the job that this one starts from")
    return _encoded(run, Encoder.from_state(about["encoder"]), msgspec.convert(about["schema"], Schema), how)


def is_encoded_again(prepared: Prepared) -> bool:
    """Return whether the encoder was fitted on other rows: such a table has no samples."""
    return not prepared.samples


def is_of_same_data(run: Run[Any]) -> bool:
    """Return whether the job's data is that of the restored checkpoint."""
    return run.saved_data == data_digest(run.spec, run.place)


def _encoded(run: Run[Any], encoder: Encoder, schema: Schema, how: Any) -> Prepared:
    """Return the job's file encoded by a fitted encoder; rows without a usable target are left out and counted."""
    file = run.dataset
    assert isinstance(file, DatasetFile)
    table = table_from(Path(file.path), encoder, file.format)
    if encoder.target not in table.columns:
        raise BadTable(f"the target {encoder.target!r} is no column of the table")
    target = encoder.encode_target(table)
    usable = target >= 0 if encoder.labels else np.isfinite(target)
    if not usable.any():
        raise BadTable(f"no row has a target {encoder.target!r} that the model knows")
    if not usable.all():
        what = "of no class that the model knows, or none" if encoder.labels else "missing"
        run.log(f"{int((~usable).sum()):,} rows are left out: their target is {what}", "warning")
        table, target = table.take(usable), target[usable]
    by = table.columns.get(how.column) if how.column else None
    if how.column and by is None:
        raise BadTable(f"validation.column {how.column!r} is no column of the model that this job starts from")
    parts = split(how, table.n_rows, target if encoder.labels else None, by)
    train, validation, test = (encoder.encode(table, rows) for rows in (parts.train, parts.validation, parts.test))
    schema = msgspec.structs.replace(schema, n_rows=table.n_rows)
    return Prepared(schema, encoder, train, validation, test)


def drift(encoder: Encoder, rows: Encoded) -> list[dict[str, Any]]:
    """Return how far each column of the training rows is from the rows the encoder was fitted on, largest first.

    `distance`: for categories the total variation distance of their shares (0: the same, 1: disjoint); for numbers
    the shift of the median, in interquartile ranges. `unseen`: rows with categories that were unseen or rare then;
    `far`: rows with numbers more than three interquartile ranges from the old median.
    """
    found: list[dict[str, Any]] = []
    for place, vocabulary in enumerate(encoder.vocabularies):
        now = np.bincount(rows.categorical[:, place], minlength=vocabulary.cardinality)
        before = np.asarray(vocabulary.counts, np.float64)
        distance = 0.5 * float(np.abs(now / max(1, now.sum()) - before / max(1.0, before.sum())).sum())
        one = {"column": vocabulary.column, "measure": "total_variation", "distance": distance}
        found.append({**one, "unseen": int(now[UNSEEN])})
    for place, feature in enumerate(encoder.features):
        if feature.part != "value" or feature.scale is None:
            continue
        ranges = _unclipped(rows.numeric[:, place])
        distance = abs(float(np.median(ranges))) if len(ranges) else 0.0
        far = int((np.abs(ranges) > FAR_IQRS).sum())
        found.append({"column": feature.column, "measure": "median_in_iqrs", "distance": distance, "far": far})
    return sorted(found, key=lambda one: -float(one["distance"]))


def log_drift(run: Run[Any], found: list[dict[str, Any]], rows: int) -> None:
    """Log a warning for each column that drifted."""
    for one in found[:LOGGED]:
        notes = []
        if one["distance"] > DRIFTED:
            far = (
                "of its categories' shares moved" if one["measure"] == "total_variation" else "IQRs its median moved"
            )
            notes.append(f"{one['distance']:.2f} {far}")
        if one.get("unseen"):
            notes.append(f"{one['unseen']:,} of {rows:,} rows hold categories that it has not, or hardly, seen")
        if one.get("far", 0) > rows / 100:
            notes.append(f"{one['far']:,} of {rows:,} rows lie far outside what it has seen")
        if notes:
            run.log(f"{one['column']!r} has drifted from what the parent learned: {'; '.join(notes)}", "warning")


def _unclipped(z: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the distances from the median, in interquartile ranges, from values after `smooth_clip`."""
    clipped = np.clip(z.astype(np.float64), -2.9999, 2.9999)
    found: NDArray[np.float64] = clipped / np.sqrt(1.0 - (clipped / 3.0) ** 2)
    return found


def networks_of(saved: dict[str, Any]) -> list[Network] | None:
    """Return the parent's networks with its best weights and bins; None where it had ended no epoch."""
    weights: Mapping[str, Tensor] | None = saved["weights"]
    if weights is None:
        return None
    before = saved["model"]["architecture"]
    architecture, weights = without_dropped(before, weights)
    network = rebuild(architecture)
    network.load_state_dict(weights)
    found = [*network.members] if isinstance(network, Ensemble) else [network]
    return found + [
        deepcopy(found[0]) for _ in range(before.get("members", 1) - len(found))
    ]  # the parent left some out


def adapt(run: Run[Any], state: FitState, plan: TrainingPlan, *, is_same_table: bool, is_same_size: bool) -> None:
    """Adapt the parent's state to the new job: with other batches it starts at the beginning of the epoch.

    The best score is forgotten with another monitor or other rows; until the first epoch ends, the model is the
    parent's.
    """
    if not (is_same_table and is_same_size and state.seed in {None, plan.seed}):
        state.batch, state.step = 0, state.epoch * plan.batches
        run.step = state.step
    if not is_same_table or state.monitor != plan.monitor:
        state.best_score, state.best_epoch, state.waited = float("inf"), None, 0
    state.monitor, state.seed = plan.monitor, plan.seed
