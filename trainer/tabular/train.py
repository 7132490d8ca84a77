"""The built-in trainer: a table in, a model out. Read, encode, build, fit, bundle, all of it through `Run`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from msgspec import structs
from numpy.typing import NDArray

from traind.data.columns.request import Split
from traind.data.encoding.encoder import Encoded
from traind.data.encoding.synthetic import Synthetic
from traind.data.prepare import Prepared, Request, Source, prepare
from traind.data.table.schema import Schema
from traind.trainer.contract import spec as contract
from traind.trainer.contract.errors import Diverged, SpecError
from traind.trainer.contract.metrics import VAL_LOSS, monitors
from traind.trainer.model.model import Model, forward
from traind.trainer.network.network import build_members
from traind.trainer.network.objective import loss_function, training_target
from traind.trainer.network.recipe import Recipe, choose, facts_of
from traind.trainer.run.run import Run
from traind.trainer.step.eager import TrainingRows
from traind.trainer.step.flat_optimizer import Optimizer
from traind.trainer.step.lockstep import PREFIX, Lockstep
from traind.trainer.step.step import Step, make_step
from traind.trainer.tabular import start
from traind.trainer.tabular.importance import importance
from traind.trainer.tabular.loop import (
    Evaluate,
    Evaluation,
    FitState,
    Member,
    TrainingPlan,
    begin,
    fit,
    member_seed,
)
from traind.trainer.tabular.metrics import CONFUSION_CLASSES, baseline, confusion, log_loss, measure, residuals
from traind.trainer.tabular.schedules import Schedule

AFRESH = ("epochs", "patience", "lr", "schedule", "weight_decay", "batch_size")  # what may differ from a parent's
WARNINGS_TOLD = 20  # all of them are in the report
COLUMNS_SHOWN = 1_000
MEANS_ROWS = 100  # fewer say too little about a mean
_PARTS = ("train", "validation", "test")
MEANS_GAIN = 0.99  # of the root mean squared error: less is not worth a worse median


def train(run: Run[Any]) -> None:
    """Train on a table as the spec says, and finish with the best model by the validation rows."""
    saved = run.restore()
    with run.timed("data_s"):
        prepared = read(run) if run.spec.start_from is None else read_as_before(run, saved)
    with run.timed("model_s"):
        recipe = recorded(run, saved) or choose_recipe(run, prepared)
        step, about = build_step(run, prepared, recipe, saved)
        plan = plan_of(run, prepared, recipe)
        state = begin(step, plan, saved) if not run.is_start else begin_at(run, step, plan, saved, prepared)
    try:
        fit(run, step, plan, state, evaluation_of(run, step, recipe, prepared.validation), about)
    except Diverged:
        finish(run, prepared, about, state, step)  # the last good model is kept
        raise
    finish(run, prepared, about, state, step)


def read(run: Run[Any]) -> Prepared:
    """Return the table as arrays, its warnings told."""
    spec, file = run.spec, run.dataset
    source: Source | Synthetic
    if file is not None:
        source = Source(Path(file.path), file.format, file.digest, file.size_bytes)
    else:
        made = spec.synthetic or contract.Synthetic()
        source = Synthetic(rows=made.rows, columns=made.columns, seed=spec.seed)
    prepared = prepare(source, request_of(spec), run.place.cache_dir, spec.threads)
    for warning in prepared.schema.warnings[:WARNINGS_TOLD]:
        run.log(warning.message, "warning")
    return prepared


def read_as_before(run: Run[Any], saved: dict[str, Any] | None) -> Prepared:
    """Return the table by the encoder of the job that this one starts from; what has drifted is told."""
    natural = read(run) if start.is_of_same_data(run) else None
    prepared = start.prepared_as_before(run, saved, natural, request_of(run.spec).validation)
    if prepared is not natural and run.is_start:
        start.tell_drift(run, start.drift(prepared.encoder, prepared.train), len(prepared.train))
    return prepared


def begin_at(
    run: Run[Any], step: Step, plan: TrainingPlan, saved: dict[str, Any] | None, prepared: Prepared
) -> FitState:
    """Return where a job begins that starts from another one's checkpoint."""
    assert saved is not None
    assert run.spec.start_from is not None
    if run.spec.start_from.keep == "weights":
        run.step = run.epoch = 0
        state = begin(step, plan, None)
        state.best_weights = step.keep()
        return state
    before = saved["fit"]
    state = begin(step, plan, {**saved, "fit": {**before, "good": None}})
    is_same_table = start.is_of_same_data(run) and before.get("rows", len(prepared.train)) == len(prepared.train)
    is_same_size = saved["model"]["recipe"]["batch_size"] == plan.batch_size
    start.adapt(run, state, plan, is_same_table=is_same_table, is_same_size=is_same_size)
    return state


