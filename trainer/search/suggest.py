"""What a study tries next, and which of its trials are pruned: by Optuna, from the study's record alone.

The service sends all that it has on record; what comes back follows from that, the seed and the trial's number, and
from nothing that only this process knows. So a process may die, and a study be taken up by another one: what it
suggests is the same. Optuna's own study is kept between calls only to save the time of building it again.
"""

import hashlib
import warnings
from collections import OrderedDict
from typing import Any, Literal

import msgspec
import optuna
from msgspec import Struct
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState, create_trial

KEPT = 8  # studies that stay built
STARTUP_TRIALS = 10  # that are drawn at random before there is anything to learn from
PRUNER_TRIALS = 5  # that must have ended before any is pruned
PRUNER_EPOCHS = 1  # that each may train at least

optuna.logging.set_verbosity(optuna.logging.ERROR)


class Axis(Struct, frozen=True):
    """One dimension of the space. A choice is suggested as its place."""

    name: str
    kind: Literal["float", "int", "choice"]
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    count: int = 0


class Row(Struct, frozen=True, array_like=True):
    """One trial on record: `values` are its metric after each epoch, from the first on without a gap.

    `is_open`: nothing is decided of it, so that it may be pruned.
    """

    point: list[float]
    state: Literal["RUNNING", "COMPLETE", "PRUNED", "FAIL"]
    value: float | None = None
    values: list[float | None] = []
    is_open: bool = False


class Request(Struct, frozen=True):
    """A study's record, and how many suggestions are wanted."""

    study_id: str
    axes: tuple[Axis, ...]
    rows: list[Row]
    wanted: int
    direction: Literal["minimize", "maximize"]
    sampler: Literal["tpe", "random"]
    pruner: Literal["median", "halving", "none"]
    seed: int
    is_parallel: bool


class Known:
    """A study as Optuna has it, and how far that goes."""

    def __init__(self, request: Request) -> None:
        self.distributions = {axis.name: _distribution(axis) for axis in request.axes}
        self.study = optuna.create_study(direction=request.direction, pruner=_pruner(request.pruner))
        self.trials: list[optuna.Trial] = []
        self.points: list[list[float]] = []
        self.reported: list[int] = []  # epochs of each trial that Optuna has seen
        self.over: list[tuple[str, float | None] | None] = []  # what each trial came to, once it is over
        self._about = (request.axes, request.direction, request.pruner)

    def is_of(self, request: Request) -> bool:
        """Whether this is what the record says, or an earlier state of it."""
        if len(self.trials) > len(request.rows) or self._about != (request.axes, request.direction, request.pruner):
            return False
        for point, end, row in zip(self.points, self.over, request.rows, strict=False):
            if point != row.point:
                return False
            if end is not None and (row.is_open or end != (row.state, row.value)):
                return False
        return True

    def catch_up(self, request: Request) -> list[tuple[int, int]]:
        """Bring in what is new in the record; return the trials that are to be pruned, each with the epoch."""
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

    def _add(self, row: Row) -> None:
        point = dict(zip(self.distributions, row.point, strict=True))
        made = create_trial(state=TrialState.RUNNING, params=point, distributions=self.distributions)
        self.study.add_trial(made)
        frozen = self.study.get_trials(deepcopy=False)[-1]
        self._append(optuna.Trial(self.study, frozen._trial_id), row.point)  # noqa: SLF001

    def _append(self, trial: optuna.Trial, point: list[float]) -> None:
        self.trials.append(trial)
        self.points.append(point)
        self.reported.append(0)
        self.over.append(None)

    def _report(self, number: int, row: Row) -> int | None:
        """Tell of new epochs, one after the other; return the one at which to prune."""
        trial = self.trials[number]
        for epoch in range(self.reported[number] + 1, len(row.values) + 1):
            self.reported[number] = epoch
            if (value := row.values[epoch - 1]) is None:
                continue
            trial.report(value, epoch)
            is_hopeless = trial.should_prune()  # asked of each: some pruners remember
            if row.is_open and is_hopeless:
                return epoch
        return None

    def _end(self, number: int, state: TrialState, value: float | None = None) -> None:
        value = value if state is TrialState.COMPLETE else None
        self.study.tell(self.trials[number], value, state)
        self.over[number] = (state.name, value)


_known: OrderedDict[str, Known] = OrderedDict()


def advance_request(request: dict[str, Any]) -> dict[str, Any]:
    """Return `pruned`, trials with the epoch at which they are to be pruned, and `points`, the next ones to try."""
    asked = msgspec.convert(request, Request)
    known = _known.pop(asked.study_id, None)
    if known is None or not known.is_of(asked):
        known = Known(asked)
    pruned = known.catch_up(asked)
    numbers = range(len(asked.rows), len(asked.rows) + asked.wanted)
    points = [known.suggest(_sampler(asked, number)) for number in numbers]
    _known[asked.study_id] = known
    if len(_known) > KEPT:
        _known.popitem(last=False)
    return {"pruned": pruned, "points": points}


def importance_request(request: dict[str, Any]) -> dict[str, float]:
    """Return how much each dimension matters for the metric, as shares of 1 (PED-ANOVA); none where that is unknown.

    Watanabe et al., PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary subspaces, 2023.
    """
    asked = msgspec.convert(request, Request)
    known = Known(asked)
    known.catch_up(asked)
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            found = optuna.importance.get_param_importances(known.study, evaluator=evaluator)
    except (RuntimeError, ValueError, UserWarning):  # too few trials, or all alike
        return {}
    return {name: float(share) for name, share in found.items()}


def _distribution(axis: Axis) -> BaseDistribution:
    match axis.kind:
        case "choice":
            return CategoricalDistribution(tuple(range(axis.count)))
        case "int":
            return IntDistribution(int(axis.low), int(axis.high), log=axis.log, step=int(axis.step or 1))
        case "float":
            return FloatDistribution(axis.low, axis.high, log=axis.log, step=axis.step)


def _sampler(request: Request, number: int) -> BaseSampler:
    """Return the sampler of one trial: its randomness is of the study's seed and the trial's number alone."""
    seed = int.from_bytes(hashlib.sha256(f"{request.seed}:trial {number}".encode()).digest()[:4])
    if request.sampler == "random":
        return RandomSampler(seed=seed)
    return TPESampler(
        seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True, constant_liar=request.is_parallel
    )


def _pruner(name: str) -> optuna.pruners.BasePruner:
    match name:
        case "median":
            return optuna.pruners.MedianPruner(n_startup_trials=PRUNER_TRIALS, n_warmup_steps=PRUNER_EPOCHS)
        case "halving":
            return optuna.pruners.SuccessiveHalvingPruner()
        case _:
            return optuna.pruners.NopPruner()
