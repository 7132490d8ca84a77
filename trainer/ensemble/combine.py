"""The job that makes an ensemble: load the models, predict the validation rows, choose, measure, bundle.

The models are those of finished jobs on the same rows, each with its own network and target transform. The validation
rows are predicted by the models' monitors, which were not trained on them.
"""

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from msgspec import structs
from numpy.typing import NDArray

from traind.data.prepare import Prepared
from traind.trainer.contract.errors import SpecError, TrainerError
from traind.trainer.contract.metrics import VAL_LOSS
from traind.trainer.ensemble.selection import Predictions, cross_predicted, select
from traind.trainer.model.intervals import kept_scores, scores_of
from traind.trainer.model.model import Model, forward, load_model
from traind.trainer.run.run import Run
from traind.trainer.tabular.bundle import evaluate, monitor_of, shown
from traind.trainer.tabular.loop import Evaluation
from traind.trainer.tabular.metrics import measure
from traind.trainer.tabular.phases import validation_loss

HOW = (
    "Chosen on all validation rows. Its validation metrics are those of two ensembles, each chosen on one half of "
    "the validation rows and measured on the other; the members' own best epochs were chosen on all of them."
)


def combine(run: Run[Any], prepared: Prepared) -> None:
    """Make the ensemble of the spec's jobs, and finish the run with it."""
    run.restore()
    members = [
        (job_id, model) for job_id, path in run.place.members if (model := _loaded(run, job_id, path, prepared))
    ]
    if not members:
        raise SpecError("None of the jobs has a model that can be used.", field="model.jobs")
    run.start(total=len(members) + 1, epochs=None)
    predicted = []
    for number, (_, model) in enumerate(members, 1):
        found = _of_monitor(run, model, prepared)
        predicted.append(found)
        run.report(
            step=number, total=len(members) + 1, loss=validation_loss(members[0][1].recipe, found, _target(prepared))
        )
        if run.should_stop():
            return
    score = scorer(run, members[0][1], prepared)
    with run.aside():
        cross = cross_predicted(predicted, score, run.spec.seed)
        shares = select(predicted, score, np.arange(len(predicted[0])))
    chosen = [(members[number][1], share) for number, share in shares.items()]
    member_weights = [{"job_id": members[number][0], "weight": round(share, 6)} for number, share in shares.items()]
    finish(run, prepared, chosen, member_weights, (cross, _evaluation(members[0][1], cross, prepared)))


def scorer(run: Run[Any], first: Model, prepared: Prepared) -> Any:
    """Return a function that scores predictions of some validation rows by the job's monitor; lower is better."""
    monitor, target = run.spec.monitor, _target(prepared)

    def score(values: Predictions, rows: NDArray[np.int64]) -> float:
        run.beat()
        wanted = target[rows]
        if monitor == VAL_LOSS:
            return validation_loss(first.recipe, values, wanted)
        return Evaluation(math.nan, measure(values, wanted)).score(monitor)

    return score


def finish(
    run: Run[Any],
    prepared: Prepared,
    chosen: list[tuple[Model, float]],
    member_weights: list[dict[str, Any]],
    cross: tuple[Predictions, Evaluation],
) -> None:
    """Bundle the chosen models as one, and finish the run with it."""
    content = content_of(chosen, prepared)
    model = Model(content)
    values, evaluation = cross
    metrics, report = evaluate(run, (model, monitor_of(model)), prepared, evaluation, values)
    if not model.labels:
        scores = scores_of(values, _target(prepared), model.recipe.target_scale)
        content["interval_scores"] = torch.from_numpy(kept_scores(scores))
    golden = [dict(row) for row in prepared.samples]
    run.step += 1
    run.finish(
        {**content, "history": [], "golden": {"rows": golden, "predictions": model.values(golden)}},
        metrics=metrics,
        best_note=HOW,
        report={
            "schema": shown(prepared.schema),
            "recipe": content["recipe"],
            **report,
            "members": {"ensemble": member_weights, "measured": HOW},
        },
    )


def content_of(chosen: list[tuple[Model, float]], prepared: Prepared) -> dict[str, Any]:
    """Return the content of one model made of the models and their shares."""
    members: list[dict[str, Any]] = []
    weights: dict[str, torch.Tensor] = {}
    for number, (model, share) in enumerate(chosen):
        recipe = msgspec.to_builtins(model.recipe)
        recipe["target_scale"] = _finite(recipe["target_scale"])
        members.append({"architecture": model.content["architecture"], "recipe": recipe, "share": share})
        weights |= {f"{number}.{name}": tensor for name, tensor in model.content["weights"].items()}
    first = chosen[0][0]
    scale = structs.replace(first.recipe.target_scale, factor=1.0)
    recipe = structs.replace(first.recipe, target_scale=scale, members=1, networks_share=None, temperature=1.0)
    return {
        "architecture": {"kind": "ensemble", "members": members, "scale": _finite(msgspec.to_builtins(scale))},
        "recipe": msgspec.to_builtins(recipe),
        "schema": msgspec.to_builtins(prepared.schema),
        "encoder": prepared.encoder.state(),
        "weights": weights,
    }


def _finite(scale: dict[str, Any]) -> dict[str, Any]:
    """Return a target's scale without infinities, which are defaults and do not exist in JSON."""
    return {name: value for name, value in scale.items() if math.isfinite(value)}


def _loaded(run: Run[Any], job_id: str, path: str, prepared: Prepared) -> Model | None:
    """Return a job's model; None, with a logged warning, where it cannot be a member."""
    run.beat()
    try:
        model = load_model(Path(path))
    except (FileNotFoundError, TrainerError) as error:
        run.log(f"{job_id} is left out: its model cannot be read ({error}).", "warning")
        return None
    if not isinstance(model, Model) or model.content["encoder"] != prepared.encoder.state():
        run.log(f"{job_id} is left out: it reads its columns in another way.", "warning")
        return None
    return model


def _of_monitor(run: Run[Any], model: Model, prepared: Prepared) -> Predictions:
    monitor = monitor_of(model)
    values = forward(monitor.network, monitor.recipe, prepared.validation, run.beat).numpy()
    found: Predictions = values.astype(np.float64)
    return found


def _evaluation(first: Model, values: Predictions, prepared: Prepared) -> Evaluation:
    target = _target(prepared)
    return Evaluation(validation_loss(first.recipe, values, target), measure(values, target))


def _target(prepared: Prepared) -> NDArray[Any]:
    target: NDArray[Any] = prepared.validation.target
    return target
