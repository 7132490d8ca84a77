"""Errors as HTTP answers: one table of statuses, one JSON shape, one middleware.

HttpError(ServiceError)
|- InvalidJson          invalid_json            the body is not JSON
|- UnsupportedMedia     unsupported_media_type  content type or content encoding is not taken here
|- BodyTooLarge         body_too_large          the body is larger than this call takes
|- BodyTooSlow          body_timeout            the body did not arrive in time
|- Unauthorized         unauthorized            no token, or not one of ours
|- TooManyAttempts      too_many_attempts       wrong tokens from this address too often
|- TooManyStreams       too_many_streams        too many websockets and event streams are open
|- HostNotAllowed       host_not_allowed        the Host header names none of this server's names
|- OriginNotAllowed     origin_not_allowed      another web site's page sent this
|- NotFound             not_found               nothing is at this path
|- MethodNotAllowed     method_not_allowed      the path does not take this method
|- BadRequest           bad_request             what was sent is not HTTP, or of a form that is not accepted
|- NotReady             not_ready               the server lives, but jobs would wait
|- PortInUse            port_in_use             another program listens there
|- TokenNeeded          token_needed            the server would be open to the network without a token
|- BadTokens            bad_tokens              the token file cannot be used
`- Unexpected           internal_error          a fault of traind's own
"""

import logging
from http import HTTPStatus

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from traind.data import errors as data
from traind.service import errors as service
from traind.trainer.contract import errors as trainer

LOG = logging.getLogger("traind.http")
RETRY_AFTER_S = 5  # where no better time is known
_encode = msgspec.json.Encoder().encode


class HttpError(service.ServiceError):
    """A request is refused before it reaches the service. `headers` are sent with the answer."""

    code = "bad_request"

    def __init__(self, message: str, *, hint: str | None = None, headers: dict[str, str] | None = None) -> None:
        super().__init__(message, hint=hint)
        self.headers = headers or {}


class InvalidJson(HttpError):
    """The body is not JSON."""

    code = "invalid_json"


class UnsupportedMedia(HttpError):
    """The content type or content encoding is not taken here."""

    code = "unsupported_media_type"


class BodyTooLarge(HttpError):
    """The body is larger than this call takes."""

    code = "body_too_large"


class BodyTooSlow(HttpError):
    """The body did not arrive in time."""

    code = "body_timeout"


class Unauthorized(HttpError):
    """No token came, or not one of ours."""

    code = "unauthorized"


class TooManyAttempts(HttpError):
    """Wrong tokens came from this address too often."""

    code = "too_many_attempts"


class TooManyStreams(HttpError):
    """Too many websockets and event streams are open."""

    code = "too_many_streams"


class TooManyConnections(HttpError):
    """As many connections are open as the server takes."""

    code = "too_many_connections"


class HostNotAllowed(HttpError):
    """The Host header names none of this server's names."""

    code = "host_not_allowed"


class OriginNotAllowed(HttpError):
    """Another web site's page sent this."""

    code = "origin_not_allowed"


class NotFound(HttpError):
    """Nothing is at this path."""

    code = "not_found"


class MethodNotAllowed(HttpError):
    """The path does not take this method."""

    code = "method_not_allowed"


class BadRequest(HttpError):
    """What was sent is not HTTP, or of a form that is not accepted."""

    code = "bad_request"


class NotReady(HttpError):
    """The server lives, but jobs would wait."""

    code = "not_ready"


class PortInUse(HttpError):
    """Another program listens on that address."""

    code = "port_in_use"


class TokenNeeded(HttpError):
    """The server would be open to the network without a token."""

    code = "token_needed"


class BadTokens(HttpError):
    """The token file cannot be used."""

    code = "bad_tokens"


class Unexpected(HttpError):
    """A fault of traind's own; the log has the traceback."""

    code = "internal_error"


