"""The websocket: one object for each client, with one task that reads and one that writes.

With `job_id` it sends that job's events and closes with 1000 after the last. Without, it sends a snapshot, then the
states and thinned progress of all jobs, older jobs page by page where the client asks, and whole job streams that it
subscribes to, by way of a bounded outbox. Events go out as the bytes that the store has. A client that does not read
is dropped with 1013; nothing is lost by that, it comes back with its cursor.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Coroutine
from typing import Annotated, Any

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web
from msgspec import UNSET, Meta, Struct

from traind.service.errors import NotRunning, ServiceError, SlowWatcher, described
from traind.service.http import overview
from traind.service.http.bodies import decode, read_query
from traind.service.http.callers import client_of
from traind.service.http.context import LIMITS, SERVICE, STREAMS
from traind.service.http.errors import BadRequest, TooManyStreams
from traind.service.http.guard import SUBPROTOCOL
from traind.service.http.masked_frames import MaskedWebSocket
from traind.service.http.requests import AnyJobId, SocketQuery
from traind.service.validation.validate import parse

_encode = msgspec.json.Encoder().encode
BUFFER_BYTES = 8 * 1024  # unsent bytes for one client: here, and the same again in the kernel
LARGEST_MESSAGE_BYTES = 4 * 1024
HEARTBEAT_S = 20.0
CLOSE_S = 2.0  # for the client to answer a close
LINGER_S = 15.0  # for a close to reach a client that has stopped reading


class Wish(Struct, frozen=True, forbid_unknown_fields=True):
    """A client's message; it has one of these fields."""

    subscribe: AnyJobId | None = None
    after: Annotated[int, Meta(ge=0, le=2**53)] = 0
    unsubscribe: AnyJobId | None = None
    subscribe_study: AnyJobId | None = None
    unsubscribe_study: AnyJobId | None = None
    older: Annotated[int, Meta(ge=0, le=2**53)] | None = None  # `next` of the snapshot, or of the last such answer
    ping: Any = None


async def connect(request: web.Request) -> web.StreamResponse:
    """Refuse what can be refused before the handshake, then serve until either side leaves."""
    query = read_query(request, SocketQuery)
    if query.job_id is not UNSET:
        await request.app[SERVICE].events(query.job_id, query.after, 1)
    ws = MaskedWebSocket(
        heartbeat=HEARTBEAT_S,
        compress=False,
        max_msg_size=LARGEST_MESSAGE_BYTES,
        protocols=(SUBPROTOCOL,),
        writer_limit=BUFFER_BYTES,
        timeout=CLOSE_S,
    )
    if not ws.can_prepare(request).ok:
        hint = "Use a websocket client, or GET api/train/events."
        raise BadRequest("This path speaks the websocket protocol.", hint=hint)
    request.app[STREAMS].admit(client_of(request))
    await ws.prepare(request)
    _bound_buffers(request)
    await Connection(ws, request).serve(query)
    return ws


def _bound_buffers(request: web.Request) -> None:
    """Limit what is buffered for a client that does not read, here and in the kernel."""
    if request.transport is None:
        return
    request.transport.set_write_buffer_limits(high=BUFFER_BYTES)
    sock = request.transport.get_extra_info("socket")
    with contextlib.suppress(OSError, AttributeError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)


