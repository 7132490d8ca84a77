"""The training loop: epochs of gradient steps, each evaluated, until the last epoch or early stopping.

Everything needed to go on bit for bit is in `FitState` and in the step's state. The order of the batches is not
stored: it follows from seed and epoch.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from msgspec import UNSET
from torch import Tensor

from traind.trainer.contract.change import OF_TRAINING, Change, values_of
from traind.trainer.contract.control import Verb
from traind.trainer.contract.errors import Diverged, SpecError
from traind.trainer.contract.metrics import VAL_LOSS, is_higher_better
from traind.trainer.run.run import Run
from traind.trainer.step.step import Step
from traind.trainer.tabular.schedules import Schedule

ROLLBACKS = 2
AT_ONCE = 16  # quick steps between two checks of requests and clock, at most
LR_CUT = 0.1  # factor on the learning rate after each rollback


@dataclass(frozen=True, slots=True)
class Member:
    """A network beside the monitor, trained on the first `rows` rows of the table in the order given by `seed`."""

    rows: int
    batch_size: int
    seed: int


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """How long to train and when to stop early."""

    rows: int
    batch_size: int
    epochs: int
    patience: int | None
    schedule: Schedule
    seed: int
    monitor: str = VAL_LOSS
    others: tuple[Member, ...] = ()
    first_step: int = 0  # steps of the phase before this one
    first_epoch: int = 0
    later_steps: int = 0  # planned for the phase after this one
    rows_each: int = 1  # rows of the table for each of `rows`
    drawn_from: int | None = None  # training rows that the rows of each epoch are drawn from; None: `rows`
    is_of_spec: bool = True  # whether the spec's lr, epochs and patience apply to this phase

    @property
    def batches(self) -> int:
        """Gradient steps of an epoch; the last batch may be short."""
        return -(-self.rows // self.batch_size)

    @property
    def steps(self) -> int:
        """Gradient steps of all epochs of this phase."""
        return self.epochs * self.batches

    @property
    def total(self) -> int:
        """Gradient steps of all phases, as far as is known."""
        return self.first_step + self.steps + self.later_steps

    def changed(self, change: Change, step: int) -> "TrainingPlan":
        """Return the plan after a change that is taken up after `step` steps of all phases."""
        values = values_of(change)
        epochs = values["epochs"] - self.first_epoch if "epochs" in values else self.epochs
        plan = replace(self, epochs=epochs, patience=values.get("patience", self.patience))
        if not values.keys() & {"lr", "epochs"}:
            return plan
        schedule = self.schedule.changed(step - self.first_step, values.get("lr"), plan.steps)
        return replace(plan, schedule=schedule)

    def obstacles(self, change: Change, begun: int) -> dict[str, str]:
        """Return why a change cannot be taken up now, by field; `begun` epochs of this phase have begun."""
        values = values_of(change)
        if not self.is_of_spec:
            why = "applies to the job's networks, and it grows trees now: change it once the networks train"
            return {name: why for name in OF_TRAINING if name in values}
        begun += self.first_epoch
        if values.get("epochs", begun) < begun:
            return {"epochs": f"must be {begun} at least: that many epochs have begun"}
        return {}

    def orders(self, epoch: int) -> list[Tensor]:
        """Return the order of the training rows in an epoch (from 0) for each member, the monitor's first."""
        order = permutation(self.seed, epoch, self.drawn_from or self.rows)[: self.rows]
        return [order, *(self._whole(member, epoch) for member in self.others)]

    def _whole(self, member: Member, epoch: int) -> Tensor:
        """Return a member's order, cut to the epoch's number of whole batches; other rows are left out each epoch."""
        return permutation(member.seed, epoch, member.rows)[: self.batches * member.batch_size]


