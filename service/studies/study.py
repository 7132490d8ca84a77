"""The records of a study and its trials, and the only function that changes them. Pure, like `jobs/job.py`."""

from typing import Any, Literal

from msgspec import Struct, structs

from traind.service.studies.events import (
    AnyStudyEvent,
    StudyControl,
    StudyLog,
    StudyState,
    StudyStatus,
    TrialEnded,
    TrialPruned,
    TrialStatus,
    TrialSuggested,
)
from traind.service.studies.request import Dimension, Direction, Pruner, Sampler, StudyRequest
from traind.trainer.contract.events import Failure
from traind.trainer.contract.metrics import is_higher_better
from traind.trainer.contract.spec import DatasetFile, TrainSpec

OVER = frozenset({StudyStatus.COMPLETED, StudyStatus.STOPPED, StudyStatus.CANCELLED, StudyStatus.FAILED})
RANKED = frozenset({TrialStatus.COMPLETED, TrialStatus.STOPPED})  # trials that may be the best
_COUNTED = {
    TrialStatus.COMPLETED: "completed",
    TrialStatus.PRUNED: "pruned",
    TrialStatus.STOPPED: "stopped",
    TrialStatus.FAILED: "failed",
}
_MESSAGES = {
    StudyStatus.RUNNING: "Making trials",
    StudyStatus.PAUSED: "Paused",
    StudyStatus.COMPLETED: "Completed",
    StudyStatus.STOPPED: "Stopped",
    StudyStatus.CANCELLED: "Cancelled",
    StudyStatus.FAILED: "Failed",
}


class Trial(Struct, frozen=True, kw_only=True):
    """One trial's record. Its job says how it was trained."""

    trial: int
    """Number of the trial, from 0."""
    job_id: str
    """Id of its job; the job may be deleted since."""
    params: dict[str, Any]
    """Its values of the searched fields, by path in the spec."""
    status: TrialStatus = TrialStatus.RUNNING
    """State of the trial."""
    value: float | None = None
    """The metric on the validation rows, of its best epoch; null while there is none."""
    pruned_at: int | None = None
    """Epoch at which it was pruned, from 1; null: not pruned."""
    epochs: int = 0
    """Epochs that it trained; 0 while it is not over."""
    values: list[float | None] = []
    """The metric after each epoch, from the first on, as far as it is known."""
    error: Failure | None = None
    """Why it has no value; null where it has one."""
    timings: dict[str, float] = {}
    """Seconds of its job by phase: queued_s, starting_s, loading_s, running_s and others."""
    created_at: float
    """When it was suggested, in seconds since 1970 (UTC)."""
    finished_at: float | None = None
    """When it was over, in seconds since 1970 (UTC)."""


class BestTrial(Struct, frozen=True, kw_only=True):
    """The best trial so far."""

    trial: int
    """Number of the trial, from 0."""
    job_id: str
    """Id of its job."""
    value: float
    """The study's metric on the validation rows."""
    params: dict[str, Any]
    """Its values of the searched fields, by path in the spec."""


