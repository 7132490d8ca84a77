"""Errors of clients, and the conversion of an error's JSON to the class that the service raised."""

from typing import Any

import msgspec
from msgspec import Struct

from traind.data import errors as data_errors
from traind.data.errors import BadCell, DataError
from traind.service import errors as service_errors
from traind.service.errors import NotRunning, ServiceError
from traind.trainer.contract import errors as trainer_errors
from traind.trainer.contract.errors import TrainerError

Refusal = ServiceError | DataError | TrainerError


class ServerUnreachable(ServiceError):
    """No server answers there, or it was away for longer than the client's patience."""

    code = "server_unreachable"


class Away(Exception):
    """This try got no answer. `may_have_arrived`: the server may still have carried the request out."""

    def __init__(self, reason: str, *, may_have_arrived: bool) -> None:
        super().__init__(reason)
        self.may_have_arrived = may_have_arrived


class _ErrorFields(Struct):
    code: str
    message: str
    hint: str | None = None
    details: list[dict[str, Any]] = []


class _Body(Struct):
    error: _ErrorFields


def refusal(status: int, body: bytes, url: str) -> Refusal:
    """Return an error answer as the class that `TrainingService` would raise."""
    fields = _error_fields(body)
    if fields is None:
        text = body[:200].decode(errors="replace").strip()
        return ServiceError(f"{url} answered {status}, and not as traind does: {text or 'nothing'}")
    kind = _KINDS.get(fields.code, ServiceError)
    error: Refusal
    if issubclass(kind, ServiceError):
        error = kind(fields.message, hint=fields.hint, details=fields.details)
    elif issubclass(kind, DataError):
        error = kind(fields.message, hint=fields.hint, cells=tuple(_cell(detail) for detail in fields.details))
    else:
        error = kind(fields.message, hint=fields.hint)
    error.code = fields.code
    return error


def is_away(status: int, body: bytes) -> bool:
    """Return whether an answer means that the server is away for now: a proxy's error, or a closing server's."""
    if status == 503:
        fields = _error_fields(body)
        return fields is None or fields.code == NotRunning.code
    return status in {502, 504}


def _error_fields(body: bytes) -> _ErrorFields | None:
    try:
        return msgspec.json.decode(body, type=_Body).error
    except msgspec.DecodeError:
        return None


def _cell(detail: dict[str, Any]) -> BadCell:
    return BadCell(detail.get("line"), detail.get("column"), detail.get("value"), detail.get("msg", ""))


_KINDS: dict[str, type[Refusal]] = {
    kind.code: kind
    for module in (trainer_errors, data_errors, service_errors)  # the last wins where two share a code (disk_full)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Refusal)
}
