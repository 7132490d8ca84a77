"""The description of one call, from which the router, the guard's tests and OpenAPI are made."""

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from aiohttp.typedefs import Handler

from traind.service import errors as service
from traind.service.http.requests import NoQuery
from traind.trainer.contract.errors import ModelDamaged

JSON: Final = "application/json"
EXAMPLE_ID: Final = "job_1234567890123_abc123"
Errors = tuple[type[Exception], ...]
SIDE: Final[Errors] = (service.SideWorkerFailed, service.SideWorkerBusy)
PREDICT: Final[Errors] = (service.JobNotFound, service.ModelNotReady, *SIDE, ModelDamaged)
RANGES: Final = {  # statuses of answers with a file
    206: "A range of the file",
    304: "The client has it",
    412: "It has changed",
    416: "No such range",
}


class Header(NamedTuple):
    """A header that a call reads: its description and its pattern."""

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
    query: type[Any] = NoQuery
    body: type[Any] | None = None  # JSON of this type
    upload: tuple[str, ...] = ()  # accepted content types of a raw file
    answer: type[Any] | None = None  # JSON of this type
    media: dict[str, str] = field(default_factory=dict)  # other answers: description by content type
    status: int = 200
    more_statuses: dict[int, str] = field(default_factory=dict)
    more_answers: dict[int, type[Any]] = field(default_factory=dict)  # JSON answers of those statuses
    errors: Errors = ()
    headers: dict[str, Header] = field(default_factory=dict)  # headers that the call reads
    example: Any = None
    is_open: bool = False  # needs no token
    is_for_viewers: bool | None = None  # whether viewers may call it; None: if it is a GET
    is_websocket: bool = False
