"""A job's events over HTTP: a page as JSON, or server-sent events.

`id:` of a server-sent event is its seq, so a browser that comes back says where it was, and a finished stream that
was read to its end answers 204: the browser then stays away.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

from aiohttp import hdrs, web

from traind.service.errors import ServiceError
from traind.service.http.bodies import read_query
from traind.service.http.callers import client_of
from traind.service.http.context import LIMITS, SERVICE, STREAMS
from traind.service.http.requests import EventsQuery
from traind.service.jobs.job import TERMINAL
from traind.service.validation.explain import Problem
from traind.service.validation.validate import refusal

T = TypeVar("T")
STREAM = "text/event-stream"
_BEAT = b":\n\n"


async def events(request: web.Request) -> web.StreamResponse:
    """Answer a page of events as JSON, or all of them as a stream."""
    query = read_query(request, EventsQuery)
    last = request.headers.get("Last-Event-ID")
    if last is not None or STREAM in request.headers.get(hdrs.ACCEPT, ""):
        return await _stream(request, query.job_id, query.after if last is None else _seq(last))
    page = await request.app[SERVICE].events(query.job_id, query.after, query.limit)
    body = b'{"ok":true,"events":[%b],"last_seq":%d}' % (b",".join(page.events), page.last_seq)
    return web.Response(body=body, content_type="application/json")


def _seq(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 15:
        return int(text)
    raise refusal([Problem("Last-Event-ID", "must be the seq of an event")])


async def _stream(request: web.Request, job_id: str, after: int) -> web.StreamResponse:
    """Send events as they happen, until the job is over or the client is gone."""
    service, limits = request.app[SERVICE], request.app[LIMITS]
    job = (await service.events(job_id, after, 1), await service.status(job_id))[1]
    if job.status in TERMINAL and job.seq == after:
        return web.Response(status=204)
    request.app[STREAMS].admit(client_of(request))
    response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: STREAM, "X-Accel-Buffering": "no"})
    response.force_close()
    await response.prepare(request)
    try:
        async for item in with_beats(service.watch_bytes(job_id, after), limits.beat_s):
            async with asyncio.timeout(limits.send_s):
                await response.write(_BEAT if item is None else b"id: %d\ndata: %b\n\n" % item)
    except ServiceError:
        pass  # slow client or closing service: the stream ends, and the client reconnects with its cursor
    except (TimeoutError, ConnectionError):
        _abort(request)
    return response


def _abort(request: web.Request) -> None:
    """Abort a connection whose client does not read, and drop what is buffered."""
    if request.transport is not None:
        request.transport.abort()


async def with_beats(stream: AsyncIterator[T], beat_s: float) -> AsyncIterator[T | None]:
    """Yield the items of a stream, and None whenever it was silent for `beat_s` seconds."""
    coming: asyncio.Future[T] = asyncio.ensure_future(anext(stream))
    try:
        while True:
            await asyncio.wait((coming,), timeout=beat_s)
            if not coming.done():
                yield None
                continue
            try:
                item = coming.result()
            except StopAsyncIteration:
                return
            yield item
            coming = asyncio.ensure_future(anext(stream))
    finally:
        coming.cancel()
