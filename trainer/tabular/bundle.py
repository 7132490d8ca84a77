"""The finished model: made of the best weights, measured on every split, and reported."""

from typing import Any

import msgspec
import torch
from msgspec import structs
from numpy.typing import NDArray

from traind.data.prepare import Prepared
from traind.data.table.schema import Schema
from traind.trainer.contract.metrics import VAL_LOSS
from traind.trainer.model.assemble import (
    ONE_MEMBER,
    Architecture,
    members_of,
    monitor_part,
    with_trees,
    without_dropped,
)
from traind.trainer.model.intervals import kept_scores, scores_of
from traind.trainer.model.model import Model, forward, raw_outputs
from traind.trainer.network.objective import predictions
from traind.trainer.network.recipe import Recipe
from traind.trainer.run.run import Run
from traind.trainer.step.lockstep import Lockstep
from traind.trainer.tabular import start
from traind.trainer.tabular.calibration import coverage, reliability, temperature
from traind.trainer.tabular.importance import importance
from traind.trainer.tabular.loop import Evaluation
from traind.trainer.tabular.metrics import CONFUSION_CLASSES, baseline, confusion, measure, residuals
from traind.trainer.tabular.phases import Phase, evaluated, is_of_trees, validation_loss

COLUMNS_SHOWN = 1_000
SHARES = 20  # steps from 0 to 1 in which the networks' share of a blend is tried
_PARTS = ("train", "validation", "test")


def finish(run: Run[Any], prepared: Prepared, phase: Phase) -> None:
    """Make the model of the best epoch (without one, of the newest weights), and measure it on every split."""
    state = phase.state
    if not run.wants_model:
        return
    about, weights = whole_of(phase)
    if not weights:
        return
    model = Model({**about, "weights": weights})
    monitor = monitor_of(model)
    if about["architecture"]["kind"] == "blend":
        share, grown = best_share(run, monitor, prepared), about["architecture"]["trees"]["members"]
        model.recipe = structs.replace(model.recipe, networks_share=share, tree_members=grown)
        monitor.recipe = structs.replace(monitor.recipe, networks_share=share)
    found, monitor.recipe, predicted = fitted_to_validation(run, monitor, prepared)
    fitted = monitor.recipe
    model.recipe = structs.replace(model.recipe, target_scale=fitted.target_scale, temperature=fitted.temperature)
    about = {**about, "recipe": msgspec.to_builtins(model.recipe)}
    if not model.labels:
        scores = scores_of(predicted, prepared.validation.target, fitted.target_scale)
        about["interval_scores"] = torch.from_numpy(kept_scores(scores))
    golden = [dict(row) for row in prepared.samples]
    metrics, report = evaluate(run, (model, monitor), prepared, found, predicted)
    report["members"]["dropped"] = dropped_of(phase)
    run.finish(
        {
            **about,
            "weights": weights,
            "history": state.history,
            "golden": {"rows": golden, "predictions": model.values(golden)},
        },
        metrics=metrics,
        best_epoch=None if state.best_epoch is None or phase.is_lost else phase.plan.first_epoch + state.best_epoch,
        best_note=note_on(phase, metrics["validation"], model),
        report={
            "schema": shown(prepared.schema),
            "recipe": about["recipe"],
            "step": phase.step.kind,
            "monitored": monitored(phase),
            **report,
            **started(run, prepared),
        },
    )


def fitted_to_validation(
    run: Run[Any], monitor: Model, prepared: Prepared
) -> tuple[Evaluation, Recipe, NDArray[Any]]:
    """Return the monitor's evaluation on the validation rows, its recipe fitted to them, and its predictions."""
    rows = prepared.validation
    found, recipe, predicted = evaluated(monitor.network, monitor.recipe, rows, run.beat)
    if not monitor.labels or (degrees := temperature(predicted, rows.target)) == 1.0:
        return found, recipe, predicted
    tempered, recipe, predicted = evaluated(
        monitor.network, structs.replace(recipe, temperature=degrees), rows, run.beat
    )
    return Evaluation(found.loss, tempered.metrics), recipe, predicted


def started(run: Run[Any], prepared: Prepared) -> dict[str, Any]:
    """Return the report's part on drift, for a job that started from another one."""
    return {} if run.spec.start_from is None else {"drift": start.drift(prepared.encoder, prepared.train)}


def monitored(phase: Phase) -> dict[str, Any]:
    """Return the monitored metric after each epoch."""
    monitor = phase.plan.monitor
    if phase.plan.first_epoch:  # a blend: the history of its trees is gone
        return {}
    return {"monitor": monitor, "values": [epoch.get(monitor) for epoch in phase.state.history]}


def whole_of(phase: Phase) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return content and weights of the model: the phase's part, joined with the trees of the phase before."""
    architecture, weights = best_part(phase)
    about = {**phase.about, "architecture": architecture}
    if "before" not in about:
        return about, weights
    about, joined = with_trees(about, weights)
    return about, dict(joined or {})


def best_part(phase: Phase) -> tuple[Architecture, dict[str, torch.Tensor]]:
    """Return a phase's part of the model with the weights of the best epoch (without one, the newest).

    There are no weights before the first step, nor where the phase is lost.
    """
    architecture = phase.about["architecture"]
    if phase.is_lost or not phase.state.step:
        return architecture, {}
    architecture, weights = without_dropped(architecture, phase.step.weights(phase.state.best_weights))
    return architecture, {name: tensor.cpu() for name, tensor in weights.items()}


