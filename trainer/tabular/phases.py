"""The phases of training: trees, then networks. Each has a step, a plan and an evaluation."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import torch
from msgspec import structs
from numpy.typing import NDArray

from traind.data.encoding.encoder import Encoded
from traind.data.prepare import Prepared
from traind.data.table.magnitude import exponent_of
from traind.trainer.contract.errors import SpecError
from traind.trainer.contract.metrics import monitors
from traind.trainer.model.model import CHUNK_ROWS, forward
from traind.trainer.network.network import Network, build_members
from traind.trainer.network.objective import loss_function, predictions, training_target, weighted_target
from traind.trainer.network.recipe import Recipe
from traind.trainer.run.device import check_device
from traind.trainer.run.run import Run
from traind.trainer.step.eager import TrainingRows
from traind.trainer.step.flat_optimizer import Optimizer
from traind.trainer.step.lockstep import Lockstep
from traind.trainer.step.parallel import ParallelStep
from traind.trainer.step.step import Step, make_step
from traind.trainer.tabular.loop import Evaluate, Evaluation, FitState, Member, TrainingPlan, begin, member_seed
from traind.trainer.tabular.metrics import log_loss, measure
from traind.trainer.tabular.schedules import Schedule
from traind.trainer.trees.boosting import BoostingStep, BoostingTable
from traind.trainer.trees.tensors import ROUNDS_AT_ONCE, Trees, plain_columns

MEANS_ROWS = 100  # fewest validation rows to estimate a mean with
MEANS_GAIN = 0.99  # factor on the rmse below which means replace medians


@dataclass(slots=True)
class Phase:
    """One phase of a job's training. `about` holds what a model needs beside the step's weights."""

    step: Step
    plan: TrainingPlan
    evaluate: Evaluate
    about: dict[str, Any]
    is_lost: bool = False  # in a blend: it diverged, and the model is of the other phase alone
    state: FitState = field(init=False)

    def begin(self, saved: dict[str, Any] | None) -> None:
        """Restore the saved state, or begin anew."""
        self.state = begin(self.step, self.plan, saved)


def is_of_trees(saved: dict[str, Any]) -> bool:
    """Return whether a saved state is one of the trees' phase."""
    return bool(saved["model"]["architecture"]["kind"] == "trees")


def networks_phase(
    run: Run[Any],
    prepared: Prepared,
    recipe: Recipe,
    before: dict[str, Any] | None = None,
    networks: list[Network] | None = None,
) -> Phase:
    """Return the phase that trains the network, or the monitor and its members; without `networks`, new ones.

    `before` is the result of the trees' phase: `architecture`, `weights`, `steps` and `epochs`.
    """
    device = torch.device(run.device)
    check_device(run.device)  # dry runs come here without the check in `attempt`
    others = others_of(run, prepared, recipe)
    rows = rows_of(prepared, is_whole=bool(others))
    target = weighted_target(recipe, rows.target, rows.weight)
    loss = loss_function(recipe, is_weighted=rows.weight is not None)
    seeds = [run.spec.seed, *(member.seed for member in others)]
    sizes = [recipe.batch_size, *(member.batch_size for member in others)]
    networks = networks or build_members(recipe, prepared.cardinalities, prepared.train, seeds, prepared.encoder.bags)
    networks = [one.to(device) for one in networks]
    tensors = [tensor_of(rows.numeric), tensor_of(rows.categorical), target]
    shared = TrainingRows.of(networks[0], [tensor.to(device) for tensor in tensors])
    steps = [
        stepping(run)(network, loss, shared, optimizer_of(recipe), batch_size=size, seed=seed)
        for network, seed, size in zip(networks, seeds, sizes, strict=True)
    ]
    step = side_by_side(run, steps) if others else steps[0]
    about = about_of(prepared, recipe, {**networks[0].architecture, "members": len(networks)})
    if before is not None:
        about["before"] = before
    plan = changed(run, plan_of(run, prepared, recipe, before))
    return Phase(step, plan, evaluation_of(run, step, recipe, prepared.validation), about)


def side_by_side(run: Run[Any], steps: list[Step]) -> Lockstep:
    """Return the steps of all members at once, on the job's threads where they are of one process, on its CPUs.

    Each takes one thread, so that its bits do not depend on how many there are.
    """
    is_here = run.world.size == 1 and torch.device(run.device).type == "cpu"
    if is_here:
        torch.set_num_threads(1)
    return Lockstep(steps, threads=run.spec.threads if is_here else 1)


def stepping(run: Run[Any]) -> Callable[..., Step]:
    """Return what makes the steps: the fastest of one process, or those that several take together."""
    if run.world.size == 1:
        return make_step
    return lambda *parts, **sizes: ParallelStep(*parts, **sizes).across(run.world)


