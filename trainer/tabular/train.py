"""The built-in trainer, from a table to a model: read, encode, build, fit, bundle."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import structs

from traind.data.columns.request import Split
from traind.data.encoding.synthetic import Synthetic
from traind.data.prepare import Prepared, Request, Source, prepare
from traind.data.reading.formats import parse_format
from traind.trainer.contract import spec as contract
from traind.trainer.contract.errors import CheckpointDamaged, Diverged, SpecError
from traind.trainer.network.recipe import Recipe, choose, facts_of
from traind.trainer.run.run import Run
from traind.trainer.step.step import Step
from traind.trainer.tabular import start
from traind.trainer.tabular.bundle import baseline_of, best_part, dropped_of, finish
from traind.trainer.tabular.loop import FitState, TrainingPlan, begin, fit
from traind.trainer.tabular.phases import Phase, is_of_trees, networks_phase, trees_phase

AFRESH = (
    "epochs",
    "patience",
    "lr",
    "schedule",
    "weight_decay",
    "batch_size",
)  # fields that may differ from the parent's
WARNINGS_LOGGED = 20  # all of them are in the report


def train(run: Run[Any]) -> None:
    """Train on a table as the spec says, and finish with the best model by the validation rows."""
    if isinstance(run.spec.model, contract.EnsembleModel):
        from traind.trainer.ensemble.combine import combine

        combine(run, read(run))
        return
    saved = run.restore()
    if run.world.same(run.step) != run.step:
        raise CheckpointDamaged(f"Rank {run.world.rank} read another checkpoint than rank 0: try again.")
    with run.timed("data_s"), one_by_one(run):
        prepared = read(run) if run.spec.start_from is None else read_as_before(run, saved)
    run.baseline = baseline_of(prepared)
    with run.timed("model_s"):
        recipe = recorded(run, saved) or choose_recipe(run, prepared)
        phase = first_phase(run, prepared, recipe, saved)
    fit_phase(run, prepared, phase, recipe)
    if is_of_trees({"model": phase.about}) and recipe.network is not None and run.stop_reason is None:
        with run.aside():
            phase = networks_phase(run, prepared, recipe, grown_trees(phase))
            phase.begin(None)
        fit_phase(run, prepared, phase, recipe)
    finish(run, prepared, phase)


@contextmanager
def one_by_one(run: Run[Any]) -> Iterator[None]:
    """Let rank 0 read first, and the others then, who find the table encoded already."""
    if run.world.rank:
        run.world.wait()
    yield
    if not run.world.rank:
        run.world.wait()


def first_phase(run: Run[Any], prepared: Prepared, recipe: Recipe, saved: dict[str, Any] | None) -> Phase:
    """Return the phase that this attempt begins with, in its saved or first state."""
    if run.spec.start_from is not None:
        return started_phase(run, prepared, recipe, saved)
    if recipe.trees is not None and (saved is None or is_of_trees(saved)):
        phase = trees_phase(run, prepared, recipe)
    else:
        phase = networks_phase(run, prepared, recipe, saved["model"].get("before") if saved else None)
    phase.begin(saved)
    return phase


def started_phase(run: Run[Any], prepared: Prepared, recipe: Recipe, saved: dict[str, Any] | None) -> Phase:
    """Return the phase of a job that starts from another job's checkpoint, in its first or saved state."""
    if recipe.trees is not None:
        problem = "a job of trees or of a blend cannot be started from"
        raise SpecError(f"start_from: {problem}.", field="start_from", hint="Start from a job of networks.")
    phase = networks_phase(run, prepared, recipe, networks=start.networks_of(saved) if saved else None)
    if run.is_start:
        phase.state = begin_at(run, phase.step, phase.plan, saved, prepared)
    else:
        phase.begin(saved)
    return phase


def fit_phase(run: Run[Any], prepared: Prepared, phase: Phase, recipe: Recipe) -> None:
    """Train until the phase is over or the run is to stop. If training diverges, the last good model is kept.

    A blend goes on with its other phase alone, if that has not diverged as well.
    """
    try:
        fit(run, phase.step, phase.plan, phase.state, phase.evaluate, phase.about)
    except Diverged as error:
        before = phase.about.get("before")
        if not (before["weights"] if before else recipe.trees is not None and recipe.network is not None):
            finish(run, prepared, phase)
            raise
        lost, kept = ("networks", "trees") if before else ("trees", "networks")
        run.log(f"{error} The {lost} are left out of the blend: the model is of the {kept} alone.", "warning")
        phase.is_lost = True


