"""A study's next suggestions, and the trials to prune: by Optuna, from the study's record alone.

The service sends the whole record; the answer depends only on that, the seed and the trial's number. So another
process can go on with a study and suggest the same. Optuna's study is kept between calls only to save rebuilding it.
"""

import hashlib
from collections import OrderedDict
from typing import Any, Literal

import msgspec
import optuna
from msgspec import Struct
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

KEPT = 8  # studies kept between calls
STARTUP_TRIALS = 10  # first trials, drawn at random
PRUNER_TRIALS = 5  # trials that must have ended before any is pruned
PRUNER_EPOCHS = 2  # first epochs in which no trial is pruned: they tell of the learning rate's rise above all

optuna.logging.set_verbosity(optuna.logging.ERROR)


class Axis(Struct, frozen=True):
    """One dimension of the search space. A choice is suggested as its index."""

    name: str
    kind: Literal["float", "int", "choice"]
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    count: int = 0


class Row(Struct, frozen=True, array_like=True):
    """One trial of the record: `values` are its metric after each epoch, from the first on without gaps.

    `is_open`: it has not ended, so that it may be pruned.
    """

    point: list[float]
    state: Literal["RUNNING", "COMPLETE", "PRUNED", "FAIL"]
    value: float | None = None
    values: list[float | None] = []
    is_open: bool = False


class Request(Struct, frozen=True):
    """A study's record, and the number of suggestions wanted."""

    study_id: str
    axes: tuple[Axis, ...]
    rows: list[Row]
    wanted: int
    direction: Literal["minimize", "maximize"]
    sampler: Literal["tpe", "random"]
    pruner: Literal["median", "halving", "none"]
    seed: int
    is_parallel: bool
    first: list[float] | None = None  # the point of trial 0; None: it is suggested as all others are
    kinds: int | None = None  # the axis of kinds of model, whose epochs are not alike: each is pruned among its own


class Known:
    """Optuna's study, and how much of the record it has seen."""

    def __init__(self, request: Request) -> None:
        self.distributions = {axis.name: distribution_of(axis) for axis in request.axes}
        self.study = optuna.create_study(direction=request.direction, pruner=_pruner(request.pruner))
        self.trials: list[optuna.Trial] = []
        self.judged: list[optuna.Trial] = []  # the same trials, or where kinds are searched each among its own
        self.points: list[list[float]] = []
        self.reported: list[int] = []  # epochs of each trial that Optuna has seen
        self.over: list[tuple[str, float | None] | None] = []  # state and value of each trial that has ended
        self._about = (request.axes, request.direction, request.pruner)
        self._kinds = request.kinds
        self._of_kind: dict[float, optuna.Study] = {}

    def is_of(self, request: Request) -> bool:
        """Return whether this study equals the record, or an earlier state of it."""
        if len(self.trials) > len(request.rows) or self._about != (request.axes, request.direction, request.pruner):
            return False
        for point, end, row in zip(self.points, self.over, request.rows, strict=False):
            if point != row.point:
                return False
            if end is not None and (row.is_open or end != (row.state, row.value)):
                return False
        return True

    def catch_up(self, request: Request) -> list[tuple[int, int]]:
        """Add what is new in the record; return the trials to prune, each with the epoch."""
        pruned = []
        for number, row in enumerate(request.rows):
            if number == len(self.trials):
                self._add(row)
            if self.over[number] is not None:
                continue
            if (epoch := self._report(number, row)) is not None:
                self._end(number, TrialState.PRUNED)
                pruned.append((number, epoch))
            elif row.state != "RUNNING":
                self._end(number, TrialState[row.state], row.value)
        return pruned

    def suggest(self, sampler: BaseSampler) -> list[float]:
        """Return the next point."""
        self.study.sampler = sampler
        trial = self.study.ask(fixed_distributions=self.distributions)
        params = trial.params
        point = [params[name] for name in self.distributions]
        self._append(trial, point)
        return point

    def begin(self, point: list[float]) -> list[float]:
        """Return the point of the first trial, which is given."""
        self._add(Row(point, "RUNNING"))
        return point

    def _add(self, row: Row) -> None:
        point = dict(zip(self.distributions, row.point, strict=True))
        made = create_trial(state=TrialState.RUNNING, params=point, distributions=self.distributions)
        self._append(_added(self.study, made), row.point)

    def _append(self, trial: optuna.Trial, point: list[float]) -> None:
        self.trials.append(trial)
        self.judged.append(trial if self._kinds is None else self._among_its_own(point[self._kinds]))
        self.points.append(point)
        self.reported.append(0)
        self.over.append(None)

    def _among_its_own(self, kind: float) -> optuna.Trial:
        """Return a trial of another study, which has those of one kind of model alone."""
        if kind not in self._of_kind:
            _, direction, pruner = self._about
            self._of_kind[kind] = optuna.create_study(direction=direction, pruner=_pruner(pruner))
        return _added(self._of_kind[kind], create_trial(state=TrialState.RUNNING))

    def _report(self, number: int, row: Row) -> int | None:
        """Report new epochs one by one; return the epoch at which to prune, or None."""
        trial, judged = self.trials[number], self.judged[number]
        for epoch in range(self.reported[number] + 1, len(row.values) + 1):
            self.reported[number] = epoch
            if (value := row.values[epoch - 1]) is None:
                continue
            trial.report(value, epoch)
            if judged is not trial:
                judged.report(value, epoch)
            is_hopeless = judged.should_prune()  # called for each epoch, since some pruners keep state
            if row.is_open and is_hopeless:
                return epoch
        return None

    def _end(self, number: int, state: TrialState, value: float | None = None) -> None:
        value = value if state is TrialState.COMPLETE else None
        self.study.tell(self.trials[number], value, state)
        if (judged := self.judged[number]) is not self.trials[number]:
            judged.study.tell(judged, value, state)
        self.over[number] = (state.name, value)


