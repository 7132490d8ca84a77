"""The JSON of every call: what is sent and what is answered. OpenAPI is made from these types.

Answers are built by constructor and encoded once; queries and bodies are checked by `validate.parse`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, Struct, UnsetType

from traind.service.executor.base import ClusterInfo
from traind.service.jobs.job import Job
from traind.service.jobs.listing import Listing, Named, OfDataset, OfStudy, OfTrainer, Sort, Tag
from traind.service.results import Alias, Comparison, Dataset, IfBetter, Score
from traind.trainer.contract.events import AnyEvent, Status
from traind.trainer.contract.spec import ColumnName, DatasetName, TrainSpec

encode = msgspec.json.Encoder().encode
AnyJobId = Annotated[str, Meta(min_length=1, max_length=200, description="id of a job")]


def answer(struct: Struct, status: int = 200) -> web.Response:
    """Return an answer as JSON."""
    return web.Response(status=status, body=encode(struct), content_type="application/json")


def facts(values: Mapping[str, Any]) -> web.Response:
    """Return an answer of the service that is a mapping already."""
    return web.Response(body=encode({"ok": True, **values}), content_type="application/json")


_STATE = "|".join(Status)
_STATES = f"one of {', '.join(Status)}, or several by commas"
States = Annotated[str, Meta(pattern=rf"^({_STATE})(,({_STATE}))*\Z", max_length=200, description=_STATES)]


class Answer(Struct, frozen=True, kw_only=True):
    """What every good answer has."""

    ok: Literal[True] = True


class JobRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Which job a verb is for."""

    job_id: AnyJobId


class ResumeRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Which job goes on, and for how many epochs in all where that changes."""

    job_id: AnyJobId
    epochs: Annotated[int, Meta(ge=1, le=100_000)] | None = None


Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Cell = str | Whole | float | bool | list[Any] | dict[str, Any] | None


class PredictRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Rows as objects by column, or columns as lists; one of the two. Columns beyond the model's do not matter."""

    rows: list[dict[ColumnName, Cell]] | UnsetType = UNSET
    columns: dict[ColumnName, list[Cell]] | UnsetType = UNSET


class JobQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """One job."""

    job_id: AnyJobId


class TrainQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether to train, or only to say what would be done."""

    dry_run: Annotated[bool, Meta(description="answer what would be done, and train nothing")] = False


_AFTER = r"^(([-+.0-9e]{1,30}|none):)?[0-9]{1,16}\Z"
After = Annotated[str, Meta(pattern=_AFTER, max_length=48, description="`next` of the page before")]


class JobsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which page of jobs."""

    status: States | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100
    after: After | UnsetType = UNSET
    tag: Tag | UnsetType = UNSET
    dataset: OfDataset | UnsetType = UNSET
    name: Named | UnsetType = UNSET
    trainer: OfTrainer | UnsetType = UNSET
    study: OfStudy | UnsetType = UNSET
    sort: Sort | UnsetType = UNSET

    @property
    def filters(self) -> dict[str, str]:
        """Which jobs, and in which order."""
        asked = {name: getattr(self, name) for name in Listing.__struct_fields__}
        return {name: value for name, value in asked.items() if value is not UNSET}


class EventsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which events of a job."""

    job_id: AnyJobId
    after: Annotated[int, Meta(ge=0, le=2**53, description="the last seq that was seen")] = 0
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 1_000


class SocketQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """One job's events, or without `job_id` the states of all."""

    job_id: AnyJobId | UnsetType = UNSET
    after: Annotated[int, Meta(ge=0, le=2**53, description="the last seq that was seen")] = 0


class LogsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """How much of a job's output, from its end."""

    job_id: AnyJobId
    limit_bytes: Annotated[int, Meta(ge=1, le=1_048_576)] = 65_536


class ExportQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The format of a model."""

    format: Literal["onnx", "safetensors"]


class DatasetsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which page of data sets."""

    limit: Annotated[int, Meta(ge=1, le=1_000, description="data sets in the answer, at most")] = 1_000
    after: Annotated[DatasetName, Meta(description="`next` of the page before")] | UnsetType = UNSET


class DatasetQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """From which column on."""

    columns_after: Annotated[int, Meta(ge=0, le=100_000, description="leave out so many columns")] = 0


class PreviewQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """How many rows to show."""

    rows: Annotated[int, Meta(ge=1, le=1_000)] = 20


class HealthQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`ready` asks whether jobs are taken, not only whether the server lives."""

    ready: Annotated[str, Meta(description="any value, or none, asks for readiness")] | UnsetType = UNSET


class NoQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


class Accepted(Answer, frozen=True, kw_only=True):
    """A job is on record; nothing short of a lost disk loses it now."""

    job_id: str
    pid: int | None
    status: Status


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
    """What is odd about the table."""
    recipe: dict[str, Any]
    """Every hyperparameter, as it would be chosen."""
    parameters: int
    """Numbers that are learned."""
    epochs: int
    """Passes over the rows, at most."""
    steps: int
    """Gradient steps, at most."""
    seconds: float
    """About how long the steps take here, in seconds."""
    memory_bytes: int
    """About what the job holds at once beside the process itself, in bytes."""


class VerbAnswer(Answer, frozen=True, kw_only=True):
    """The job as it stood when the verb was recorded."""

    job_id: str
    status: Status


class StatusAnswer(Answer, frozen=True, kw_only=True):
    """One job."""

    status: Job


class JobsAnswer(Answer, frozen=True, kw_only=True):
    """Jobs, newest first; `next` is the `after` of the next page."""

    jobs: list[Job]
    next: str | int | None


class EventsAnswer(Answer, frozen=True, kw_only=True):
    """Events in order; `last_seq` is the job's newest, shown or not."""

    events: list[AnyEvent]
    last_seq: int


class LogsAnswer(Answer, frozen=True, kw_only=True):
    """The end of what the job's process wrote."""

    job_id: str
    logs: str


class PredictionAnswer(Answer, frozen=True, kw_only=True):
    """One prediction a row; for classes the probability of each label too."""

    job_id: str
    """Job whose model predicted all of them; of an alias the one it meant then."""
    predictions: list[Any]
    probabilities: list[dict[str, float]] | UnsetType = UNSET
    labels: list[str] | UnsetType = UNSET
    """Predicted classes as texts, where they are numbers or booleans."""
    notes: list[list[str]] | UnsetType = UNSET
    """What each prediction rests on less than others: clamped, unseen, outside of the training rows, missing."""
    noted: dict[str, int] | UnsetType = UNSET
    """Rows with a note, by its kind."""


class Deleted(Answer, frozen=True, kw_only=True):
    """It is gone, with its files."""


class ErrorBody(Struct, frozen=True):
    """What was wrong, for programs (`code`) and for people."""

    code: str
    message: str
    hint: str | None
    details: list[dict[str, Any]]


class ErrorAnswer(Struct, frozen=True):
    """Every error, of every call."""

    ok: Literal[False]
    error: ErrorBody


class SubmitRequest(TrainSpec, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A spec, and the id that the client wants for the job: the same submit again is then the same job."""

    job_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z", max_length=64)] | None = None


class CurveQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """How fine the curves of a job are wanted."""

    job_id: AnyJobId
    points: Annotated[int, Meta(ge=10, le=5_000, description="about how many points a curve")] = 800


class Series(Struct, frozen=True):
    """One curve."""

    step: list[int]
    value: list[float | None]


class CurveAnswer(Answer, frozen=True, kw_only=True):
    """A job's curves, thinned, rewound where an attempt was resumed; `last_seq` is how far they go."""

    job_id: str
    last_seq: int
    series: dict[str, Series]
    epochs: list[dict[str, Any]]
    attempts: list[dict[str, Any]]


class DatasetAnswer(Answer, frozen=True, kw_only=True):
    """One data set."""

    dataset: Dataset


class DatasetsAnswer(Answer, frozen=True, kw_only=True):
    """Data sets by name, in short; `next` is the `after` of the next page."""

    datasets: list[Dataset]
    next: str | None


class AliasPath(Struct, frozen=True):
    """An alias in a path."""

    name: DatasetName


class AliasRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The job that an alias shall mean."""

    job_id: AnyJobId
    """Job with a finished model, or another alias of one."""
    if_better: IfBetter | None = None
    """Move only if the job's model scores better than the alias's; null: in any case."""


class EvaluateRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The registered table that a model is scored on."""

    dataset: DatasetName
    """Name of a registered data set that has the target."""


class AliasNow(Struct, frozen=True):
    """The job that an alias means, and since when (seconds since 1970)."""

    job_id: str
    since: float


class AliasesAnswer(Answer, frozen=True, kw_only=True):
    """Every alias."""

    aliases: dict[str, AliasNow]


class AliasAnswer(Answer, frozen=True, kw_only=True):
    """What an alias means now, and the scores that decided it."""

    name: str
    job_id: str
    is_moved: bool = True
    comparison: Comparison | UnsetType = UNSET


class AliasHistoryAnswer(Answer, frozen=True, kw_only=True):
    """An alias and its moves, oldest first."""

    alias: Alias


class ScoreAnswer(Answer, frozen=True, kw_only=True):
    """How good a model is on a labelled table."""

    score: Score


class SlotsInUse(Struct, frozen=True):
    """How many jobs train, and how many can."""

    busy: int
    total: int


class HealthAnswer(Answer, frozen=True, kw_only=True):
    """How the server is; `problems` says in words what keeps it from working well."""

    version: str
    slots: SlotsInUse
    queued: int
    uptime_s: float
    is_ready: bool
    problems: list[str]
    cluster: ClusterInfo | None = None
    """The machines of a Ray cluster; null: this one alone."""


class PreviewAnswer(Answer, frozen=True, kw_only=True):
    """The first rows, as they are read, and what each column holds."""

    columns: list[Any]
    rows: list[Any]
