"""The answers of all calls as structs, encoded to JSON. OpenAPI is made from these types."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from aiohttp import web
from msgspec import UNSET, Struct, UnsetType

from traind.service.executor.base import ClusterInfo
from traind.service.jobs.job import Job
from traind.service.results import Alias, Comparison, Dataset, JobFile, Score
from traind.trainer.contract.events import AnyEvent, Status

encode = msgspec.json.Encoder().encode


def answer(struct: Struct, status: int = 200) -> web.Response:
    """Return an answer as JSON."""
    return web.Response(status=status, body=encode(struct), content_type="application/json")


def facts(values: Mapping[str, Any]) -> web.Response:
    """Return a mapping from the service as JSON, with `ok`."""
    return web.Response(body=encode({"ok": True, **values}), content_type="application/json")


class Answer(Struct, frozen=True, kw_only=True):
    """The base of every answer that is no error."""

    ok: Literal[True] = True
    """Always true: an error has another shape."""


class Accepted(Answer, frozen=True, kw_only=True):
    """The job is recorded durably."""

    job_id: str
    """Id of the job."""
    pid: int | None
    """Id of the worker process; null while none works on the job."""
    status: Status
    """State that the job is in."""


class DryRunAnswer(Answer, frozen=True, kw_only=True):
    """What a job would do; nothing is trained."""

    rows: dict[str, int]
    """Rows of each part: train, validation, test."""
    task: str
    """The task: regression, binary or multiclass."""
    task_reason: str
    """Why it is that task."""
    target: str
    """The column that is predicted."""
    schema: dict[str, Any]
    """Each column's kind and role with the evidence, labels, warnings."""
    warnings: list[dict[str, Any]]
    """Warnings about the table."""
    recipe: dict[str, Any]
    """Every hyperparameter that would be chosen."""
    parameters: int
    """Number of learned parameters."""
    epochs: int
    """Passes over the rows, at most."""
    steps: int
    """Gradient steps, at most."""
    seconds: float
    """Estimated duration of the steps on this machine, in seconds."""
    memory_bytes: int
    """Estimated memory of the job beside the process itself, in bytes."""


class VerbAnswer(Answer, frozen=True, kw_only=True):
    """The job as it stood when the verb was recorded."""

    job_id: str
    """Id of the job."""
    status: Status
    """State that the job was in when the verb was recorded."""


class ControlAnswer(Answer, frozen=True, kw_only=True):
    """A recorded change of a running job's settings, with the step from which it applies."""

    job_id: str
    """Id of the job."""
    status: Status
    """State that the job is in."""
    number: int
    """Number of the change in the job, from 1."""
    step: int | None
    """Gradient steps taken before it was applied; null: it waits, and a `control` event will say the step."""


class StatusAnswer(Answer, frozen=True, kw_only=True):
    """One job."""

    status: Job
    """The job."""


class JobsAnswer(Answer, frozen=True, kw_only=True):
    """Jobs, newest first; `next` is the `after` of the next page."""

    jobs: list[Job]
    """The jobs, newest first unless sorted otherwise."""
    next: str | int | None
    """The `after` of the next page; null on the last one."""


class EventsAnswer(Answer, frozen=True, kw_only=True):
    """Events in order; `last_seq` is the job's newest, shown or not."""

    events: list[AnyEvent]
    """The events, in order."""
    last_seq: int
    """Number of the job's newest event, shown or not."""


class LogsAnswer(Answer, frozen=True, kw_only=True):
    """What the job's process printed."""

    job_id: str
    """Id of the job."""
    logs: str
    """The end of what the job's process printed; with `after`, what it printed since."""
    next: str
    """The `after` that asks for what is printed from here on."""


class FilesAnswer(Answer, frozen=True, kw_only=True):
    """Files that the job's trainer wrote, by name; `next` is the `after` of the next page."""

    job_id: str
    """Id of the job."""
    files: list[JobFile]
    """The files, by name."""
    next: str | None
    """The `after` of the next page; null on the last one."""


class PredictionAnswer(Answer, frozen=True, kw_only=True):
    """One prediction a row; for classes the probability of each label too."""

    job_id: str
    """Job whose model predicted them; for an alias the job it pointed at."""
    predictions: list[Any]
    """One prediction a row, labels as in the training file."""
    probabilities: list[dict[str, float]] | UnsetType = UNSET
    """For classes, the probability of each label a row, 0 to 1."""
    labels: list[str] | UnsetType = UNSET
    """Predicted classes as texts, where they are numbers or booleans."""
    notes: list[list[str]] | UnsetType = UNSET
    """Why a prediction is less certain, by row: clamped, unseen, outside of the training rows, missing."""
    noted: dict[str, int] | UnsetType = UNSET
    """Rows with a note, by its kind."""