@dataclass(slots=True)
class FitState:
    """The state of training: plain values and tensors, saved and restored as they are."""

    epochs: int  # planned when this was saved
    epoch: int = 0  # epochs that have ended
    batch: int = 0  # batches taken of the current one
    step: int = 0
    loss_before: tuple[float, int] = (0.0, 0)  # the step's loss total when the epoch began
    best_score: float = math.inf
    best_epoch: int | None = None
    best_weights: list[Tensor] | None = None  # as `Step.keep` returns them
    waited: int = 0  # epochs since the best
    lr_scale: float = 1.0
    rollbacks: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    good: dict[str, Any] | None = None  # fit and step state at the last good end of an epoch, to roll back to
    monitor: str = VAL_LOSS  # the metric of `best_score`
    seed: int | None = None  # of the order of the rows; None: the spec's, in states of older versions

    def rows(self, plan: TrainingPlan) -> int:
        """How many training rows have been taken."""
        return (self.epoch * plan.rows + min(self.batch * plan.batch_size, plan.rows)) * plan.rows_each

    def is_over(self, plan: TrainingPlan) -> bool:
        """Return whether all epochs are done, or `patience` epochs brought no improvement."""
        return self.epoch >= plan.epochs or (plan.patience is not None and self.waited >= plan.patience)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Loss and metrics of an epoch's weights on the validation rows."""

    loss: float  # `val_loss`
    metrics: dict[str, float | None]  # None: not defined on these rows

    def score(self, monitor: str) -> float:
        """Return the monitored number, lower is better; raises `SpecError` where it is not defined."""
        if monitor == VAL_LOSS:
            return self.loss
        value = self.metrics.get(monitor)
        if value is None:
            known = ", ".join(name for name, known in self.metrics.items() if known is not None)
            problem = f"{monitor} is not defined on the validation rows; there are: {VAL_LOSS}, {known}"
            raise SpecError(f"monitor: {problem}.", field="monitor")
        return -value if is_higher_better(monitor) else value


Evaluate = Callable[[], Evaluation]


def begin(step: Step, plan: TrainingPlan, saved: dict[str, Any] | None) -> FitState:
    """Return the first state and restore the step to it. With more epochs than before, patience starts anew."""
    if saved is None:
        state = FitState(epochs=plan.epochs, monitor=plan.monitor, seed=plan.seed)
        state.good = _snapshot(step, state)
        return state
    step.restore(saved["step"])
    state = FitState(**saved["fit"])
    if plan.epochs > state.epochs:
        state.waited = 0
    state.epochs = plan.epochs
    if state.good is None:
        state.good = _snapshot(step, state)
    return state


