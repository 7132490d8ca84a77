"""Every call of the interface as one table: path, handler, types, errors. The router and OpenAPI are made from it.

A call that is not in the table does not exist; one that is in it is guarded, described and tested.
"""

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from aiohttp.typedefs import Handler

from traind.data import errors as data
from traind.service import errors as service
from traind.service.engine.edits import Edit
from traind.service.http import datasets, events, health, models, schemas, train, ws
from traind.service.http import errors as http
from traind.trainer.contract import errors as trainer

JSON: Final = "application/json"
ANYTHING: Final = "application/octet-stream"
TEXT: Final = "text/plain"
Errors = tuple[type[Exception], ...]
SIDE: Final = (service.SideWorkerFailed, service.SideWorkerBusy)
PREDICT: Final = (service.JobNotFound, service.ModelNotReady, *SIDE, trainer.ModelDamaged)
ACCEPT: Final = (service.NoSuchDevice, service.QueueFull, service.DiskLow, service.StoreFailed)


class Header(NamedTuple):
    """A header that a call reads: what it is for, and its form."""

    description: str
    pattern: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    handler: Handler
    summary: str
    group: str
    query: type[Any] = schemas.NoQuery
    body: type[Any] | None = None  # JSON of this type
    upload: tuple[str, ...] = ()  # the content types that a raw file is taken as
    answer: type[Any] | None = None  # JSON of this type
    media: dict[str, str] = field(default_factory=dict)  # other kinds of answer: content type to what it is
    status: int = 200
    more_statuses: dict[int, str] = field(default_factory=dict)
    more_answers: dict[int, type[Any]] = field(default_factory=dict)  # of those statuses: JSON of this type
    errors: Errors = ()
    headers: dict[str, Header] = field(default_factory=dict)  # that the call reads
    example: Any = None
    is_open: bool = False  # asks for no token
    is_for_viewers: bool | None = None  # whether a viewer's token may do it; None: where it is a GET
    is_websocket: bool = False


OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation(
        method="POST",
        path="/api/train",
        handler=train.create,
        summary="Train a model",
        group="jobs",
        query=schemas.TrainQuery,
        body=schemas.SubmitRequest,
        answer=schemas.Accepted,
        status=202,
        more_statuses={200: "With dry_run=true: what the job would do; nothing is trained"},
        more_answers={200: schemas.DryRunAnswer},
        errors=(
            data.DatasetNotFound,
            data.BadTable,
            service.IdTaken,
            *ACCEPT,
            *SIDE,
            trainer.TrainerError,
        ),
        example={"epochs": 3, "batch_size": 16, "lr": 0.01},
    ),
    Operation(
        method="GET",
        path="/api/train/status",
        handler=train.status,
        summary="One job",
        group="jobs",
        query=schemas.JobQuery,
        answer=schemas.StatusAnswer,
        errors=(service.JobNotFound,),
    ),
    Operation(
        method="GET",
        path="/api/train/jobs",
        handler=train.jobs,
        summary="Jobs: which ones, and in which order",
        group="jobs",
        query=schemas.JobsQuery,
        answer=schemas.JobsAnswer,
    ),
    Operation(
        method="POST",
        path="/api/train/stop",
        handler=train.stop,
        summary="End a job and keep its best model so far",
        group="jobs",
        body=schemas.JobRequest,
        answer=schemas.VerbAnswer,
        errors=(service.JobNotFound, service.JobFinished, service.StoreFailed),
        example={"job_id": "job_1234567890123_abc123"},
    ),
    Operation(
        method="POST",
        path="/api/train/pause",
        handler=train.pause,
        summary="Free a job's slot and keep its place",
        group="jobs",
        body=schemas.JobRequest,
        answer=schemas.VerbAnswer,
        errors=(service.JobNotFound, service.JobFinished, service.StoreFailed),
        example={"job_id": "job_1234567890123_abc123"},
    ),
    Operation(
        method="POST",
        path="/api/train/cancel",
        handler=train.cancel,
        summary="End a job and keep nothing but its record",
        group="jobs",
        body=schemas.JobRequest,
        answer=schemas.VerbAnswer,
        errors=(service.JobNotFound, service.JobFinished, service.StoreFailed),
        example={"job_id": "job_1234567890123_abc123"},
    ),
    Operation(
        method="POST",
        path="/api/train/resume",
        handler=train.resume,
        summary="Let a paused, stopped or failed job go on, or a completed one for more epochs",
        group="jobs",
        body=schemas.ResumeRequest,
        answer=schemas.VerbAnswer,
        errors=(service.JobNotFound, service.NotResumable, service.JobNotFinished, *ACCEPT),
        example={"job_id": "job_1234567890123_abc123", "epochs": 6},
    ),
    Operation(
        method="PATCH",
        path="/api/train/jobs/{job_id}",
        handler=train.edit,
        summary="Change a job's name, tags, notes, or, while it waits, its priority",
        group="jobs",
        body=Edit,
        answer=schemas.StatusAnswer,
        errors=(service.JobNotFound, service.NotWaiting, service.StoreFailed),
        example={"name": "houses, second try", "tags": ["nightly"]},
    ),
    Operation(
        method="DELETE",
        path="/api/train/jobs/{job_id}",
        handler=train.delete,
        summary="Remove a job that is over, with its files and its model",
        group="jobs",
        answer=schemas.Deleted,
        errors=(service.JobNotFound, service.JobNotFinished, service.StoreFailed),
    ),
    Operation(
        method="GET",
        path="/api/train/events",
        handler=events.events,
        summary="A job's events: a page as JSON, or a stream to who accepts text/event-stream",
        group="events",
        query=schemas.EventsQuery,
        answer=schemas.EventsAnswer,
        media={"text/event-stream": "each event as `data:`, its seq as `id:`"},
        more_statuses={204: "A stream that has been read to the end of its job"},
        errors=(service.JobNotFound, service.CursorAhead, http.TooManyStreams),
        headers={"Last-Event-ID": Header("the last seq that was seen; asks for a stream", "^[0-9]{1,15}$")},
    ),
    Operation(
        method="GET",
        path="/api/train/ws",
        handler=ws.connect,
        summary="A websocket: one job's events, or the states of all jobs",
        group="events",
        query=schemas.SocketQuery,
        is_websocket=True,
        errors=(service.JobNotFound, service.CursorAhead, http.TooManyStreams, http.BadRequest),
    ),
    Operation(
        method="GET",
        path="/api/train/logs",
        handler=train.logs,
        summary="The end of what a job's process wrote",
        group="jobs",
        query=schemas.LogsQuery,
        answer=schemas.LogsAnswer,
        errors=(service.JobNotFound,),
    ),
    Operation(
        method="GET",
        path="/api/train/curve",
        handler=train.curve,
        summary="A job's curves, thinned for drawing",
        group="events",
        query=schemas.CurveQuery,
        answer=schemas.CurveAnswer,
        errors=(service.JobNotFound,),
    ),
    Operation(
        method="GET",
        path="/api/models/aliases",
        handler=models.aliases,
        summary="Every alias, and the job it means",
        group="models",
        answer=schemas.AliasesAnswer,
    ),
    Operation(
        method="PUT",
        path="/api/models/aliases/{name}",
        handler=models.put_alias,
        summary="Let an alias mean a job's model, or only if it is better",
        group="models",
        body=schemas.AliasRequest,
        answer=schemas.AliasAnswer,
        errors=(
            *PREDICT,
            service.StoreFailed,
            service.NotBetter,
            data.DatasetNotFound,
            data.BadTable,
            trainer.TrainerError,
        ),
        example={"job_id": "job_1234567890123_abc123"},
    ),
    Operation(
        method="GET",
        path="/api/models/aliases/{name}",
        handler=models.alias,
        summary="An alias, and the jobs it has meant",
        group="models",
        answer=schemas.AliasHistoryAnswer,
        errors=(service.InvalidSpec, service.AliasNotFound),
    ),
    Operation(
        method="DELETE",
        path="/api/models/aliases/{name}",
        handler=models.delete_alias,
        summary="Let an alias mean nothing",
        group="models",
        answer=schemas.Deleted,
        errors=(service.InvalidSpec, service.StoreFailed),
    ),
    Operation(
        method="GET",
        path="/api/models/{job_id}",
        handler=models.download,
        summary="A finished model's file",
        group="models",
        media={ANYTHING: "the file, as torch.load(weights_only=True) reads it"},
        more_statuses={
            206: "A range of the file",
            304: "The client has it",
            412: "It has changed",
            416: "No such range",
        },
        errors=(service.JobNotFound, service.ModelNotReady),
    ),
    Operation(
        method="POST",
        path="/api/models/{job_id}/predict",
        handler=models.predict,
        is_for_viewers=True,
        summary="One prediction a row; of a raw table as the body, the table with its predictions as CSV",
        group="models",
        query=schemas.UploadQuery,
        body=schemas.PredictRequest,
        upload=(*(kind for kind, form in datasets.FORMATS.items() if form), ANYTHING),
        answer=schemas.PredictionAnswer,
        media={"text/csv": "of a table: its columns, `prediction`, and for classes `probability_<label>`"},
        errors=(*PREDICT, service.PredictionFailed, data.BadTable, data.DatasetTooLarge, service.DiskLow),
        example={"rows": [{"x1": 0.5, "x2": -1, "x3": 0, "x4": None, "x5": "2.5", "x6": 0, "x7": 0, "x8": 0}]},
    ),
    Operation(
        method="POST",
        path="/api/models/{job_id}/evaluate",
        handler=models.evaluate,
        summary="How good a model is on a labelled table: a registered data set, or the raw file as the body",
        group="models",
        query=schemas.UploadQuery,
        body=schemas.EvaluateRequest,
        upload=(*(kind for kind, form in datasets.FORMATS.items() if form), ANYTHING),
        answer=schemas.ScoreAnswer,
        errors=(
            *PREDICT,
            data.DatasetNotFound,
            data.DatasetTooLarge,
            data.BadTable,
            service.DiskLow,
            trainer.TrainerError,
        ),
        example={"dataset": "houses"},
    ),
    Operation(
        method="GET",
        path="/api/models/{job_id}/export",
        handler=models.export,
        summary="A finished model as ONNX or safetensors, verified against the original",
        group="models",
        query=schemas.ExportQuery,
        media={ANYTHING: "the file"},
        more_statuses={
            206: "A range of the file",
            304: "The client has it",
            412: "It has changed",
            416: "No such range",
        },
        errors=(*PREDICT, trainer.TrainerError),
    ),
    Operation(
        method="GET",
        path="/api/datasets",
        handler=datasets.list_all,
        summary="Data sets by name, in short",
        group="data sets",
        query=schemas.DatasetsQuery,
        answer=schemas.DatasetsAnswer,
    ),
    Operation(
        method="PUT",
        path="/api/datasets/{name}",
        handler=datasets.put,
        summary="Register a table: CSV, TSV, JSONL (each plain or gz) or Parquet, as the raw body",
        group="data sets",
        query=schemas.UploadQuery,
        upload=(*(kind for kind, form in datasets.FORMATS.items() if form), ANYTHING),
        answer=schemas.DatasetAnswer,
        errors=(data.InvalidName, data.DatasetTooLarge, data.BadTable, service.DiskLow, *SIDE),
    ),
    Operation(
        method="GET",
        path="/api/datasets/{name}",
        handler=datasets.get,
        summary="One data set",
        group="data sets",
        query=schemas.DatasetQuery,
        answer=schemas.DatasetAnswer,
        errors=(data.DatasetNotFound,),
    ),
    Operation(
        method="DELETE",
        path="/api/datasets/{name}",
        handler=datasets.delete,
        summary="Remove a data set that no unfinished job uses",
        group="data sets",
        answer=schemas.Deleted,
        errors=(data.DatasetNotFound, data.DatasetInUse),
    ),
    Operation(
        method="GET",
        path="/api/datasets/{name}/preview",
        handler=datasets.preview,
        summary="The first rows of a data set, its columns and their summary",
        group="data sets",
        query=schemas.PreviewQuery,
        answer=schemas.PreviewAnswer,
        errors=(data.DatasetNotFound, data.BadTable, *SIDE),
    ),
    Operation(
        method="GET",
        path="/health",
        handler=health.health,
        summary="Whether the server lives",
        group="server",
        answer=schemas.HealthAnswer,
        is_open=True,
    ),
    Operation(
        method="GET",
        path="/api/health",
        handler=health.health,
        summary="Whether the server lives; with `ready`, whether it takes jobs",
        group="server",
        query=schemas.HealthQuery,
        answer=schemas.HealthAnswer,
        more_statuses={503: "Asked for readiness: jobs would wait, `problems` says why"},
        is_open=True,
    ),
    Operation(
        method="GET",
        path="/metrics",
        handler=health.metrics,
        summary="Figures for Prometheus",
        group="server",
        media={TEXT: "the Prometheus text format"},
    ),
)