class Connection:
    """One client's websocket after the handshake."""

    def __init__(self, ws: web.WebSocketResponse, request: web.Request) -> None:
        self._ws = ws
        self._transport = request.transport
        self._service = request.app[SERVICE]
        self._limits = request.app[LIMITS]
        self._outbox: asyncio.Queue[bytes | ServiceError] = asyncio.Queue(self._limits.outbox)
        self._streams: dict[str | None, asyncio.Task[None]] = {}
        self._greeted = asyncio.Event()  # the snapshot comes before any answer

    async def serve(self, query: SocketQuery) -> None:
        """Send the requested events until the job is over or either side leaves; leaves no task behind."""
        messages = self._merged() if query.job_id is UNSET else self._of_job(query.job_id, query.after)
        writer = asyncio.create_task(self._write(messages), name="traind-ws-writer")
        reader = asyncio.create_task(self._read(can_subscribe=query.job_id is UNSET), name="traind-ws-reader")
        code: int = WSCloseCode.GOING_AWAY  # where the server's shutdown cancels us
        try:
            await asyncio.wait((writer, reader), return_when=asyncio.FIRST_COMPLETED)
            code = writer.result() if writer.done() else WSCloseCode.OK
        finally:
            await _end(writer, reader, *self._streams.values())
            await self._close(code)

    async def _write(self, messages: AsyncIterator[bytes]) -> int:
        """Send every message; return the code to close with."""
        try:
            async for body in messages:
                await self._send(body)
        except NotRunning:
            return WSCloseCode.GOING_AWAY
        except (SlowWatcher, TimeoutError):
            return WSCloseCode.TRY_AGAIN_LATER
        except ConnectionError:
            pass
        return WSCloseCode.OK

    async def _send(self, body: bytes) -> None:
        """Send one message within the deadline, or raise `TimeoutError`."""
        transport = self._transport
        if transport is not None and len(body) < BUFFER_BYTES and transport.get_write_buffer_size() == 0:
            await self._ws.send_frame(body, WSMsgType.TEXT)  # fits into the buffer: nothing to wait for
            return
        async with asyncio.timeout(self._limits.send_s):
            await self._ws.send_frame(body, WSMsgType.TEXT)

    async def _of_job(self, job_id: str, after: int) -> AsyncIterator[bytes]:
        async for _seq, body in self._service.watch_bytes(job_id, after):
            yield body

    async def _merged(self) -> AsyncIterator[bytes]:
        """Yield the messages of the outbox; raises the error that ended a stream."""
        self._start(None, self._relay_all())
        while True:
            message = await self._outbox.get()
            if isinstance(message, ServiceError):
                raise message
            yield message

    async def _relay_all(self) -> None:
        """Put a snapshot into the outbox, then the events of all jobs since before it was taken."""
        stream = self._service.watch_all()
        first = asyncio.ensure_future(anext(stream))
        try:
            await asyncio.sleep(0)  # subscribed first, so that no event is lost before the snapshot
            await self._outbox.put(await overview.snapshot(self._service))
            self._greeted.set()
            await self._outbox.put(await first)
            async for body in stream:
                await self._outbox.put(body)
        except ServiceError as error:
            await self._outbox.put(error)
        except StopAsyncIteration:
            pass
        finally:
            first.cancel()
        await self._outbox.put(NotRunning("The service is closing."))

    async def _relay(self, events: AsyncIterator[tuple[int, bytes]], **about: str) -> None:
        """Put the events of one job, or study, into the outbox until it is over."""
        try:
            async for _seq, body in events:
                await self._outbox.put(body)
        except (SlowWatcher, NotRunning) as error:
            await self._outbox.put(error)
        except ServiceError as error:
            await self._outbox.put(_refusal(error, **about))

    async def _read(self, *, can_subscribe: bool) -> None:
        """Carry out the client's messages until it leaves; a wrong message is answered with an error."""
        if can_subscribe:
            await self._greeted.wait()
        with contextlib.suppress(ConnectionError, TimeoutError):
            async for message in self._ws:
                try:
                    if message.type is not WSMsgType.TEXT:
                        raise BadRequest("Only text messages are taken here.")
                    wish = parse(decode(message.data.encode()), Wish, what="The message")
                    await self._grant(wish, can_subscribe=can_subscribe)
                except ServiceError as error:
                    await self._answer(_refusal(error), is_merged=can_subscribe)

    async def _answer(self, body: bytes, *, is_merged: bool) -> None:
        """Answer the client, through the outbox if the streams are merged there, else directly."""
        await (self._outbox.put(body) if is_merged else self._send(body))

    async def _grant(self, wish: Wish, *, can_subscribe: bool) -> None:
        asked = (wish.subscribe, wish.unsubscribe, wish.subscribe_study, wish.unsubscribe_study)
        if wish.older is None and not any(asked):
            await self._answer(_encode({"type": "pong", "ping": wish.ping}), is_merged=can_subscribe)
            return
        if not can_subscribe:
            raise BadRequest("This socket is one job's.", hint="Connect without job_id to subscribe to several.")
        if wish.older is not None:
            await self._outbox.put(await overview.older(self._service, wish.older))
        if wish.unsubscribe is not None:
            await self._stop(wish.unsubscribe)
        if wish.unsubscribe_study is not None:
            await self._stop(_study(wish.unsubscribe_study))
        if (job_id := wish.subscribe) is not None:
            await self._follow(job_id, self._relay(self._service.watch_bytes(job_id, wish.after), job_id=job_id))
        if (study_id := wish.subscribe_study) is not None:
            events = self._service.watch_study_bytes(study_id, wish.after)
            await self._follow(_study(study_id), self._relay(events, study_id=study_id))

    async def _follow(self, topic: str, relay: Coroutine[Any, Any, None]) -> None:
        """Run a stream, replacing the topic's present one; raises `TooManyStreams`."""
        await self._stop(topic)
        if len(self._streams) > self._limits.subscriptions:
            relay.close()
            raise TooManyStreams(f"One socket takes {self._limits.subscriptions} subscriptions.")
        self._start(topic, relay)

    def _start(self, topic: str | None, relay: Coroutine[Any, Any, None]) -> None:
        """Run a stream of this socket as a task, until it ends, is stopped, or the socket closes."""
        task = asyncio.create_task(relay, name=f"traind-ws-{topic or 'all'}")
        self._streams[topic] = task
        task.add_done_callback(lambda ended: self._streams.get(topic) is ended and self._streams.pop(topic))

    async def _stop(self, topic: str) -> None:
        task = self._streams.get(topic)
        if task is not None:
            await _end(task)

    async def _close(self, code: int) -> None:
        """Close the socket; for a client that does not read, buffered messages are dropped after a while."""
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(2 * CLOSE_S):
                await self._ws.close(code=code)
        if self._transport is not None:
            asyncio.get_running_loop().call_later(LINGER_S, self._transport.abort)


async def _end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _study(study_id: str) -> str:
    """Return the topic of a study's stream, which no job id equals."""
    return f"study/{study_id}"


def _refusal(error: ServiceError, **about: str) -> bytes:
    """Return an error as a message, which answers the client or ends a stream."""
    return _encode({"type": "error", **about, "error": described(error)})
