"""The end of a trial from the end of its job, and of a study from the ends of its trials. Pure functions."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import structs

from traind.service.jobs.job import Job, scores
from traind.service.studies.events import AnyStudyEvent, TrialEnded, TrialStatus
from traind.service.studies.study import RANKED, BestTrial, Study, Trial, is_better
from traind.trainer.contract.events import Failure, Status

Values = list[float | None]
HOPELESS = 10  # if this many first trials all failed, the study fails
KEEPS_MODEL = frozenset({Status.COMPLETED, Status.STOPPED})
CANCELLED = "cancelled"
TOO_LATE = Failure(
    code="timed_out",
    message="The study's time was over before a trial had a value.",
    hint="Give it more max_seconds.",
)
_SHORT = 500  # characters of a job's own message


def ended(study: Study, trial: Trial, job: Job, values: Values, pruned_at: int | None) -> TrialEnded:
    """Return the end of a trial whose job is over."""
    value = _value(study, job, values)
    error = None if value is not None else _why_no_value(study, job)
    status = TrialStatus.COMPLETED if job.status is Status.COMPLETED else TrialStatus.STOPPED
    if pruned_at is not None:  # regardless of later events
        values = trial.values if len(values) < pruned_at else values
        status, value, error = TrialStatus.PRUNED, values[pruned_at - 1], None
    elif error is not None:
        status = TrialStatus.FAILED
    return TrialEnded(
        trial=trial.trial,
        job_id=trial.job_id,
        status=status,
        value=value,
        values=values,
        epochs=job.epoch,
        error=error,
        timings=job.timings,
    )


def refused(trial: Trial, error: Any) -> TrialEnded:
    """Return the end of a trial whose job was refused."""
    failure = Failure(code=error.code, message=error.message, hint=error.hint)
    return TrialEnded(trial=trial.trial, job_id=trial.job_id, status=TrialStatus.FAILED, error=failure)


def with_best(study: Study, events: Iterable[AnyStudyEvent]) -> list[AnyStudyEvent]:
    """Return the events, with ends of best trials so far marked."""
    marked: list[AnyStudyEvent] = []
    for event in events:
        if isinstance(event, TrialEnded) and event.status in RANKED and is_better(study, event.value):
            assert event.value is not None
            best = BestTrial(trial=event.trial, job_id=event.job_id, value=event.value, params={})
            study = structs.replace(study, best=best)
            marked.append(structs.replace(event, is_best=True))
        else:
            marked.append(event)
    return marked


def values_of(study: Study, job: Job, heard: Mapping[int, float | None]) -> Values:
    """Return the metric after each epoch, without gaps: from the job's report, else from its events."""
    kept = job.report.get("monitored", {})
    if kept.get("monitor") == study.metric:
        return list(kept["values"])
    return without_gap(heard)


def without_gap(heard: Mapping[int, float | None]) -> Values:
    """Return the values of epochs 1, 2, 3 ... up to the first missing one."""
    values: Values = []
    while len(values) + 1 in heard:
        values.append(heard[len(values) + 1])
    return values


def commonest(trials: Iterable[Trial]) -> Failure:
    """Return the most frequent reason for which trials failed."""
    errors = [trial.error for trial in trials if trial.error is not None]
    counted = Counter((error.code, error.message) for error in errors)
    (code, message), count = counted.most_common(1)[0]
    hint = next(error.hint for error in errors if (error.code, error.message) == (code, message))
    said = f"All {len(errors)} trials failed" if len(errors) > 1 else "The only trial failed"
    most = f", {count} of them so" if count < len(errors) else ""
    return Failure(code=code, message=f"{said}{most}: {message}", hint=hint)


def is_hopeless(study: Study) -> bool:
    """Return whether at least `HOPELESS` trials have ended and all failed."""
    return study.failed >= HOPELESS and study.failed == study.ended


def _value(study: Study, job: Job, values: Values) -> float | None:
    """Return a job's metric on the validation rows, of its finished model or of its best epoch.

    A job that is cancelled, or failed without a model, has none: its trial could not be predicted with.
    """
    if job.status not in KEEPS_MODEL and job.model is None:
        return None
    found = scores(job).get(study.metric)
    if isinstance(found, int | float):
        return float(found)
    known = [value for value in values if value is not None]
    return (max if study.is_higher_better else min)(known, default=None)


def _why_no_value(study: Study, job: Job) -> Failure:
    if job.error is not None:
        message = job.error.message[:_SHORT]
        return Failure(code=job.error.code, message=message, hint=job.error.hint)
    if job.status is Status.CANCELLED:
        return Failure(code=CANCELLED, message="The job was cancelled.")
    known: Sequence[str] = sorted(scores(job))
    reported = f"it reported {', '.join(known[:20])}" if known else "it reported none"
    return Failure(
        code="no_metric",
        message=f"The trial reported no {study.metric!r}; {reported}.",
        hint="A trainer of your own reports it by run.end_epoch(metrics=...) or run.finish(metrics=...).",
    )