def fit(  # noqa: C901, PLR0912, PLR0915 - one straight story
    run: Run[Any], step: Step, plan: TrainingPlan, state: FitState, evaluate: Evaluate, about: dict[str, Any]
) -> None:
    """Train until the plan is done or the run is to stop, then save; `state` is updated in place.

    `evaluate` measures the current weights on the validation rows. `about` is saved beside the weights: with both a
    model can be made. Raises `Diverged`, with `state` back at the last good epoch.
    """
    batches, changes, shared, should_stop = plan.batches, run.changes, run.shared, run.should_stop
    reported_rows, lrs, taken, is_due = state.rows(plan), [], 0, True
    changes.is_heeded = True
    if not run.has_started:
        run.start(total=plan.total, epochs=plan.first_epoch + plan.epochs)
    while True:
        plan = take_up(run, step, plan, state)
        if state.is_over(plan) or should_stop():
            break
        step.begin_epoch(*plan.orders(state.epoch))
        lr = plan.schedule.at(state.step) * state.lr_scale
        if state.batch < batches:  # else the restored epoch lacks only its evaluation
            step.set_lr(lr)
        while state.batch < batches:
            if changes.is_due(plan.first_step + state.step):
                plan = take_up(run, step, plan, state)
                lr = plan.schedule.at(state.step) * state.lr_scale
            every, schedule = changes.report_every, plan.schedule
            room = min(batches - state.batch, changes.room(plan.first_step + state.step))
            count = min(_at_once(state.step, every, is_due=is_due), room) if step.is_quick else 1
            if schedule.kind != "constant":
                lrs = [schedule.at(number) * state.lr_scale for number in range(state.step, state.step + count)]
            for taken in step.steps(state.batch, count, lrs):
                if taken < count and (shared.verb or shared.newest != changes.heard):
                    break
            lr = lrs[taken - 1] if lrs else lr
            state.batch += taken
            state.step += taken
            loss, is_due = None, run.is_due(plan.first_step + state.step)
            if is_due and (state.step % every == 0 or state.batch == batches):
                rows, reported_rows = state.rows(plan) - reported_rows, state.rows(plan)
                loss = run.report(
                    step=plan.first_step + state.step,
                    total=plan.total,
                    loss=step.take_loss,
                    epoch=plan.first_epoch + state.epoch + 1,
                    rows=max(0, rows),  # negative after a rollback
                    is_epoch_end=state.batch == batches,
                    lr=lr,
                )
            is_leaving = should_stop()
            is_saving = run.should_save()
            if is_leaving or is_saving or loss is not None:
                if not _is_sound(step, loss, is_looking=is_leaving or is_saving):
                    _go_back(run, step, state)
                    _save(run, step, plan, state, about)  # so that no older checkpoint has this step number
                    break
                if is_leaving:
                    break
                if is_saving:
                    _save(run, step, plan, state, about)
        else:
            run.count(max(0, state.rows(plan) - reported_rows))
            reported_rows = state.rows(plan)
            if not _end_epoch(run, step, plan, state, evaluate) or run.should_save(is_epoch_end=True):
                _save(run, step, plan, state, about)
    _drop_lost(run, step, state)
    at = plan.first_step + state.step, plan.first_epoch + state.epoch
    if run.stop_reason is not Verb.CANCEL and run.saved != at:
        _save(run, step, plan, state, about)


def take_up(run: Run[Any], step: Step, plan: TrainingPlan, state: FitState) -> TrainingPlan:
    """Take up or refuse the changes that are due before the next step; return the plan after them."""
    at, changes = plan.first_step + state.step, run.changes
    while changes.is_due(at):
        change = changes.next()
        if problems := plan.obstacles(change, state.epoch + (state.batch > 0)):
            changes.refuse(problems)
            continue
        changed = plan.changed(change, at)
        if state.is_over(plan) and state.is_over(changed):  # no step follows
            break
        changes.take(at)
        plan, state.epochs = changed, changed.epochs
        if change.lr is not UNSET:
            state.lr_scale = 1.0
        step.set_lr(plan.schedule.at(state.step) * state.lr_scale)
    return plan


def _at_once(step: int, every: int, *, is_due: bool) -> int:
    """Return how many quick steps to take before the next check; a report that is due ends them."""
    stride = every if is_due or every > AT_ONCE else AT_ONCE // every * every
    return min(AT_ONCE, stride - step % stride)


def permutation(seed: int, epoch: int, rows: int) -> Tensor:
    """Return the order of the training rows in an epoch (from 0), which depends on seed and epoch only."""
    mixed = hashlib.sha256(f"{seed}:{epoch}".encode()).digest()
    return torch.randperm(rows, generator=torch.Generator().manual_seed(int.from_bytes(mixed[:8])))


def member_seed(seed: int, number: int) -> int:
    """Return the seed of member `number`; the monitor, number 0, has the spec's."""
    mixed = hashlib.sha256(f"{seed}:member {number}".encode()).digest()
    return int.from_bytes(mixed[:8]) >> 1 if number else seed


