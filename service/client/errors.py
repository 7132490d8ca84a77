"""What only a client can see, and the way back from an error's JSON to the class that the service raised."""

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
    """This try got no answer. `may_have_arrived`: the server may have carried the request out all the same."""

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
    """Return the error that an answer tells of, of the class that `TrainingService` would raise."""
    told = _told(body)
    if told is None:
        text = body[:200].decode(errors="replace").strip()
        return ServiceError(f"{url} answered {status}, and not as traind does: {text or 'nothing'}")
    kind = _KINDS.get(told.code, ServiceError)
    error: Refusal
    if issubclass(kind, ServiceError):
        error = kind(told.message, hint=told.hint, details=told.details)
    elif issubclass(kind, DataError):
        error = kind(told.message, hint=told.hint, cells=tuple(_cell(detail) for detail in told.details))
    else:
        error = kind(told.message, hint=told.hint)
    error.code = told.code
    return error


def is_away(status: int, body: bytes) -> bool:
    """Whether an answer says that the server is not there for now: a proxy's word, or its own when it closes."""
    if status == 503:
        told = _told(body)
        return told is None or told.code == NotRunning.code
    return status in {502, 504}


def _told(body: bytes) -> _ErrorFields | None:
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