def _added(study: optuna.Study, made: FrozenTrial) -> optuna.Trial:
    """Return a trial that was added to a study."""
    study.add_trial(made)
    return optuna.Trial(study, study.get_trials(deepcopy=False)[-1]._trial_id)  # noqa: SLF001


_known: OrderedDict[str, Known] = OrderedDict()


def advance_request(request: dict[str, Any]) -> dict[str, Any]:
    """Return `pruned`, trials to prune with the epoch, and `points`, the next points to try."""
    record = msgspec.convert(request, Request)
    known = _known.pop(record.study_id, None)
    if known is None or not known.is_of(record):
        known = Known(record)
    pruned = known.catch_up(record)
    numbers = range(len(record.rows), len(record.rows) + record.wanted)
    points = [
        known.begin(record.first)
        if number == 0 and record.first is not None
        else known.suggest(_sampler(record, number))
        for number in numbers
    ]
    _known[record.study_id] = known
    if len(_known) > KEPT:
        _known.popitem(last=False)
    return {"pruned": pruned, "points": points}


def distribution_of(axis: Axis) -> BaseDistribution:
    """Return what Optuna draws an axis' values from."""
    match axis.kind:
        case "choice":
            return CategoricalDistribution(tuple(range(axis.count)))
        case "int":
            return IntDistribution(int(axis.low), int(axis.high), log=axis.log, step=int(axis.step or 1))
        case "float":
            return FloatDistribution(axis.low, axis.high, log=axis.log, step=axis.step)


def _sampler(request: Request, number: int) -> BaseSampler:
    """Return the sampler of one trial, seeded by the study's seed and the trial's number."""
    seed = int.from_bytes(hashlib.sha256(f"{request.seed}:trial {number}".encode()).digest()[:4])
    if request.sampler == "random":
        return RandomSampler(seed=seed)
    return TPESampler(
        seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True, constant_liar=request.is_parallel
    )


def _pruner(name: str) -> optuna.pruners.BasePruner:
    match name:
        case "median":
            return optuna.pruners.MedianPruner(n_startup_trials=PRUNER_TRIALS, n_warmup_steps=PRUNER_EPOCHS + 1)
        case "halving":
            return optuna.pruners.SuccessiveHalvingPruner()
        case _:
            return optuna.pruners.NopPruner()