def grown_trees(phase: Phase) -> dict[str, Any]:
    """Return the result of the trees' phase, which is saved beside the networks' weights; none if it is lost."""
    architecture, weights = best_part(phase)
    return {
        "architecture": architecture,
        "weights": weights,
        "steps": phase.state.step,
        "epochs": phase.state.epoch,
        "dropped": dropped_of(phase),
    }


def read(run: Run[Any]) -> Prepared:
    """Return the table as arrays, its warnings logged."""
    spec, file = run.spec, run.dataset
    source: Source | Synthetic
    if file is not None:
        form = str(parse_format(file.format).with_options(spec.read))
        source = Source(Path(file.path), form, file.digest, file.size_bytes)
    else:
        made = spec.synthetic or contract.Synthetic()
        source = Synthetic(rows=made.rows, columns=made.columns, seed=spec.seed)
    prepared = prepare(source, request_of(spec), run.place.cache_dir, spec.threads)
    if run.world.rank:
        return prepared
    for warning in prepared.schema.warnings[:WARNINGS_LOGGED]:
        run.log(warning.message, "warning")
    if labels := prepared.schema.labels:
        usual = int(np.bincount(prepared.train.target).argmax())
        share = float(np.mean(prepared.validation.target == usual))
        run.log(f"accuracy of always saying {labels[usual][:40]!r}: {share:.4g}")
    return prepared


def read_as_before(run: Run[Any], saved: dict[str, Any] | None) -> Prepared:
    """Return the table encoded by the parent's encoder; log the drift of its columns."""
    natural = read(run) if start.is_of_same_data(run) else None
    prepared = start.prepared_as_before(run, saved, natural, request_of(run.spec).validation)
    if prepared is not natural and run.is_start:
        start.log_drift(run, start.drift(prepared.encoder, prepared.train), len(prepared.train))
    return prepared


def begin_at(
    run: Run[Any], step: Step, plan: TrainingPlan, saved: dict[str, Any] | None, prepared: Prepared
) -> FitState:
    """Return the first state of a job that starts from another job's checkpoint."""
    assert saved is not None
    assert run.spec.start_from is not None
    if run.spec.start_from.keep == "weights":
        run.step = run.epoch = 0
        state = begin(step, plan, None)
        state.best_weights = step.keep()
        return state
    state = begin(step, plan, {**saved, "fit": {**saved["fit"], "good": None}})
    is_same_table = not start.is_encoded_again(prepared)
    is_same_size = saved["model"]["recipe"]["batch_size"] == plan.batch_size
    start.adapt(run, state, plan, is_same_table=is_same_table, is_same_size=is_same_size)
    return state


def request_of(spec: contract.TrainSpec) -> Request:
    """Return the spec's part about the table."""
    wanted = spec.validation
    return Request(
        target=spec.target,
        task=spec.task,
        features=spec.features,
        ignore=spec.ignore,
        columns=spec.columns,
        validation=Split(wanted.fraction, wanted.test_fraction, wanted.kind, wanted.column, wanted.seed),
        positive=spec.positive,
        weight=spec.weight,
        class_weights=spec.class_weights,
        is_linear=isinstance(spec.model, contract.LinearModel),
    )


def choose_recipe(run: Run[Any], prepared: Prepared) -> Recipe:
    """Return every hyperparameter for this table."""
    schema = prepared.schema
    facts = facts_of(
        schema.task,
        len(schema.labels),
        prepared.cardinalities,
        prepared.train,
        synthetic=run.dataset is None,
        is_linear=isinstance(run.spec.model, contract.LinearModel),
    )
    return choose(run.spec, facts)


def recorded(run: Run[Any], saved: dict[str, Any] | None) -> Recipe | None:
    """Return the recipe of the saved state, with the spec's present values for the fields that may change.

    Choosing anew could give another network, in another version of traind, which would not fit the state.
    """
    if saved is None:
        return None
    recipe = msgspec.convert(saved["model"]["recipe"], Recipe)
    fields = ("epochs", "patience") if run.spec.start_from is None or recipe.network is None else AFRESH
    wanted = {field: getattr(run.spec, field) for field in fields}
    explicit = {field: value for field, value in wanted.items() if value != "auto"}
    if recipe.network is None and recipe.trees is not None:
        return structs.replace(recipe, trees=structs.replace(recipe.trees, **explicit))
    return structs.replace(recipe, **explicit)
