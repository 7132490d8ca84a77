"""The requests of all calls, and the reading of their answers. No input or output."""

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

from traind.service.jobs.job import Job
from traind.service.jobs.listing import Filters
from traind.service.results import (
    Alias,
    AliasSet,
    Controlled,
    Dataset,
    DatasetPage,
    EventPage,
    FilePage,
    IfBetter,
    JobPage,
    LogPage,
    Prediction,
    Score,
)
from traind.service.webhooks.outbox import Delivery
from traind.trainer.contract.events import Status
from traind.trainer.contract.spec import TrainSpec

T = TypeVar("T")
Verb = Literal["stop", "pause", "resume", "cancel"]
Rows = Iterable[Mapping[str, Any]]

_encoder = msgspec.json.Encoder(decimal_format="number")
_DEFAULTS = msgspec.to_builtins(TrainSpec())


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request. `is_repeatable`: sending it twice has the same effect as sending it once."""

    method: str
    path: str
    read: Callable[[bytes], T]
    query: Mapping[str, object] = field(default_factory=dict)
    body: bytes | None = None
    is_repeatable: bool = True
    accept: str = "application/json"

    @property
    def target(self) -> str:
        """The path with its query."""
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path

    @property
    def headers(self) -> dict[str, str]:
        """The headers of this request, beside those of the connection."""
        accept = {"Accept": self.accept}
        return accept | ({"Content-Type": "application/json"} if self.body is not None else {})


class _Accepted(Struct):
    job_id: str


class _StatusBody(Struct):
    status: Job


class _EventsBody(Struct):
    events: list[msgspec.Raw]
    last_seq: int


class _ScoreBody(Struct):
    score: Score


class _AliasBody(Struct):
    alias: Alias


class _DeliveriesBody(Struct):
    deliveries: list[Delivery]


class _DatasetBody(Struct):
    dataset: Dataset


def submit(spec: TrainSpec | Mapping[str, Any], job_id: str | None) -> Call[str]:
    """Submit a job, without an id under a new one, so that sending it twice makes one job."""
    body = spec_values(spec) | {"job_id": job_id or new_job_id()}
    return Call("POST", "/api/train", lambda answer: _decode(answer, _Accepted).job_id, body=_encoder.encode(body))


def dry_run(spec: TrainSpec | Mapping[str, Any]) -> Call[dict[str, Any]]:
    """Ask for a dry run."""
    return Call("POST", "/api/train", _facts, query={"dry_run": "true"}, body=_encoder.encode(spec_values(spec)))


def spec_values(spec: TrainSpec | Mapping[str, Any]) -> dict[str, Any]:
    """Return a spec as plain values; for a `TrainSpec` only those that differ from the defaults."""
    if not isinstance(spec, TrainSpec):
        return dict(spec)
    values = msgspec.to_builtins(spec)
    return {name: value for name, value in values.items() if value != _DEFAULTS[name]}


def new_job_id() -> str:
    """Return a new job id."""
    return f"job_{int(time.time() * 1000)}_{secrets.token_hex(3)}"


def status(job_id: str) -> Call[Job]:
    """Ask for one job."""
    return Call("GET", "/api/train/status", lambda body: _decode(body, _StatusBody).status, query={"job_id": job_id})


def jobs(
    states: Status | str | Iterable[Status | str] | None, limit: int, after: str | int | None, filters: Filters
) -> Call[JobPage]:
    """Ask for a page of jobs."""
    query: dict[str, object] = {"limit": limit} | {name: one for name, one in filters.items() if one is not None}
    if states is not None:
        query["status"] = states if isinstance(states, str) else ",".join(states)
    if after is not None:
        query["after"] = after
    return Call("GET", "/api/train/jobs", lambda body: _decode(body, JobPage), query=query)


def events(job_id: str, after: int, limit: int) -> Call[EventPage]:
    """Ask for a page of a job's events."""
    query = {"job_id": job_id, "after": after, "limit": limit}
    return Call("GET", "/api/train/events", _event_page, query=query)


