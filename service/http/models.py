"""The calls about finished models: download, predict, evaluate, export."""

import asyncio
import shutil
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from msgspec import UNSET, UnsetType

from traind.data import errors as data
from traind.service import errors as service
from traind.service.errors import ModelNotReady, ServiceError
from traind.service.http.bodies import check, read_as, read_by, read_query
from traind.service.http.callers import while_connected
from traind.service.http.context import EXPORTS, KILOBYTE, LIMITS, SERVICE, Exports
from traind.service.http.datasets import FORMATS, read_table
from traind.service.http.errors import InvalidJson
from traind.service.http.files import ANY_BYTES, attached
from traind.service.http.operation import PREDICT, RANGES, Operation
from traind.service.http.requests import (
    EvaluateRequest,
    ExportQuery,
    Level,
    PredictRequest,
)
from traind.service.http.schemas import (
    PredictionAnswer,
    ScoreAnswer,
    answer,
)
from traind.service.http.upload_query import PredictQuery, UploadQuery
from traind.service.threads import in_thread
from traind.service.validation.explain import Problem
from traind.service.validation.validate import MALFORMED, reason, refusal
from traind.trainer.contract.errors import TrainerError

TABLES = frozenset(kind for kind, form in FORMATS.items() if form) | {ANY_BYTES}
NAMED_BYTES = 64 * KILOBYTE  # in bodies up to this size all problems are named


async def download(request: web.Request) -> web.StreamResponse:
    """Send a finished model's file; ranges and conditional requests work."""
    path = await request.app[SERVICE].model_path(request.match_info["job_id"])
    return _send(path, f"{path.stem}.pt")


async def predict(request: web.Request) -> web.StreamResponse:
    """Answer one prediction a row as JSON; for a raw table as the body, a CSV file.

    The side worker decodes the cells and encodes the predictions, which may be many.
    """
    query = read_query(request, PredictQuery)
    interval = None if query.interval is UNSET else query.interval
    if _is_table(request):
        table, form = read_table(request, query)
        job_id = request.match_info["job_id"]
        making = request.app[SERVICE].predict_table(job_id, table, form, interval=interval)
        return await _made(request, making, f"{job_id}-predictions.csv", "text/csv")
    data = await read_by(request, _data, limit=request.app[LIMITS].predict_bytes)
    data["interval"] = interval if data["interval"] is None else data["interval"]
    predicting = request.app[SERVICE].predict_json(request.match_info["job_id"], **data)
    answered = await while_connected(request, predicting)
    if isinstance(answered, bytes):
        return web.Response(body=answered, content_type="application/json")
    try:
        request.app[EXPORTS].take()
    except ServiceError:
        await in_thread(shutil.rmtree, answered.parent, True)
        raise
    return FileOnce(answered, request.app[EXPORTS], attached(answered.name, "application/json"))


def _data(body: bytes) -> dict[str, Any]:
    """Return a body's rows or columns as undecoded JSON, and its interval; of a large one only the first problem."""
    if len(body) <= NAMED_BYTES:
        check(body, PredictRequest)
    try:
        parts = msgspec.json.decode(body, type=_Parts)
    except msgspec.ValidationError as error:
        raise refusal([Problem("", f"is not rows or columns: {error}")], "The body") from None
    except MALFORMED as error:
        raise InvalidJson(f"The body is not valid JSON: {reason(error)}.") from None
    if (parts.rows is UNSET) == (parts.columns is UNSET):
        raise refusal([Problem("rows", "or columns must be given, and not both")])
    data = {name: bytes(part) for name in ("rows", "columns") if (part := getattr(parts, name)) is not UNSET}
    return {"interval": None if parts.interval is UNSET else parts.interval, **data}


class _Parts(msgspec.Struct, forbid_unknown_fields=True):
    rows: msgspec.Raw | UnsetType = UNSET
    columns: msgspec.Raw | UnsetType = UNSET
    interval: Level | UnsetType | None = UNSET


async def export(request: web.Request) -> web.StreamResponse:
    """Make an export, send it and remove it."""
    query = read_query(request, ExportQuery)
    making = request.app[SERVICE].export(request.match_info["job_id"], query.format)
    return await _made(request, making)