class Study(Struct, frozen=True, kw_only=True):
    """One study's record. Times are seconds since 1970, durations seconds."""

    study_id: str
    """Id of the study, made by the client or the server; also that of the job that makes its ensemble."""
    status: StudyStatus = StudyStatus.RUNNING
    """State that the study is in."""
    name: str | None = None
    """Name of the study."""
    message: str = ""
    """What it is doing, in a few words for people."""
    reason: str | None = None
    """Why, where the state has several reasons: trials, max_seconds, user."""
    requested: Literal["stop", "cancel", "finish"] | None = None
    """Verb that is recorded and not yet carried out; finish: its trials or its time are over."""
    seq: int = 0
    """Number of the newest event."""
    trials: int
    """Most trials to make."""
    suggested: int = 0
    """Trials made so far."""
    running: int = 0
    """Unfinished trials, whose jobs wait, run or are paused."""
    completed: int = 0
    """Trials that ran to their end."""
    pruned: int = 0
    """Trials that were pruned, since others were better."""
    stopped: int = 0
    """Trials stopped by a user or by the study's end, with a value."""
    failed: int = 0
    """Trials without a value."""
    best: BestTrial | None = None
    """The best trial so far; null while none has a value."""
    importance: dict[str, float] = {}
    """How much each field matters for the metric, as shares of 1 (PED-ANOVA); in the answer for one study."""
    judged_among: dict[str, list[list[str]]] = {}
    """Fields that kinds of models differ in: the groups of kinds each is judged among; told of one study."""
    metric: str = "val_loss"
    """Metric to compare trials by, on the validation rows."""
    direction: Direction = "minimize"
    """Whether the metric is minimised or maximised."""
    spec: TrainSpec
    """Spec of every trial, except for the fields of the space."""
    space: dict[str, Dimension]
    """Searched fields, with their ranges or choices."""
    first: dict[str, Any] | None = None
    """Values of trial 0: those of the spec as it was given; null: it is suggested as all others are."""
    sampler: Sampler = "tpe"
    """How trials are suggested: tpe or random."""
    pruner: Pruner = "median"
    """Which trials are pruned: median, halving or none."""
    seed: int = 0
    """Seed of the suggestions."""
    parallel: int | None = None
    """Trials at once; null: one for each slot, and one that waits."""
    max_seconds: float | None = None
    """Seconds of running after which no trial is begun."""
    ensemble: bool = False
    """Whether an ensemble of the trials' models is made at the end."""
    model: str | None = None
    """Path of the ensemble's model file, relative to the root; null while there is none."""
    note: str | None = None
    """Why there is no ensemble; null where there is one, or none is wanted."""
    dataset: DatasetFile | None = None
    """The version of the data set that all trials train on; null: synthetic data."""
    timings: dict[str, float] = {}
    """Seconds by phase over the jobs of all trials that are over: queued_s, loading_s, running_s and others."""
    created_at: float
    """When it was accepted, in seconds since 1970 (UTC)."""
    finished_at: float | None = None
    """When it ended, in seconds since 1970 (UTC); null while it is not over."""
    ran_s: float = 0.0
    """Seconds that it was running, without pauses and times without a server."""
    error: Failure | None = None
    """Why it failed; null in every other state."""
    request: StudyRequest
    """The request, as it was sent."""

    @property
    def is_higher_better(self) -> bool:
        """Whether more of the metric is better."""
        return self.direction == "maximize"

    @property
    def ended(self) -> int:
        """Trials that are over."""
        return self.suggested - self.running

    def used(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return the values of the fields that a trial's kind of model has."""
        kind = kind_of(params.get("model"))
        lacking = {path for path, groups in self.judged_among.items() if not any(kind in group for group in groups)}
        return {path: value for path, value in params.items() if path not in lacking}


def kind_of(model: Any) -> str:
    """Return the kind of a choice of models: one is given by it, or with some fields."""
    return str(model["kind"] if isinstance(model, dict) else model)


def direction_of(request: StudyRequest) -> Direction:
    """Return whether less or more of the metric is better."""
    return request.direction or ("maximize" if is_higher_better(request.metric) else "minimize")


def apply_study(study: Study, trial: Trial | None, event: AnyStudyEvent) -> tuple[Study, Trial | None]:
    """Return the study and the event's trial after the event, whose `seq` and `ts` are set."""
    changes: dict[str, Any] = {"seq": event.seq}
    match event:
        case StudyState():
            changes |= _entered(event)
        case StudyControl():
            changes |= {"requested": event.verb}
            if event.reason is not None:
                changes["reason"] = event.reason
        case TrialSuggested():
            trial = Trial(trial=event.trial, job_id=event.job_id, params=event.params, created_at=event.ts)
            changes |= {"suggested": study.suggested + 1, "running": study.running + 1}
        case TrialPruned() if trial is not None:
            trial = structs.replace(trial, pruned_at=event.epoch, values=event.values)
        case TrialEnded() if trial is not None:
            trial = _ended(trial, event)
            changes |= _with_ended(study, trial)
        case StudyLog():
            pass
    return structs.replace(study, **changes), trial


def is_better(study: Study, value: float | None) -> bool:
    """Return whether a value is better than the best so far."""
    if value is None:
        return False
    if study.best is None:
        return True
    return value > study.best.value if study.is_higher_better else value < study.best.value


def _entered(event: StudyState) -> dict[str, Any]:
    changes: dict[str, Any] = {"status": event.status, "message": event.message or _MESSAGES[event.status]}
    if event.reason is not None:
        changes["reason"] = event.reason
    is_over = event.status in OVER
    return changes | {
        "error": event.error,
        "model": event.model,
        "note": event.note,
        "finished_at": event.ts if is_over else None,
        **({"requested": None} if is_over else {}),
    }


def _ended(trial: Trial, event: TrialEnded) -> Trial:
    return structs.replace(
        trial,
        status=event.status,
        value=event.value,
        values=event.values,
        epochs=event.epochs,
        error=event.error,
        timings=event.timings,
        finished_at=event.ts,
    )


def _with_ended(study: Study, trial: Trial) -> dict[str, Any]:
    """Return what the end of a trial changes in its study; a pruned trial is never the best."""
    name = _COUNTED[trial.status]
    names = study.timings.keys() | trial.timings.keys()
    timings = {one: round(study.timings.get(one, 0.0) + trial.timings.get(one, 0.0), 6) for one in sorted(names)}
    changes = {"running": study.running - 1, name: getattr(study, name) + 1, "timings": timings}
    if trial.status in RANKED and is_better(study, trial.value):
        assert trial.value is not None
        changes["best"] = BestTrial(trial=trial.trial, job_id=trial.job_id, value=trial.value, params=trial.params)
    return changes