def _end_epoch(run: Run[Any], step: Step, plan: TrainingPlan, state: FitState, evaluate: Evaluate) -> bool:
    """Evaluate the epoch, keep its weights if they are the best so far, and store it as the state to roll back to.

    Returns False if loss or weights were not finite; training is then back at the epoch before.
    """
    with run.aside():
        found = evaluate()
    total, rows = step.loss_total()
    if not (math.isfinite(found.loss) and _is_sound(step, None, is_looking=True)):
        _go_back(run, step, state)
        return False
    _drop_lost(run, step, state)
    loss = (total - state.loss_before[0]) / (rows - state.loss_before[1])
    state.loss_before = (total, rows)
    state.epoch += 1
    state.batch = 0
    state.waited += 1
    score = found.score(plan.monitor)
    if is_best := score < state.best_score:
        state.best_score, state.best_epoch, state.waited = score, state.epoch, 0
        state.best_weights = step.keep(averaged=True)
    state.history.append(
        {"epoch": plan.first_epoch + state.epoch, "loss": loss, VAL_LOSS: found.loss, **found.metrics}
    )
    state.good = _snapshot(step, state)
    run.step = plan.first_step + state.step  # no report of this step may have been due
    run.end_epoch(
        plan.first_epoch + state.epoch,
        epochs=plan.first_epoch + plan.epochs,
        loss=loss,
        val_loss=found.loss,
        metrics=found.metrics,
        is_best=is_best,
    )
    return True


def _is_sound(step: Step, loss: float | None, *, is_looking: bool) -> bool:
    """Return whether the reported loss is finite; with `is_looking`, also all losses and weights of the step."""
    if loss is not None and not math.isfinite(loss):
        return False
    return not is_looking or (math.isfinite(step.loss_total()[0]) and step.is_finite())


def _drop_lost(run: Run[Any], step: Step, state: FitState) -> None:
    """Leave members that have diverged out of the model: at the end of an epoch, so that all attempts do alike."""
    for number in step.drop_lost(state.epoch + 1):
        what = "trees" if step.kind == "trees" else "network"
        run.log(
            f"Member {number + 1}, {what} trained on all rows, diverged in epoch {state.epoch + 1} and is left out "
            "of the model; the others go on.",
            "warning",
        )


def _go_back(run: Run[Any], step: Step, state: FitState) -> None:
    """Go back to the end of the last good epoch with a lower learning rate, or raise `Diverged`."""
    assert state.good is not None
    lost_at, lost_with, rollbacks = state.step, state.lr_scale, state.rollbacks + 1
    step.restore(state.good["step"])
    for name, value in state.good["fit"].items():
        setattr(state, name, value)
    del state.history[state.epoch :]
    if rollbacks > ROLLBACKS:
        raise Diverged(
            f"The loss stopped being finite at step {lost_at}, also with {lost_with:g} times the learning rate.",
            hint="Use a lower lr or a grad_clip, and look for extreme values in the data.",
        )
    state.rollbacks, state.lr_scale = rollbacks, LR_CUT**rollbacks
    run.log(
        f"The loss stopped being finite at step {lost_at}: going back to step {state.step} "
        f"with {state.lr_scale:g} times the learning rate.",
        "warning",
    )


def _save(run: Run[Any], step: Step, plan: TrainingPlan, state: FitState, about: dict[str, Any]) -> None:
    """Write a checkpoint."""
    kept = {one.name: getattr(state, one.name) for one in fields(state)}
    best = None if state.best_weights is None else step.weights(state.best_weights)
    run.save(
        {"fit": kept, "step": step.state(), "model": about, "weights": best},
        step=plan.first_step + state.step,
        epoch=plan.first_epoch + state.epoch,
        is_best=state.batch == 0 and state.waited == 0,
    )


def _snapshot(step: Step, state: FitState) -> dict[str, Any]:
    """Return what a rollback to this point needs; the history is cut then instead."""
    return {"fit": {name: getattr(state, name) for name in _KEPT}, "step": step.state()}


_KEPT = tuple(one.name for one in fields(FitState) if one.name not in ("good", "history"))