async def _made(
    request: web.Request, making: Coroutine[Any, Any, Path], name: str | None = None, content_type: str = ANY_BYTES
) -> web.FileResponse:
    """Return a response that sends the file of `making`; the number of these at once is limited."""
    exports = request.app[EXPORTS]
    try:
        exports.take()
    except ServiceError:
        making.close()
        raise
    try:
        path = await while_connected(request, making)
    except BaseException:
        exports.give_back()
        raise
    return FileOnce(path, exports, attached(name or path.name, content_type))


class FileOnce(web.FileResponse):
    """Sends a file, then removes its folder and frees its place among the exports."""

    def __init__(self, path: Path, exports: Exports, headers: dict[str, str]) -> None:
        super().__init__(path, headers=headers)
        self._exports = exports

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the file and remove it, sent or not."""
        try:
            return await super().prepare(request)
        finally:
            self._exports.give_back()
            await asyncio.to_thread(shutil.rmtree, self._path.parent, ignore_errors=True)


def _is_table(request: web.Request) -> bool:
    """Return whether the content type is a table's: no form of another site can send these."""
    return request.content_type in TABLES and bool(request.headers.get(hdrs.CONTENT_TYPE))


def _send(path: Path, name: str) -> web.FileResponse:
    """Return a response that sends a model's file; a link in its place is not followed."""
    if path.is_symlink():
        raise ModelNotReady("The model's file is a link, and is not sent.")
    return web.FileResponse(path, headers=attached(name))


async def evaluate(request: web.Request) -> web.Response:
    """Evaluate a model on the data set that a JSON body names, or on the raw table in the body."""
    service, model = request.app[SERVICE], request.match_info["job_id"]
    if _is_table(request):
        table, form = read_table(request)
        scoring = service.evaluate(model, table, format=form)
    else:
        read_query(request, UploadQuery)
        wanted = await read_as(request, EvaluateRequest)
        scoring = service.evaluate(model, dataset=wanted.dataset)
    return answer(ScoreAnswer(score=await while_connected(request, scoring)))


OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation(
        method="GET",
        path="/api/models/{job_id}",
        handler=download,
        summary="A finished model's file",
        group="models",
        media={ANY_BYTES: "the file, as torch.load(weights_only=True) reads it"},
        more_statuses=RANGES,
        errors=(service.JobNotFound, service.ModelNotReady),
    ),
    Operation(
        method="POST",
        path="/api/models/{job_id}/predict",
        handler=predict,
        is_for_viewers=True,
        summary="One prediction a row; of a raw table as the body, the table with its predictions as CSV",
        group="models",
        query=PredictQuery,
        body=PredictRequest,
        upload=(*(kind for kind, form in FORMATS.items() if form), ANY_BYTES),
        answer=PredictionAnswer,
        media={
            "text/csv": "for a table: its columns, `prediction`, ends of intervals, of classes `probability_<label>`"
        },
        errors=(*PREDICT, service.PredictionFailed, data.BadTable, data.DatasetTooLarge, service.DiskLow),
        example={"rows": [{"x1": 0.5, "x2": -1, "x3": 0, "x4": None, "x5": "2.5", "x6": 0, "x7": 0, "x8": 0}]},
    ),
    Operation(
        method="POST",
        path="/api/models/{job_id}/evaluate",
        handler=evaluate,
        summary="Evaluate a model on a labelled table: a registered data set, or the raw file as the body",
        group="models",
        query=UploadQuery,
        body=EvaluateRequest,
        upload=(*(kind for kind, form in FORMATS.items() if form), ANY_BYTES),
        answer=ScoreAnswer,
        errors=(
            *PREDICT,
            data.DatasetNotFound,
            data.DatasetTooLarge,
            data.BadTable,
            service.DiskLow,
            TrainerError,
        ),
        example={"dataset": "houses"},
    ),
    Operation(
        method="GET",
        path="/api/models/{job_id}/export",
        handler=export,
        summary="A finished model as ONNX or safetensors, verified against the original",
        group="models",
        query=ExportQuery,
        media={ANY_BYTES: "the file"},
        more_statuses=RANGES,
        errors=(*PREDICT, TrainerError),
    ),
)