def request_of(spec: contract.TrainSpec) -> Request:
    """Return what the spec asks of the table."""
    asked = spec.validation
    return Request(
        target=spec.target,
        task=spec.task,
        features=spec.features,
        ignore=spec.ignore,
        columns=spec.columns,
        validation=Split(asked.fraction, asked.test_fraction, asked.kind, asked.column, asked.seed),
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
    )
    return choose(run.spec, facts)


def recorded(run: Run[Any], saved: dict[str, Any] | None) -> Recipe | None:
    """Return the recipe of the state that is gone on from, with what the spec says now of how long to train.

    Another version of this program might choose another network, which the state would not fit.
    """
    if saved is None:
        return None
    fields = ("epochs", "patience") if run.spec.start_from is None else AFRESH
    asked = {field: getattr(run.spec, field) for field in fields}
    explicit = {field: value for field, value in asked.items() if value != "auto"}
    return structs.replace(msgspec.convert(saved["model"]["recipe"], Recipe), **explicit)


def build_step(
    run: Run[Any], prepared: Prepared, recipe: Recipe, saved: dict[str, Any] | None = None
) -> tuple[Step, dict[str, Any]]:
    """Return the gradient step of the network, or of all members, and all of a model but its weights."""
    device = torch.device(run.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SpecError("There is no GPU on this machine.", field="device", hint='Use "auto" or "cpu".')
    others = others_of(run, prepared, recipe)
    parts = [prepared.train, prepared.validation] if others else [prepared.train]
    numeric, categorical, target = (
        joined([getattr(part, name) for part in parts]) for name in ("numeric", "categorical", "target")
    )
    tensors = [tensor_of(numeric), tensor_of(categorical), training_target(recipe, target)]
    seeds = [run.spec.seed, *(member.seed for member in others)]
    sizes = [recipe.batch_size, *(member.batch_size for member in others)]
    networks = start.networks_of(saved) if saved is not None and run.spec.start_from is not None else None
    networks = networks or build_members(recipe, prepared.cardinalities, prepared.train, seeds, prepared.encoder.bags)
    networks = [one.to(device) for one in networks]
    rows = TrainingRows.of(networks[0], [tensor.to(device) for tensor in tensors])
    steps = [
        make_step(network, loss_function(recipe), rows, optimizer_of(recipe), batch_size=size, seed=seed)
        for network, seed, size in zip(networks, seeds, sizes, strict=True)
    ]
    about = {
        "architecture": {**networks[0].architecture, "members": len(networks)},
        "recipe": msgspec.to_builtins(recipe),
        "schema": msgspec.to_builtins(prepared.schema),
        "encoder": prepared.encoder.state(),
    }
    return (Lockstep(steps) if others else steps[0]), about


def others_of(run: Run[Any], prepared: Prepared, recipe: Recipe) -> tuple[Member, ...]:
    """Return the members beside the monitor: on all rows, in larger batches, so that an epoch is as many steps."""
    rows = len(prepared.train) + len(prepared.validation)
    batches = -(-len(prepared.train) // recipe.batch_size)
    seeds = (member_seed(run.spec.seed, number) for number in range(1, recipe.members))
    return tuple(Member(rows, rows // batches, seed) for seed in seeds)


def optimizer_of(recipe: Recipe) -> Optimizer:
    """Return the recipe's optimizer and averaging."""
    return Optimizer(
        kind=recipe.optimizer,
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        betas=recipe.betas,
        momentum=recipe.betas[0],
        grad_clip=recipe.grad_clip,
        averaging=recipe.averaging or None,
    )


def plan_of(run: Run[Any], prepared: Prepared, recipe: Recipe) -> TrainingPlan:
    """Return how long to train. The schedule spans all planned epochs: with more, it is stretched over them."""
    rows = len(prepared.train)
    steps = recipe.epochs * -(-rows // recipe.batch_size)
    schedule = Schedule(recipe.schedule, recipe.lr, steps, round(recipe.warmup * steps))
    monitor = run.spec.monitor
    if monitor not in (known := monitors(recipe.task)):
        problem = f"{monitor!r} is no metric of {recipe.task}; there are: {', '.join(known)}"
        raise SpecError(f"monitor: {problem}.", field="monitor")
    return TrainingPlan(
        rows,
        recipe.batch_size,
        recipe.epochs,
        recipe.patience,
        schedule,
        run.spec.seed,
        monitor,
        others_of(run, prepared, recipe),
    )


def evaluation_of(run: Run[Any], step: Step, recipe: Recipe, rows: Encoded) -> Evaluate:
    """Return what measures the step's weights on `rows`, as a model that is made of them would predict."""

    def evaluate_epoch() -> Evaluation:
        with step.evaluation(averaged=True) as network:
            return evaluated(network, recipe, rows, run.beat)[0]

    return evaluate_epoch


def evaluated(
    network: torch.nn.Module, recipe: Recipe, rows: Encoded, beat: Callable[[], None]
) -> tuple[Evaluation, Recipe, NDArray[Any]]:
    """Return the network's loss and metrics on `rows`, the recipe of its model, and what that predicts."""
    predicted = forward(network, recipe, rows, beat).numpy()
    loss = validation_loss(recipe, predicted, rows.target)
    meant = with_means(recipe, predicted, rows.target)
    if meant is not recipe:
        predicted = forward(network, meant, rows, beat).numpy()
    return Evaluation(loss, measure(predicted, rows.target)), meant, predicted


def validation_loss(recipe: Recipe, predicted: NDArray[Any], target: NDArray[Any]) -> float:
    """Return the loss in the network's own terms: of its probabilities, or of its values as it sees the target."""
    if predicted.ndim == 2:
        return log_loss(predicted.astype(np.float64), target.astype(np.int64))
    error = training_target(recipe, predicted) - training_target(recipe, target)
    return float((error.double() ** 2).mean())


def finish(run: Run[Any], prepared: Prepared, about: dict[str, Any], state: FitState, step: Step) -> None:
    """Make the model of the best epoch, or of the weights reached in the first one, and measure it on every split."""
    if not (state.step and run.wants_model):
        return
    weights = {name: tensor.cpu() for name, tensor in step.weights(state.best_weights).items()}
    model, monitor = Model({**about, "weights": weights}), monitor_of(about, weights)
    found, recipe, predicted = evaluated(monitor.network, monitor.recipe, prepared.validation, run.beat)
    model.recipe = monitor.recipe = recipe
    about = {**about, "recipe": msgspec.to_builtins(recipe)}
    golden = [dict(row) for row in prepared.samples]
    metrics, report = evaluate(run, (model, monitor), prepared, found, predicted)
    run.finish(
        {
            **about,
            "weights": weights,
            "history": state.history,
            "golden": {"rows": golden, "predictions": model.values(golden)},
        },
        metrics=metrics,
        best_epoch=state.best_epoch,
        best_note=note_on(state, metrics["validation"]),
        report={
            "schema": shown(prepared.schema),
            "recipe": about["recipe"],
            "step": step.kind,
            **report,
            **started(run, prepared),
        },
    )


def monitor_of(about: dict[str, Any], weights: dict[str, torch.Tensor]) -> Model:
    """Return the model of the monitor alone, which has seen no validation row."""
    if about["architecture"]["members"] == 1:
        return Model({**about, "weights": weights})
    first = f"{PREFIX}.0."
    own = {name.removeprefix(first): tensor for name, tensor in weights.items() if name.startswith(first)}
    return Model({**about, "architecture": {**about["architecture"], "members": 1}, "weights": own})


def started(run: Run[Any], prepared: Prepared) -> dict[str, Any]:
    """Return what the report says of a job that started from another one: how far its columns have drifted."""
    return {} if run.spec.start_from is None else {"drift": start.drift(prepared.encoder, prepared.train)}


def note_on(state: FitState, measured: dict[str, float | None]) -> str | None:
    """Return why the finished model's validation metrics are not those of the best epoch; None where they are."""
    if state.best_epoch is None:
        return f"No epoch ended: the model is of the weights after step {state.step}."
    reported = state.history[state.best_epoch - 1]
    if all(reported.get(name) == value for name, value in measured.items()):
        return None
    return "The finished model was measured again on the CPU, where it predicts; the last digits differ."


def with_means(recipe: Recipe, predicted: NDArray[Any], target: NDArray[Any]) -> Recipe:
    """Return the recipe, or one that predicts means instead of medians if that is clearly better on these rows.

    A network that learned logarithms predicts medians, one that learned roots something between. The mean is the
    mean ratio of target to prediction above them (Duan, Smearing Estimate, 1983): with little noise the same, with
    much noise of another size.
    """
    scale = recipe.target_scale
    if not (scale.log or scale.root) or len(target) < MEANS_ROWS:
        return recipe
    with np.errstate(divide="ignore", invalid="ignore"):  # roots may be predicted as 0, and their mean is no ratio's
        factor = float(target.mean() / predicted.mean() if scale.root else (target / predicted).mean())
    before, after = (float(((kind - target) ** 2).mean()) for kind in (predicted, predicted * factor))
    if not after < before * MEANS_GAIN**2:
        return recipe
    return structs.replace(recipe, target_scale=structs.replace(scale, factor=factor))


def evaluate(
    run: Run[Any],
    models: tuple[Model, Model],
    prepared: Prepared,
    validation: Evaluation,
    values: NDArray[Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the metrics by split, and a closer look at the validation rows, for which the monitor says `values`.

    `models` are the model and its monitor. Rows that members were trained on are measured with the monitor alone: of
    the model they would say too much.
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
    found["baseline"] = baseline(prepared.train.target, rows.target, len(model.labels))
    report: dict[str, Any] = {
        "rows": {name: len(part) for name, part in parts.items()},
        "parameters": sum(parameter.numel() for parameter in model.network.parameters()),
        "members": members_told(model, prepared),
        "importance": importance(monitor, rows, run.beat),
    }
    if model.labels:
        labels = list(model.labels[:CONFUSION_CLASSES])
        return found, {**report, "confusion": {"labels": labels, "counts": confusion(values, rows.target)}}
    return found, {**report, "residuals": residuals(values, rows.target)}


def members_told(model: Model, prepared: Prepared) -> dict[str, Any]:
    """Return which rows each network of the model was trained on, and which of them each split's metrics are of."""
    count, trained = model.recipe.members, len(prepared.train)
    if count == 1:
        return {"training_rows": [trained], "measured": dict.fromkeys(_PARTS, "model")}
    rows = trained + len(prepared.validation)
    measured = {"train": "monitor", "validation": "monitor", "test": "model"}
    return {"training_rows": [trained, *[rows] * (count - 1)], "measured": measured}


def shown(schema: Schema) -> dict[str, Any]:
    """Return the schema as far as a report of it can be read; all of it is in the model."""
    whole: dict[str, Any] = msgspec.to_builtins(schema)
    return {**whole, "columns": whole["columns"][:COLUMNS_SHOWN], "n_columns": len(whole["columns"])}


def joined(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return the arrays one after another; of one array, itself."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def tensor_of(array: NDArray[Any]) -> torch.Tensor:
    """Return an array as a tensor of its own: mapped arrays may be read-only."""
    return torch.from_numpy(np.array(array))
