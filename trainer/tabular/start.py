"""A job that starts from another one's checkpoint: its table by that one's encoder, its weights, its place.

The network and the encoder stay the parent's. What is new in the rows is counted and reported: categories that it has
not seen, numbers far from those it knows, and how far each column has drifted.
"""

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
from traind.trainer.network.network import Ensemble, Network, rebuild
from traind.trainer.run.environment import data_digest
from traind.trainer.run.run import Run
from traind.trainer.step.step import Step
from traind.trainer.tabular.loop import FitState, TrainingPlan

FAR_IQRS = 3.0  # from the median: outer fences (Tukey, Exploratory Data Analysis, 1977)
DRIFTED = 0.25  # of a total variation distance, or of interquartile ranges: more is reported
TOLD = 20  # columns


def prepared_as_before(run: Run[Any], saved: dict[str, Any] | None, natural: Prepared | None, how: Any) -> Prepared:
    """Return the job's table by the encoder of the checkpoint that it goes on from.

    `natural` is the table by an encoder of its own, where the data is that of the checkpoint: if it came to the same
    encoder, that is it. `how` is the split.
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
    """Whether other rows train than the encoder was fitted on: such a table has no samples."""
    return not prepared.samples


def is_of_same_data(run: Run[Any]) -> bool:
    """Whether the job's data is what the restored checkpoint was trained on."""
    return run.saved_data == data_digest(run.spec, run.place)


def _encoded(run: Run[Any], encoder: Encoder, schema: Schema, how: Any) -> Prepared:
    """Return the job's file by a fitted encoder: rows without a usable target are left out and counted."""
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
    """Return how far each column of the training rows is from those that the encoder was fitted on, most first.

    `distance`: of categories the total variation distance of their shares (0: the same, 1: nothing in common); of
    numbers how far the median has moved, in interquartile ranges. `unseen`: rows of categories that were not seen
    then, or so rarely that they were taken together; `far`: rows of numbers more than three interquartile ranges from
    the median then.
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


def tell_drift(run: Run[Any], found: list[dict[str, Any]], rows: int) -> None:
    """Log what a person should know of columns that drifted."""
    for one in found[:TOLD]:
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
    """Return interquartile ranges from the median, of what `smooth_clip` made of them."""
    clipped = np.clip(z.astype(np.float64), -2.9999, 2.9999)
    found: NDArray[np.float64] = clipped / np.sqrt(1.0 - (clipped / 3.0) ** 2)
    return found


def networks_of(saved: dict[str, Any]) -> list[Network] | None:
    """Return the parent's networks with its best weights and bins; None where no epoch of it had ended."""
    weights: dict[str, Tensor] | None = saved["weights"]
    if weights is None:
        return None
    network = rebuild(saved["model"]["architecture"])
    network.load_state_dict(weights)
    return [*network.members] if isinstance(network, Ensemble) else [network]


def begin_anew(step: Step, plan: TrainingPlan) -> dict[str, Any]:
    """Return what to begin with where only the weights are kept."""
    return {"step": step.state(), "fit": {"epochs": plan.epochs, "monitor": plan.monitor}}


def adapt(run: Run[Any], state: FitState, plan: TrainingPlan, *, is_same_table: bool, is_same_size: bool) -> None:
    """Put a parent's place where the new job can go on: at its epoch's beginning if the batches are others.

    What was best by another monitor or on other rows is no longer known to be; until an epoch of its own has ended
    the model is the parent's.
    """
    if not (is_same_table and is_same_size and state.seed in {None, plan.seed}):
        state.batch, state.step = 0, state.epoch * plan.batches
        run.step = state.step
    if not is_same_table or state.monitor != plan.monitor:
        state.best_score, state.best_epoch, state.waited = float("inf"), None, 0
    state.monitor, state.seed = plan.monitor, plan.seed