class Deleted(Answer, frozen=True, kw_only=True):
    """It is removed, with its files."""


class ErrorDetail(Struct, frozen=True):
    """One problem. Some errors have further fields."""

    loc: str | UnsetType = UNSET
    """The field, parameter or column: `model.hidden.2`."""
    msg: str | UnsetType = UNSET
    """What is wrong with it, in a sentence for people."""
    line: int | UnsetType | None = UNSET
    """Line in the file, from 1, of a wrong cell."""
    column: str | UnsetType | None = UNSET
    """Column in the file of a wrong cell."""
    value: str | UnsetType | None = UNSET
    """The wrong cell's text in the file."""


class ErrorBody(Struct, frozen=True):
    """An error, for programs (`code`) and for people."""

    code: str
    """Stable code of the error, in snake_case: docs/errors.md lists them."""
    message: str
    """What happened, in a sentence for people."""
    hint: str | None
    """What to do about it; null: unknown."""
    details: list[ErrorDetail]
    """Every problem, with its field."""


class ErrorAnswer(Struct, frozen=True):
    """The answer of every error."""

    ok: Literal[False]
    """Always false."""
    error: ErrorBody
    """The error."""


class Series(Struct, frozen=True):
    """One curve."""

    step: list[int]
    """Gradient steps of the points, over all attempts."""
    value: list[float | None]
    """Values at these steps; null where one is not finite."""


class CurveAnswer(Answer, frozen=True, kw_only=True):
    """A job's curves, thinned, rewound where an attempt was resumed, up to event `last_seq`."""

    job_id: str
    """Id of the job."""
    last_seq: int
    """Number of the job's newest event, shown or not."""
    series: dict[str, Series]
    """The curves by name, or those that were asked for."""
    names: list[str]
    """Names of all curves that the job has."""
    seconds: Series
    """Seconds of running at each step, over all attempts; pauses and what nobody worked are not counted."""
    epochs: list[dict[str, Any]]
    """The epochs that ended, with their metrics."""
    attempts: list[dict[str, Any]]
    """Resumed attempts, with the step that each went on from."""
    status: Job | UnsetType = UNSET
    """The job, where it was asked for with `status=true`."""


class DatasetAnswer(Answer, frozen=True, kw_only=True):
    """One data set."""

    dataset: Dataset
    """The data set."""


class DatasetsAnswer(Answer, frozen=True, kw_only=True):
    """Data sets by name, in short; `next` is the `after` of the next page."""

    datasets: list[Dataset]
    """Every data set, by name."""
    next: str | None
    """The `after` of the next page; null on the last one."""


class AliasNow(Struct, frozen=True):
    """The job that an alias points at."""

    job_id: str
    """Id of the job."""
    since: float
    """Since when, in seconds since 1970 (UTC)."""


class AliasesAnswer(Answer, frozen=True, kw_only=True):
    """Every alias."""

    aliases: dict[str, AliasNow]
    """Every alias by name."""


class AliasAnswer(Answer, frozen=True, kw_only=True):
    """The job that an alias points at now, and the scores that decided it."""

    name: str
    """The alias."""
    job_id: str
    """Id of the job."""
    is_moved: bool = True
    """False: it pointed at that job before."""
    comparison: Comparison | UnsetType = UNSET
    """The scores that decided it; absent where there was no condition."""


class AliasHistoryAnswer(Answer, frozen=True, kw_only=True):
    """An alias and its moves, oldest first."""

    alias: Alias
    """The alias."""


class ScoreAnswer(Answer, frozen=True, kw_only=True):
    """How good a model is on a labelled table."""

    score: Score
    """The score."""


class SlotsInUse(Struct, frozen=True):
    """Slots in use and in all."""

    busy: int
    """Jobs that train."""
    total: int
    """Jobs that can train at once."""


class HealthAnswer(Answer, frozen=True, kw_only=True):
    """The health of the server."""

    version: str
    """Version of traind."""
    slots: SlotsInUse
    """Slots in use and in all."""
    queued: int
    """Jobs that wait."""
    uptime_s: float
    """Seconds since the service started."""
    is_ready: bool
    """Whether jobs that are submitted now will run."""
    problems: list[str]
    """Present problems, in sentences."""
    cluster: ClusterInfo | None = None
    """The machines of a Ray cluster; null: this one alone."""


class PreviewAnswer(Answer, frozen=True, kw_only=True):
    """The first rows of a data set and the summary of each column."""

    columns: list[Any]
    """The columns with their summaries."""
    rows: list[Any]
    """The first rows, as lists of cells."""