STATUSES: dict[type[Exception], HTTPStatus] = {
    InvalidJson: HTTPStatus.BAD_REQUEST,
    UnsupportedMedia: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    BodyTooSlow: HTTPStatus.REQUEST_TIMEOUT,
    Unauthorized: HTTPStatus.UNAUTHORIZED,
    TooManyAttempts: HTTPStatus.TOO_MANY_REQUESTS,
    TooManyStreams: HTTPStatus.SERVICE_UNAVAILABLE,
    TooManyConnections: HTTPStatus.SERVICE_UNAVAILABLE,
    HostNotAllowed: HTTPStatus.FORBIDDEN,
    OriginNotAllowed: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    MethodNotAllowed: HTTPStatus.METHOD_NOT_ALLOWED,
    BadRequest: HTTPStatus.BAD_REQUEST,
    NotReady: HTTPStatus.SERVICE_UNAVAILABLE,
    Unexpected: HTTPStatus.INTERNAL_SERVER_ERROR,
    service.InvalidSpec: HTTPStatus.UNPROCESSABLE_ENTITY,
    service.JobNotFound: HTTPStatus.NOT_FOUND,
    service.JobFinished: HTTPStatus.CONFLICT,
    service.JobNotFinished: HTTPStatus.CONFLICT,
    service.NoSuchDevice: HTTPStatus.UNPROCESSABLE_ENTITY,
    service.NotResumable: HTTPStatus.CONFLICT,
    service.IdTaken: HTTPStatus.CONFLICT,
    service.NotWaiting: HTTPStatus.CONFLICT,
    service.JobNotRunning: HTTPStatus.CONFLICT,
    service.ChangeRefused: HTTPStatus.CONFLICT,
    service.StudyNotFound: HTTPStatus.NOT_FOUND,
    service.StudyFinished: HTTPStatus.CONFLICT,
    service.StudyNotFinished: HTTPStatus.CONFLICT,
    service.StudyIdTaken: HTTPStatus.CONFLICT,
    service.NotBetter: HTTPStatus.CONFLICT,
    service.AliasNotFound: HTTPStatus.NOT_FOUND,
    service.WebhookNotFound: HTTPStatus.NOT_FOUND,
    service.ModelNotReady: HTTPStatus.CONFLICT,
    service.JobFileNotFound: HTTPStatus.NOT_FOUND,
    service.CursorAhead: HTTPStatus.CONFLICT,
    service.SlowWatcher: HTTPStatus.SERVICE_UNAVAILABLE,
    service.QueueFull: HTTPStatus.TOO_MANY_REQUESTS,
    service.TooMany: HTTPStatus.TOO_MANY_REQUESTS,
    service.DiskLow: HTTPStatus.INSUFFICIENT_STORAGE,
    service.StoreFailed: HTTPStatus.SERVICE_UNAVAILABLE,
    service.PredictionFailed: HTTPStatus.UNPROCESSABLE_ENTITY,
    service.SideWorkerFailed: HTTPStatus.SERVICE_UNAVAILABLE,
    service.SideWorkerBusy: HTTPStatus.TOO_MANY_REQUESTS,
    service.Forbidden: HTTPStatus.FORBIDDEN,
    service.EngineFailed: HTTPStatus.SERVICE_UNAVAILABLE,
    service.NotRunning: HTTPStatus.SERVICE_UNAVAILABLE,
    data.DatasetNotFound: HTTPStatus.NOT_FOUND,
    data.DatasetInUse: HTTPStatus.CONFLICT,
    data.DatasetTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    data.InvalidName: HTTPStatus.UNPROCESSABLE_ENTITY,
    data.DataError: HTTPStatus.UNPROCESSABLE_ENTITY,
    trainer.SpecError: HTTPStatus.UNPROCESSABLE_ENTITY,
    trainer.ModelDamaged: HTTPStatus.CONFLICT,
    trainer.CheckpointDamaged: HTTPStatus.CONFLICT,
    trainer.NoModelYet: HTTPStatus.CONFLICT,
    trainer.DiskFull: HTTPStatus.INSUFFICIENT_STORAGE,
    trainer.DiskFailed: HTTPStatus.INSUFFICIENT_STORAGE,
    trainer.TrainerError: HTTPStatus.UNPROCESSABLE_ENTITY,
}
RETRIED = frozenset(
    {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.INSUFFICIENT_STORAGE}
)  # answers with a Retry-After header
UNREAD = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}
)  # answers after which the rest of the body is not read
KNOWN = (service.ServiceError, data.DataError, trainer.TrainerError)


def status_of(kind: type[Exception]) -> HTTPStatus:
    """Return the HTTP status of an error class: its own, or its nearest parent's."""
    for parent in kind.__mro__:
        if parent in STATUSES:
            return STATUSES[parent]
    return HTTPStatus.INTERNAL_SERVER_ERROR


def response_of(error: Exception) -> web.Response:
    """Return the HTTP answer for one of traind's errors."""
    status = error.status if isinstance(error, Refused) else status_of(type(error))
    headers = dict(getattr(error, "headers", {}))
    if status in RETRIED:
        headers.setdefault("Retry-After", str(RETRY_AFTER_S))
    body = _encode({"ok": False, "error": service.described(error)})
    response = web.Response(status=status, body=body, headers=headers, content_type="application/json")
    if status in UNREAD:
        response.force_close()
    return response


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error in the same JSON shape; unexpected errors are logged and answered with 500."""
    try:
        return await handler(request)
    except KNOWN as error:
        failure: Exception = error
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST or error.content_type == "application/json":
            raise
        failure = _from_aiohttp(request, error)
    except ConnectionError:
        failure = BadRequest("The client left.")  # nobody reads this
    except Exception:
        LOG.exception("%s %s failed", request.method, request.path)
        failure = Unexpected("traind made a mistake; its log says which.", hint="Please report it.")
    if isinstance(failure, HostNotAllowed | OriginNotAllowed):
        from traind.service.http.refusal_page import answer_person

        return answer_person(request, failure)
    return response_of(failure)


def _from_aiohttp(request: web.Request, error: web.HTTPException) -> Exception:
    """Return traind's error for one of aiohttp's."""
    match error:
        case web.HTTPNotFound():
            return NotFound(f"Nothing is at {shown_path(request)}.", hint="GET api/openapi.json lists every path.")
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            message = f"{shown_path(request)} does not take {error.method}; it takes {allowed}."
            return MethodNotAllowed(message, headers={"Allow": allowed})
        case web.HTTPRequestEntityTooLarge():
            return BodyTooLarge("The body is larger than this call takes.")
        case _:
            return Refused(error)


class Refused(HttpError):
    """An error answer of aiohttp or of the host program, in traind's shape."""

    def __init__(self, error: web.HTTPException) -> None:
        kept = {name: error.headers[name] for name in ("WWW-Authenticate", "Retry-After") if name in error.headers}
        super().__init__(error.text or error.reason, headers=kept)
        self.code = _CODES.get(error.status, "bad_request")
        self.status = HTTPStatus(error.status)


_CODES = {401: Unauthorized.code, 403: service.Forbidden.code, 429: TooManyAttempts.code}


def shown_path(request: web.Request) -> str:
    """Return the request's path for a sentence, cut to 100 characters."""
    path = request.path
    return path if len(path) <= 100 else f"{path[:100]}..."
