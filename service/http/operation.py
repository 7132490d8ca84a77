"""What is known of one call of the interface: from it the router, the guard's tests and OpenAPI are made."""

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from aiohttp.typedefs import Handler

from traind.service.http.requests import NoQuery

JSON: Final = "application/json"
Errors = tuple[type[Exception], ...]


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
    query: type[Any] = NoQuery
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