def verb(name: Verb, job_id: str, epochs: int | None = None) -> Call[str]:
    """Send a verb. `resume` with epochs is not repeatable: after the first, the same epochs are refused."""
    body: dict[str, Any] = {"job_id": job_id} | ({"epochs": epochs} if epochs is not None else {})
    return Call(
        "POST",
        f"/api/train/{name}",
        lambda answer: _decode(answer, _Accepted).job_id,
        body=_encoder.encode(body),
        is_repeatable=epochs is None,
    )


def control(job_id: str, changes: Mapping[str, Any]) -> Call[Controlled]:
    """Change settings of a running job; sent twice, the change would be applied twice."""
    body = _encoder.encode({"job_id": job_id} | dict(changes))
    return Call(
        "POST", "/api/train/control", lambda found: _decode(found, Controlled), body=body, is_repeatable=False
    )


def edit(job_id: str, changes: Mapping[str, Any]) -> Call[Job]:
    """Change a job's name, tags, notes or priority."""
    path = f"/api/train/jobs/{_quoted(job_id)}"
    return Call("PATCH", path, lambda body: _decode(body, _StatusBody).status, body=_encoder.encode(dict(changes)))


def delete(job_id: str) -> Call[None]:
    """Remove a finished job with its files."""
    return Call("DELETE", f"/api/train/jobs/{_quoted(job_id)}", _nothing)


def logs(job_id: str, limit_bytes: int, after: str | None = None) -> Call[LogPage]:
    """Ask for the end of a job's output, or for what was printed since."""
    query = {"job_id": job_id, "limit_bytes": limit_bytes} | ({} if after is None else {"after": after})
    return Call("GET", "/api/train/logs", lambda body: _decode(body, LogPage), query=query)


def files(job_id: str, limit: int, after: str | None) -> Call[FilePage]:
    """Ask for a page of the files that a job's trainer wrote."""
    query = {"job_id": job_id, "limit": limit} | ({} if after is None else {"after": after})
    return Call("GET", "/api/train/files", lambda body: _decode(body, FilePage), query=query)


def file(job_id: str, name: str) -> Call[None]:
    """Download one of the files that a job's trainer wrote."""
    return Call("GET", "/api/train/file", _nothing, query={"job_id": job_id, "name": name}, accept="*/*")


def curve(job_id: str, points: int, series: Iterable[str]) -> Call[dict[str, Any]]:
    """Ask for a job's curves."""
    query: dict[str, object] = {"job_id": job_id, "points": points}
    if wanted := ",".join(series):
        query["series"] = wanted
    return Call("GET", "/api/train/curve", _facts, query=query)


def predict(
    model: str, rows: Rows | None, columns: Mapping[str, list[Any]] | None, interval: float | None
) -> Call[Prediction]:
    """Ask for predictions: rows of columns, or columns of values."""
    body: dict[str, Any] = {"columns": columns} if columns is not None else {"rows": list(rows or ())}
    if interval is not None:
        body["interval"] = interval
    path = f"/api/models/{_quoted(model)}/predict"
    return Call("POST", path, lambda answer: _decode(answer, Prediction), body=_encoder.encode(body))


def model(job_id: str) -> Call[None]:
    """Download the finished model."""
    return Call("GET", f"/api/models/{_quoted(job_id)}", _nothing, accept="*/*")


def export(job_id: str, kind: str) -> Call[None]:
    """Download the finished model in another format."""
    return Call("GET", f"/api/models/{_quoted(job_id)}/export", _nothing, query={"format": kind}, accept="*/*")


def put_dataset(name: str, kind: str | None) -> Call[Dataset]:
    """Register a data set; its bytes are sent as the body."""
    query: dict[str, object] = {"format": kind} if kind else {}
    return Call("PUT", f"/api/datasets/{_quoted(name)}", _dataset, query=query)


def datasets(limit: int, after: str | None) -> Call[DatasetPage]:
    """Ask for a page of the registered data sets."""
    query: dict[str, object] = {"limit": limit} | ({} if after is None else {"after": after})
    return Call("GET", "/api/datasets", lambda body: _decode(body, DatasetPage), query=query)


