"""The server of `traind serve`: one service on one port.

Before anything starts, an address that is open to the network without a token, or a port in use, is refused. This
module also does what the app cannot: it limits connections, closes idle and slow ones, cuts off answers that are not
read, and answers what is not HTTP with an error in JSON.
"""

import asyncio
import contextlib
import ipaddress
import logging
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import hdrs, web

from traind.service.http.context import Limits
from traind.service.http.errors import (
    BadRequest,
    HttpError,
    PortInUse,
    TokenNeeded,
    TooManyConnections,
    Unexpected,
    response_of,
)
from traind.service.http.tokens import Tokens
from traind.service.service import TrainingService

LOG = logging.getLogger("traind.http")
STALLED_S: Final = 30.0  # for a client to read its answer
LINGER_S: Final = 2.0  # for a client to stop sending a refused body
SHUTDOWN_S: Final = 5.0  # for requests to end at shutdown
CONNECTIONS: Final = 4_096
BACKLOG: Final = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """A server's address and access rules."""

    host: str = "127.0.0.1"
    port: int = 3001
    tokens: Tokens | None = None
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    connections: int = CONNECTIONS
    keepalive_s: float = 15.0  # for an idle connection, and for the head of a request to arrive
    limits: Limits = field(default_factory=Limits)


@asynccontextmanager
async def serve(service: TrainingService, door: Door) -> AsyncIterator[str]:
    """Serve until the block is left; yields the URL, with the actual port if 0 was given.

    Starts and closes the service. Raises `TokenNeeded`, `PortInUse`, `BadRequest` for an address that is not this
    machine's, and what starting the service raises.
    """
    if door.tokens is None and not is_loopback(door.host):
        raise TokenNeeded(
            f"Listening on {door.host} opens traind to the network, which needs a token.",
            hint="Give --token-file, or set TRAIND_TOKEN; or listen on 127.0.0.1.",
        )
    sock = await _bind(door.host, door.port)
    runner = web.AppRunner(_make_app(service, door), access_log=None, shutdown_timeout=SHUTDOWN_S)
    try:
        await runner.setup()
        assert runner.server is not None
        listener = await _listen(runner.server, sock, door)
        try:
            yield _url(sock)
        finally:
            listener.close()
    finally:
        await runner.cleanup()
        sock.close()


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _make_app(service: TrainingService, door: Door) -> web.Application:
    bare = door.host.strip("[]")
    bound = f"[{bare}]" if ":" in bare else bare
    hosts = (bound, *door.hosts)
    return service.web_app(hosts=hosts, origins=door.origins, tokens=door.tokens, limits=door.limits)


async def _bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to the address, or raise an error that says why it cannot be."""
    loop = asyncio.get_running_loop()
    if not 0 <= port <= 65_535:
        raise BadRequest(f"{host}:{port} is not an address: ports go from 0 to 65535.")
    try:
        found = await loop.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise BadRequest(f"{host}:{port} is not an address: {error}.") from None
    family, kind, protocol, _, address = found[0]
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise PortInUse(
            f"traind cannot listen on {host}:{port}: {(error.strerror or str(error)).lower()}.",
            hint="Another program has the port (another traind?): choose one with --port.",
        ) from None
    sock.setblocking(False)
    return sock


async def _listen(server: web.Server, sock: socket.socket, door: Door) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    limit = min(door.connections, _spare_descriptors())

    def answer() -> asyncio.Protocol:
        if len(server.connections) >= limit:
            return Refusal(TooManyConnections(f"This server has its {limit} connections open already."))
        return Line(
            server,
            loop=loop,
            access_log=None,
            keepalive_timeout=door.keepalive_s,
            lingering_time=LINGER_S,
            auto_decompress=False,
        )

    return await loop.create_server(answer, sock=sock, backlog=BACKLOG)


def _spare_descriptors() -> int:
    """Raise the process's limit of descriptors as far as possible; return the connections that it allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, CONNECTIONS * 2) if hard != resource.RLIM_INFINITY else CONNECTIONS * 2
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return CONNECTIONS if soft == resource.RLIM_INFINITY else max(16, soft - 128)


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Line(web.RequestHandler):
    """aiohttp's connection, with a deadline for reading answers and JSON errors for what is not HTTP."""

    __slots__ = ("_stalled",)

    def __init__(self, manager: web.Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self._stalled: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """Start the clock: the client does not read."""
        super().pause_writing()
        if self._stalled is None and self.transport is not None:
            self._stalled = self._loop.call_later(STALLED_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the clock: it reads again."""
        super().resume_writing()
        self._stop_clock()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the clock with the connection."""
        super().connection_lost(exc)
        self._stop_clock()

    def _stop_clock(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what aiohttp's parser refuses, and errors outside of handlers."""
        if status >= 500:
            super().handle_error(request, status, exc, message)  # logs it
            refusal: HttpError = Unexpected("traind made a mistake; its log says which.")
        elif request.writer.output_size > 0:
            raise ConnectionError("an answer is on its way already")
        else:
            LOG.debug("%s sent what is not HTTP: %s", request.remote, message)
            refusal = BadRequest("This is not HTTP as traind takes it.")
        response = response_of(refusal)
        response.headers[hdrs.SERVER] = "traind"
        response.force_close()
        return response


class Refusal(asyncio.Protocol):
    """A connection beyond the limit: it is answered with an error and closed."""

    def __init__(self, error: HttpError) -> None:
        self._response = response_of(error)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the answer without reading a request."""
        assert isinstance(transport, asyncio.Transport)
        body = self._response.body
        assert isinstance(body, bytes)
        lines = [f"HTTP/1.1 {self._response.status} {self._response.reason}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in self._response.headers.items()]
        lines += [f"Content-Length: {len(body)}", "", ""]
        transport.write("\r\n".join(lines).encode() + body)
        transport.close()