def dropped_of(phase: Phase) -> list[dict[str, Any]]:
    """Return what the phase, and that before it, left out of the model, as in the report."""
    earlier = phase.about.get("before", {}).get("dropped", [])
    part = "trees" if is_of_trees({"model": phase.about}) else "networks"
    if phase.is_lost:
        return [*earlier, {"part": part, "member": None, "epoch": phase.plan.first_epoch + phase.state.epoch + 1}]
    dropped = phase.step.dropped if isinstance(phase.step, Lockstep) else {}
    own = [
        {"part": part, "member": number + 1, "epoch": phase.plan.first_epoch + epoch}
        for number, epoch in dropped.items()
    ]
    return [*earlier, *own]


def monitor_of(model: Model) -> Model:
    """Return the model of the monitor alone, which was not trained on validation rows."""
    architecture, weights = monitor_part(model.content["architecture"], model.content["weights"])
    recipe = msgspec.to_builtins(structs.replace(model.recipe, **ONE_MEMBER))
    return Model({**model.content, "architecture": architecture, "weights": weights, "recipe": recipe})


def best_share(run: Run[Any], monitor: Model, prepared: Prepared) -> float:
    """Return the networks' share, 0 to 1, of a blend with the lowest validation loss."""
    outputs = list(raw_outputs(monitor.network, prepared.validation, run.beat))
    losses = {}
    for number in range(SHARES + 1):
        run.beat()
        recipe = structs.replace(monitor.recipe, networks_share=number / SHARES)
        predicted = torch.cat([predictions(recipe, chunk) for chunk in outputs]).numpy()
        losses[number / SHARES] = validation_loss(recipe, predicted, prepared.validation.target)
    return min(losses, key=lambda share: losses[share])


def note_on(phase: Phase, measured: dict[str, float | None], model: Model) -> str | None:
    """Return why the finished model's validation metrics differ from the best epoch's; None where they do not."""
    state = phase.state
    if phase.is_lost:
        return "The networks diverged and are left out: the model is of the trees alone."
    if model.content["architecture"]["kind"] == "blend":
        return "The model blends networks and trees: its validation metrics are those of both monitors together."
    if state.best_epoch is None:
        return f"No epoch ended: the model is of the weights after step {state.step}."
    reported = state.history[state.best_epoch - 1]
    if all(reported.get(name) == value for name, value in measured.items()):
        return None
    if (degrees := model.recipe.temperature) != 1.0:
        return f"The finished model's probabilities are tempered by {degrees:.3g}, which lowers its log loss."
    return "The finished model was measured again on the CPU, where it predicts; the last digits differ."


def evaluate(
    run: Run[Any],
    models: tuple[Model, Model],
    prepared: Prepared,
    validation: Evaluation,
    values: NDArray[Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the metrics by split, and the report; `values` are the monitor's predictions of the validation rows.

    `models` are the model and its monitor. Rows that members were trained on are measured with the monitor alone,
    since the model's metrics on them would be too good.
    """
    model, monitor = models
    found: dict[str, Any] = {}
    parts = {"train": prepared.train, "validation": prepared.validation, "test": prepared.test}
    for name, rows in parts.items():
        if name == "validation":
            found[name] = {VAL_LOSS: validation.loss, **validation.metrics}
        elif len(rows):
            one = model if name == "test" else monitor
            found[name] = measure(forward(one.network, one.recipe, rows, run.beat).numpy(), rows.target)
    rows = prepared.validation
    found["baseline"] = baseline_of(prepared)
    report: dict[str, Any] = {
        "rows": {name: len(part) for name, part in parts.items()},
        "parameters": sum(parameter.numel() for parameter in model.network.parameters()),
        "members": members_report(model, prepared),
        "importance": importance(monitor, rows, run.beat),
    }
    if model.labels:
        labels = list(model.labels[:CONFUSION_CLASSES])
        report["calibration"] = reliability(values, rows.target, model.recipe.temperature)
        return found, {**report, "confusion": {"labels": labels, "counts": confusion(values, rows.target)}}
    report["intervals"] = coverage(values, rows.target, model.recipe.target_scale)
    return found, {**report, "residuals": residuals(values, rows.target)}


def baseline_of(prepared: Prepared) -> dict[str, float | None]:
    """Return the metrics on the validation rows of a baseline that knows only the training rows' target."""
    return baseline(prepared.train.target, prepared.validation.target, len(prepared.encoder.labels))


def members_report(model: Model, prepared: Prepared) -> dict[str, Any]:
    """Return the number of training rows of each network, and whether monitor or model is measured on each split.

    Of a blend, of each network and the trees beside it.
    """
    count, trained = members_of(model.content["architecture"]), len(prepared.train)
    if count == 1:
        return {"training_rows": [trained], "measured": dict.fromkeys(_PARTS, "model")}
    rows = trained + len(prepared.validation)
    measured = {"train": "monitor", "validation": "monitor", "test": "model"}
    return {"training_rows": [trained, *[rows] * (count - 1)], "measured": measured}


def shown(schema: Schema) -> dict[str, Any]:
    """Return the schema with at most `COLUMNS_SHOWN` columns, for the report."""
    whole: dict[str, Any] = msgspec.to_builtins(schema)
    return {**whole, "columns": whole["columns"][:COLUMNS_SHOWN], "n_columns": len(whole["columns"])}