def trees_phase(run: Run[Any], prepared: Prepared, recipe: Recipe) -> Phase:
    """Return the phase that grows trees: the monitor's on the training rows, the others on all rows."""
    assert recipe.trees is not None
    if run.world.size > 1:
        raise SpecError("workers: trees are grown by one process.", field="workers", hint="Leave workers out.")
    whole = rows_of(prepared, is_whole=True)
    table = BoostingTable.of(whole, training_target(recipe, whole.target), prepared.cardinalities)
    rows = [len(prepared.train), *[len(whole)] * (recipe.members - 1)]
    seeds = [member_seed(run.spec.seed, number) for number in range(recipe.members)]
    steps = [BoostingStep(table, count, recipe, seed) for count, seed in zip(rows, seeds, strict=True)]
    shape = recipe.trees
    plan = TrainingPlan(
        rows=ROUNDS_AT_ONCE,
        batch_size=1,
        epochs=shape.epochs,
        patience=shape.patience,
        schedule=Schedule("constant", shape.lr, shape.epochs * ROUNDS_AT_ONCE),
        seed=run.spec.seed,
        monitor=monitor_of(run, recipe),
        others=(Member(ROUNDS_AT_ONCE, 1, run.spec.seed),) * (recipe.members - 1),
        rows_each=len(prepared.train),
        later_steps=0 if recipe.network is None else plan_of(run, prepared, recipe).steps,
        is_of_spec=recipe.network is None,
    )
    architecture = {"kind": "trees", "outputs": recipe.outputs, "members": recipe.members}
    evaluate = _Growing(run, steps[0], recipe, prepared.validation)
    plan = changed(run, plan)
    return Phase(Lockstep(steps), plan, evaluate, about_of(prepared, recipe, architecture))


def about_of(prepared: Prepared, recipe: Recipe, architecture: dict[str, Any]) -> dict[str, Any]:
    """Return all parts of a model except its weights, as plain values."""
    return {
        "architecture": architecture,
        "recipe": msgspec.to_builtins(recipe),
        "schema": msgspec.to_builtins(prepared.schema),
        "encoder": prepared.encoder.state(),
    }


def others_of(run: Run[Any], prepared: Prepared, recipe: Recipe) -> tuple[Member, ...]:
    """Return the members beside the monitor: trained on all rows, in larger batches for as many steps."""
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


