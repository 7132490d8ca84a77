"""The training loop: epochs of gradient steps, judged after each, until there is nothing more to gain.

Everything it needs to go on bit for bit is in `Fit` and the step's own state. The order of the batches is no part
of it: it follows from seed and epoch alone.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from traind.trainer.contract.control import Verb
from traind.trainer.contract.errors import Diverged
from traind.trainer.run.run import Run
from traind.trainer.step.step import Step
from traind.trainer.tabular.schedules import Schedule

ROLLBACKS = 2
AT_ONCE = 16  # quick steps between two looks at what is asked and at the clock, at most
LR_CUT = 0.1  # the learning rate after each time the loss was lost


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to train and when to stop early."""

    rows: int
    batch_size: int
    epochs: int
    patience: int | None
    schedule: Schedule
    seed: int

    @property
    def batches(self) -> int:
        """Gradient steps of an epoch; the last batch may be short."""
        return -(-self.rows // self.batch_size)


@dataclass(slots=True)
class Fit:
    """Where the training stands: plain values and tensors, saved and restored as they are."""

    epochs: int  # planned when this was saved
    epoch: int = 0  # epochs that have ended
    batch: int = 0  # batches taken of the one after
    step: int = 0
    loss_before: tuple[float, int] = (0.0, 0)  # the step's loss total when the epoch began
    best_score: float = math.inf
    best_epoch: int | None = None
    best_weights: list[Tensor] | None = None  # as the step keeps them
    waited: int = 0  # epochs since the best
    lr_scale: float = 1.0
    rollbacks: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    good: dict[str, Any] | None = None  # fit and step when the last epoch ended well: the way back

    def rows(self, plan: Plan) -> int:
        """How many training rows have been taken."""
        return self.epoch * plan.rows + min(self.batch * plan.batch_size, plan.rows)

    def is_over(self, plan: Plan) -> bool:
        """Whether all epochs are done, or too many brought nothing."""
        return self.epoch >= plan.epochs or (plan.patience is not None and self.waited >= plan.patience)


Judge = Callable[[], tuple[float, dict[str, float | None]]]


def begin(step: Step, plan: Plan, state: dict[str, Any] | None) -> Fit:
    """Return where to begin, the step being put there. More epochs than were planned: patience begins anew."""
    if state is None:
        at = Fit(epochs=plan.epochs)
        at.good = _snapshot(step, at)
        return at
    step.restore(state["step"])
    at = Fit(**state["fit"])
    if plan.epochs > at.epochs:
        at.waited = 0
    at.epochs = plan.epochs
    return at


def fit(  # noqa: C901, PLR0912 - the one straight line
    run: Run[Any], step: Step, plan: Plan, at: Fit, judge: Judge, about: dict[str, Any]
) -> None:
    """Train until the plan is done or the run is told to leave, and save: `at` is then where that is.

    `judge` gives a score (lower is better) and metrics, on rows that are not trained on. `about` is what makes a
    model of the weights, saved beside them. Raises `Diverged`, with `at` back at the last good epoch.
    """
    every, batches, total = run.spec.report_every, plan.batches, plan.epochs * plan.batches
    schedule, should_stop, told_rows = plan.schedule, run.should_stop, at.rows(plan)
    control, lrs, taken, is_due = run.control, [], 0, True
    run.start(total=total, epochs=plan.epochs)
    while not at.is_over(plan) and not should_stop():
        step.begin_epoch(permutation(plan.seed, at.epoch, plan.rows))
        lr = schedule.at(at.step) * at.lr_scale
        if at.batch < batches:  # else it was left when only its end was to come
            step.set_lr(lr)
        while at.batch < batches:
            count = min(_at_once(at.step, every, is_due=is_due), batches - at.batch) if step.is_quick else 1
            if schedule.kind != "constant":
                lrs = [schedule.at(number) * at.lr_scale for number in range(at.step, at.step + count)]
                lr = lrs[-1]
            for taken in step.steps(at.batch, count, lrs):
                if taken < count and control.verb:
                    break
            at.batch += taken
            at.step += taken
            loss, is_due = None, run.is_due(at.step)
            if is_due and (at.step % every == 0 or at.batch == batches):
                rows, told_rows = at.rows(plan) - told_rows, at.rows(plan)
                loss = run.report(
                    step=at.step,
                    total=total,
                    loss=step.take_loss,
                    epoch=at.epoch + 1,
                    rows=max(0, rows),  # after going back, until there are new ones
                    is_epoch_end=at.batch == batches,
                    lr=lr,
                )
            is_leaving = should_stop()
            is_saving = run.should_save()
            if is_leaving or is_saving or loss is not None:
                if not _is_sound(step, loss, is_looking=is_leaving or is_saving):
                    _go_back(run, step, at)
                    break
                if is_leaving:
                    break
                if is_saving:
                    _save(run, step, at, about)
        else:
            run.count(max(0, at.rows(plan) - told_rows))
            told_rows = at.rows(plan)
            _end_epoch(run, step, plan, at, judge)
            if run.should_save(is_epoch_end=True):
                _save(run, step, at, about)
    if run.told is not Verb.CANCEL and run.saved != (at.step, at.epoch):
        _save(run, step, at, about)


def _at_once(step: int, every: int, *, is_due: bool) -> int:
    """Return how many quick steps to take before the next look; where a report is due, up to the next one."""
    stride = every if is_due or every > AT_ONCE else AT_ONCE // every * every
    return min(AT_ONCE, stride - step % stride)


def permutation(seed: int, epoch: int, rows: int) -> Tensor:
    """Return the order of the training rows in an epoch (from 0): of seed and epoch alone."""
    mixed = hashlib.sha256(f"{seed}:{epoch}".encode()).digest()
    return torch.randperm(rows, generator=torch.Generator().manual_seed(int.from_bytes(mixed[:8])))


def _end_epoch(run: Run[Any], step: Step, plan: Plan, at: Fit, judge: Judge) -> None:
    """Judge the epoch, keep its weights if they are the best so far, and remember it as a place to go back to."""
    with run.aside():
        score, metrics = judge()
    total, rows = step.loss_total()
    if not (math.isfinite(score) and _is_sound(step, None, is_looking=True)):
        _go_back(run, step, at)
        return
    loss = (total - at.loss_before[0]) / (rows - at.loss_before[1])
    at.loss_before = (total, rows)
    at.epoch += 1
    at.batch = 0
    at.waited += 1
    if is_best := score < at.best_score:
        at.best_score, at.best_epoch, at.waited = score, at.epoch, 0
        at.best_weights = step.keep(averaged=True)
    at.history.append({"epoch": at.epoch, "loss": loss, **metrics})
    at.good = _snapshot(step, at)
    run.end_epoch(at.epoch, epochs=plan.epochs, loss=loss, metrics=metrics, is_best=is_best)


def _is_sound(step: Step, loss: float | None, *, is_looking: bool) -> bool:
    """Whether training is finite, as far as the last told loss says; `is_looking` looks at loss and weights now."""
    if loss is not None and not math.isfinite(loss):
        return False
    return not is_looking or (math.isfinite(step.loss_total()[0]) and step.is_finite())


def _go_back(run: Run[Any], step: Step, at: Fit) -> None:
    """Go back to the end of the last good epoch with a lower learning rate, or raise `Diverged`."""
    assert at.good is not None
    lost_at, rollbacks = at.step, at.rollbacks + 1
    step.restore(at.good["step"])
    for name, value in at.good["fit"].items():
        setattr(at, name, value)
    del at.history[at.epoch :]
    if rollbacks > ROLLBACKS:
        raise Diverged(
            f"The loss stopped being finite at step {lost_at}, also with {at.lr_scale:g} times the learning rate.",
            hint="Use a lower lr or a grad_clip, and look for extreme values in the data.",
        )
    at.rollbacks, at.lr_scale = rollbacks, LR_CUT**rollbacks
    run.log(
        f"The loss stopped being finite at step {lost_at}: going back to step {at.step} "
        f"with {at.lr_scale:g} times the learning rate.",
        "warning",
    )


def _save(run: Run[Any], step: Step, at: Fit, about: dict[str, Any]) -> None:
    """Write a checkpoint of a step that is sound."""
    kept = {one.name: getattr(at, one.name) for one in fields(at)}
    best = None if at.best_weights is None else step.weights(at.best_weights)
    run.save(
        {"fit": kept, "step": step.state(), "model": about, "weights": best},
        step=at.step,
        epoch=at.epoch,
        is_best=at.batch == 0 and at.waited == 0,
    )


def _snapshot(step: Step, at: Fit) -> dict[str, Any]:
    """Return all that is needed to come back to this place; the history is cut instead."""
    return {"fit": {name: getattr(at, name) for name in _KEPT}, "step": step.state()}


_KEPT = tuple(one.name for one in fields(Fit) if one.name not in ("good", "history"))
