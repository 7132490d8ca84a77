"""Request bodies, read within a size and a deadline; JSON only with its content type.

A body that arrives too slowly is cut off. One that is too large is refused before it is read if the client announces
its size, else as soon as it passes the limit.
"""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import msgspec
from aiohttp import hdrs, web

from traind.data.errors import DatasetTooLarge
from traind.data.limits import DETAILS, clipped
from traind.service.http.context import LIMITS
from traind.service.http.errors import BadRequest, BodyTooLarge, BodyTooSlow, InvalidJson, UnsupportedMedia
from traind.service.threads import in_thread
from traind.service.validation.validate import MALFORMED, parse, reason

T = TypeVar("T")
CHUNK_BYTES = 256 * 1024
INLINE_BYTES = 8 * 1024  # bodies up to this size are checked on the event loop, in a millisecond or two


async def expect_later(request: web.Request) -> None:
    """Leave `Expect: 100-continue` unanswered until the body is read, so that a refusal comes first."""
    del request


async def read_as(request: web.Request, type_: type[T]) -> T:
    """Return the body as `type_`; raises `InvalidSpec` with every wrong field."""
    return await read_by(request, partial(check, type_=type_))


async def read_by(request: web.Request, checked: Callable[[bytes], T], *, limit: int | None = None) -> T:
    """Return `checked(body)` for a JSON body, for a large one from a thread: finding all problems takes time.

    Raises what it raises, and `BodyTooLarge`, `BodyTooSlow`, `UnsupportedMedia`.
    """
    if request.content_type != "application/json":
        message = f"{request.method} here takes Content-Type: application/json."
        raise UnsupportedMedia(message, hint="With curl: -H 'Content-Type: application/json'.")
    limit = limit or request.app[LIMITS].control_bytes
    parts = [part async for part in stream_body(request, limit=limit, error=_too_large(limit))]
    if sum(map(len, parts)) <= INLINE_BYTES:
        return checked(b"".join(parts))
    made: T = await in_thread(lambda: checked(b"".join(parts)))
    return made


def check(body: bytes, type_: type[T]) -> T:
    """Return a body as `type_`, or raise `InvalidJson`, or `InvalidSpec` with every wrong field."""
    try:
        return msgspec.json.decode(body, type=type_)
    except MALFORMED:
        return parse(decode(body), type_)


def decode(body: bytes) -> Any:
    """Return plain values from JSON; raises `InvalidJson` that says where it is wrong."""
    try:
        return msgspec.json.decode(body)
    except MALFORMED as error:
        why, details = _why(body, error)
    hint = None if body.strip() else "Send an object such as {}."
    refused = InvalidJson(f"The body is not valid JSON: {why}.", hint=hint)
    refused.details = details
    raise refused


def _why(body: bytes, error: BaseException) -> tuple[str, list[dict[str, str]]]:
    """Return why a body is not JSON, as part of a sentence, and the fields concerned."""
    if not body.strip():
        return "it is empty", []
    try:
        text = body.decode()
    except UnicodeDecodeError as bad:
        return f"byte {bad.start} is not UTF-8", []
    fields = _not_finite(text)
    if fields:
        details = [{"loc": loc, "msg": "is not a finite number, or one too large"} for loc in fields]
        return "; ".join(f"{one['loc']} {one['msg']}" for one in details[:5]), details
    if str(error) == "Input data was truncated":
        return f"it ends too early, after {len(body)} bytes", []
    return reason(error), []


def _not_finite(text: str) -> list[str]:
    """Return where a text has NaN, infinities or huge numbers, which some programs write into JSON."""
    try:
        value = json.loads(text, parse_int=float)
        return sorted(islice(_endless(value, ""), DETAILS))
    except (ValueError, RecursionError):
        return []


def _endless(value: Any, loc: str) -> Iterator[str]:
    """Yield the places of numbers that are not finite; names in them are cut."""
    if isinstance(value, float):
        if not math.isfinite(value):
            yield loc or "the body"
        return
    if not isinstance(value, dict | list):
        return
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(inner, float | dict | list):
            yield from _endless(inner, f"{loc}.{clipped(str(name))}".lstrip("."))


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than the {limit} bytes that this call takes.")


async def stream_body(
    request: web.Request, *, limit: int, error: BodyTooLarge | DatasetTooLarge
) -> AsyncIterator[bytes]:
    """Yield the body in pieces; raises `error` past `limit` bytes, `BodyTooSlow` for a slow one."""
    if request.content_length is not None and request.content_length > limit:
        raise error
    await _continue(request)
    limits = request.app[LIMITS]
    loop = asyncio.get_running_loop()
    started, received = loop.time(), 0
    try:
        while True:
            deadline = started + limits.body_s + received / limits.slowest_bytes_s
            async with asyncio.timeout_at(deadline):
                part = await request.content.read(CHUNK_BYTES)
            if not part:
                return
            received += len(part)
            if received > limit:
                raise error
            yield part
    except TimeoutError:
        message = f"The body did not arrive in time: {received} bytes in {loop.time() - started:.0f} seconds."
        raise BodyTooSlow(message) from None
    except (web.RequestPayloadError, ConnectionError):
        raise BadRequest("The body is not whole.") from None


async def _continue(request: web.Request) -> None:
    """Send 100 Continue to a client that waits for it before it sends its body."""
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


async def no_body(request: web.Request) -> None:
    """Raise an error if the request has a body."""
    if request.body_exists:
        raise BadRequest(f"{request.method} takes no body here.")


def read_query(request: web.Request, type_: type[T]) -> T:
    """Return the query's parameters as `type_`; raises `InvalidSpec` with every wrong one."""
    values: dict[str, str] = {}
    for name, text in request.query.items():
        if name in values:
            raise BadRequest(f"The query has {name[:50]!r} twice.")
        values[name] = text
    return parse(values, type_, what="The query", strict=False)