def plan_of(run: Run[Any], prepared: Prepared, recipe: Recipe, before: dict[str, Any] | None = None) -> TrainingPlan:
    """Return the plan of the networks' phase. The schedule spans all planned epochs."""
    rows = min(len(prepared.train), recipe.epoch_rows or len(prepared.train))
    steps = recipe.epochs * -(-rows // recipe.batch_size)
    return TrainingPlan(
        rows=rows,
        drawn_from=len(prepared.train),
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        patience=recipe.patience,
        schedule=Schedule(recipe.schedule, recipe.lr, steps, round(recipe.warmup * steps)),
        seed=run.spec.seed,
        monitor=monitor_of(run, recipe),
        others=others_of(run, prepared, recipe),
        first_step=before["steps"] if before else 0,
        first_epoch=before["epochs"] if before else 0,
    )


def changed(run: Run[Any], plan: TrainingPlan) -> TrainingPlan:
    """Return the plan after the changes that were taken up before this attempt goes on."""
    for change in run.changes.taken:
        assert change.step is not None
        plan = plan.changed(change, change.step)
    return plan


def monitor_of(run: Run[Any], recipe: Recipe) -> str:
    """Return the monitored metric; raises `SpecError` where the task has no such metric."""
    monitor = run.spec.monitor
    if monitor not in (known := monitors(recipe.task)):
        problem = f"{monitor!r} is no metric of {recipe.task}; there are: {', '.join(known)}"
        raise SpecError(f"monitor: {problem}.", field="monitor")
    return monitor


def rows_of(prepared: Prepared, *, is_whole: bool) -> Encoded:
    """Return the training rows, with `is_whole` followed by the validation rows."""
    train, held = prepared.train, prepared.validation
    if not is_whole:
        return train
    names = ("numeric", "categorical", "target")
    whole = Encoded(*(np.concatenate((getattr(train, name), getattr(held, name))) for name in names))
    if train.weight is None or held.weight is None:
        return whole
    return dataclasses.replace(whole, weight=np.concatenate((train.weight, held.weight)))


def evaluation_of(run: Run[Any], step: Step, recipe: Recipe, rows: Encoded) -> Evaluate:
    """Return a function that evaluates the step's weights on `rows`, as the finished model would predict.

    Of several processes rank 0 evaluates, and all get what it found.
    """

    def evaluate_epoch() -> Evaluation:
        if run.world.rank:
            return run.world.same(Evaluation(math.nan, {}))
        with step.evaluation(averaged=True) as network:
            return run.world.same(evaluated(network, recipe, rows, run.beat)[0])

    return evaluate_epoch


class _Growing:
    """Evaluates trees on rows; adds only the trees grown since the last call, in the order of `Trees.forward`."""

    def __init__(self, run: Run[Any], step: BoostingStep, recipe: Recipe, rows: Encoded) -> None:
        self._run = run
        self._step = step
        self._recipe = recipe
        self._target = rows.target
        self._chunks = [
            (torch.from_numpy(rows.numeric[start : start + CHUNK_ROWS].copy()), tensor_of(categorical))
            for start in range(0, len(rows), CHUNK_ROWS)
            for categorical in (rows.categorical[start : start + CHUNK_ROWS],)
        ]
        self._outputs: list[torch.Tensor] = []
        self._rounds = 0

    def __call__(self) -> Evaluation:
        if not self._outputs or self._step.rounds <= self._rounds:  # the first call, or after a rollback
            base = Trees(self._step.piece(0)).base
            self._outputs = [base.expand(len(numeric), -1) for numeric, _ in self._chunks]
            self._rounds = 0
        for first in range(self._rounds, self._step.rounds, ROUNDS_AT_ONCE):
            self._run.beat()
            trees = Trees(self._step.piece(first // ROUNDS_AT_ONCE))
            with torch.no_grad():
                self._outputs = [
                    outputs + trees.block(plain_columns(*chunk), chunk[1], 0)
                    for outputs, chunk in zip(self._outputs, self._chunks, strict=True)
                ]
        self._rounds = self._step.rounds
        return measured(self._recipe, self._predicted, self._target)[0]

    def _predicted(self, recipe: Recipe) -> NDArray[Any]:
        found: NDArray[Any] = torch.cat([predictions(recipe, outputs) for outputs in self._outputs]).numpy()
        return found


def evaluated(
    network: torch.nn.Module, recipe: Recipe, rows: Encoded, beat: Callable[[], None]
) -> tuple[Evaluation, Recipe, NDArray[Any]]:
    """Return the network's evaluation on `rows`, its recipe fitted to them (`with_means`), and its predictions."""
    return measured(recipe, lambda recipe: forward(network, recipe, rows, beat).numpy(), rows.target)


def measured(
    recipe: Recipe, predict: Callable[[Recipe], NDArray[Any]], target: NDArray[Any]
) -> tuple[Evaluation, Recipe, NDArray[Any]]:
    """Return the evaluation of predictions, the recipe fitted to them (`with_means`), and the predictions by that."""
    predicted = predict(recipe)
    loss = validation_loss(recipe, predicted, target)
    fitted = with_means(recipe, predicted, target)
    if fitted is not recipe:
        predicted = predict(fitted)
    return Evaluation(loss, measure(predicted, target)), fitted, predicted


def validation_loss(recipe: Recipe, predicted: NDArray[Any], target: NDArray[Any]) -> float:
    """Return `val_loss`: the log loss, or the mean squared error of the transformed target."""
    if predicted.ndim == 2:
        return log_loss(predicted.astype(np.float64), target.astype(np.int64))
    error = training_target(recipe, predicted) - training_target(recipe, target)
    return float((error.double() ** 2).mean())


def with_means(recipe: Recipe, predicted: NDArray[Any], target: NDArray[Any]) -> Recipe:
    """Return the recipe, or one that predicts means instead of medians if that is clearly better on these rows.

    A network trained on logarithms predicts medians, one trained on roots something between. Multiplied by the mean
    ratio of target to prediction they become means (Duan, Smearing Estimate, 1983).
    """
    scale = recipe.target_scale
    if not (scale.log or scale.root) or len(target) < MEANS_ROWS:
        return recipe
    exponent = exponent_of(predicted, target)
    predicted, target = np.ldexp(predicted, -exponent), np.ldexp(target, -exponent)
    with np.errstate(divide="ignore", invalid="ignore"):  # roots may be predicted as 0
        factor = float(target.mean() / predicted.mean() if scale.root else (target / predicted).mean())
    before, after = (float(((kind - target) ** 2).mean()) for kind in (predicted, predicted * factor))
    if not after < before * MEANS_GAIN**2:
        return recipe
    return structs.replace(recipe, target_scale=structs.replace(scale, factor=factor))


def tensor_of(array: NDArray[Any]) -> torch.Tensor:
    """Return a copy of an array as a tensor: mapped arrays may be read-only."""
    return torch.from_numpy(np.array(array))