def dataset(name: str) -> Call[Dataset]:
    """Ask for one data set."""
    return Call("GET", f"/api/datasets/{_quoted(name)}", _dataset)


def preview(name: str, rows: int) -> Call[dict[str, Any]]:
    """Ask for the first rows of a data set, its columns and their summary."""
    return Call("GET", f"/api/datasets/{_quoted(name)}/preview", _facts, query={"rows": rows})


def delete_dataset(name: str) -> Call[None]:
    """Remove a data set."""
    return Call("DELETE", f"/api/datasets/{_quoted(name)}", _nothing)


def evaluate(model: str, dataset: str) -> Call[Score]:
    """Evaluate a model on a registered data set."""
    return Call("POST", _evaluate_path(model), _score, body=_encoder.encode({"dataset": dataset}))


def evaluate_table(model: str, kind: str | None) -> Call[Score]:
    """Evaluate a model on a table whose bytes are sent as the body."""
    query: dict[str, object] = {"format": kind} if kind else {}
    return Call("POST", _evaluate_path(model), _score, query=query)


def _evaluate_path(model: str) -> str:
    return f"/api/models/{_quoted(model)}/evaluate"


def _score(body: bytes) -> Score:
    return _decode(body, _ScoreBody).score


def set_alias(name: str, job_id: str, if_better: IfBetter | Mapping[str, Any] | None) -> Call[AliasSet]:
    """Point an alias at a job's model, if wanted only if it is better."""
    body = {"job_id": job_id} | ({} if if_better is None else {"if_better": if_better})
    return Call("PUT", _alias_path(name), lambda answer: _decode(answer, AliasSet), body=_encoder.encode(body))


def remove_alias(name: str) -> Call[None]:
    """Remove an alias."""
    return Call("DELETE", _alias_path(name), _nothing)


def alias(name: str) -> Call[Alias]:
    """Ask for an alias with its history."""
    return Call("GET", _alias_path(name), lambda body: _decode(body, _AliasBody).alias)


def _alias_path(name: str) -> str:
    return f"/api/models/aliases/{_quoted(name)}"


def aliases() -> Call[dict[str, dict[str, Any]]]:
    """Ask for every alias."""
    return Call("GET", "/api/models/aliases", lambda body: dict(_facts(body)["aliases"]))


def webhooks() -> Call[list[dict[str, Any]]]:
    """Ask for every webhook."""
    return Call("GET", "/api/webhooks", lambda body: list(_facts(body)["webhooks"]))


def deliveries(name: str, limit: int) -> Call[list[Delivery]]:
    """Ask for a webhook's newest deliveries."""
    path = f"/api/webhooks/{_quoted(name)}/deliveries"
    return Call("GET", path, lambda body: _decode(body, _DeliveriesBody).deliveries, query={"limit": limit})


def test_webhook(name: str) -> Call[str]:
    """Have a test message delivered."""
    path = f"/api/webhooks/{_quoted(name)}/test"
    return Call("POST", path, lambda body: str(_facts(body)["webhook_id"]), is_repeatable=False)


def health() -> Call[dict[str, Any]]:
    """Ask for the server's health."""
    return Call("GET", "/api/health", _facts)


def _quoted(name: str) -> str:
    return quote(name, safe="")


def _decode(body: bytes, kind: type[T]) -> T:
    return msgspec.json.decode(body, type=kind)


def _event_page(body: bytes) -> EventPage:
    page = _decode(body, _EventsBody)
    return EventPage([bytes(event) for event in page.events], page.last_seq)


def _facts(body: bytes) -> dict[str, Any]:
    """Return an answer as a dict, without `ok`."""
    answer: dict[str, Any] = msgspec.json.decode(body)
    answer.pop("ok", None)
    return answer


def _dataset(body: bytes) -> Dataset:
    return _decode(body, _DatasetBody).dataset


def _nothing(_body: bytes) -> None:
    """Ignore the answer."""
