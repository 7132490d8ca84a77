"""The server's end of the gateway: keeps one running, carries calls to it and hands on what it tells.

A gateway that ends, hangs or is aborted from within is started again after a pause that grows; calls under way fail
then with `GatewayGone`, and whoever made them decides what to do.
"""

import asyncio
import contextlib
import itertools
import logging
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Coroutine
from typing import IO, Any

import msgspec

from traind.service.executor.ray.protocol import (
    Answer,
    Call,
    Cluster,
    Connected,
    GatewayConfig,
    Message,
    Refused,
    Trouble,
    framed,
    read_message,
)
from traind.service.threads import in_thread

LOG = logging.getLogger(__name__)
PAUSES_S = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
JOIN_S = 60.0  # what a gateway may take to join, or to say why not
LOG_BYTES = 2_000


class GatewayGone(Exception):
    """The gateway ended before it answered, or there is none now."""


class CallFailed(Exception):
    """The gateway answered that it could not be done; the message says why.

    `is_silence`: nobody answered it, and it may have been done all the same.
    """

    def __init__(self, message: str, *, is_silence: bool = False) -> None:
        super().__init__(message)
        self.is_silence = is_silence


class Link:
    """One gateway at a time, and what it knows of the cluster."""

    def __init__(
        self,
        on_message: Callable[[Message], Awaitable[None]],
        on_joined: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        self.problem: str | None = "The cluster has not been joined yet."
        self.refusal: Refused | None = None  # the last one, until a gateway joins
        self.cluster = Cluster()
        self.versions: Connected | None = None
        self.starts = 0
        self._config: GatewayConfig
        self._on_message = on_message
        self._on_joined = on_joined
        self._numbers = itertools.count(1)
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._joined = asyncio.Event()
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_closing = False
        self._joining: set[asyncio.Task[None]] = set()

    @property
    def is_joined(self) -> bool:
        """Whether a gateway is in the cluster now."""
        return self._joined.is_set()

    @property
    def pid(self) -> int | None:
        """The gateway's process."""
        return self._process.pid if self._process is not None else None

    def start(self, config: GatewayConfig) -> None:
        """Begin to keep a gateway running."""
        self._config = config
        self._task = asyncio.create_task(self._keep_running(), name="traind-gateway")

    async def tried(self) -> None:
        """Wait until the first gateway has joined the cluster, or reported why it could not."""
        await self._tried.wait()

    async def close(self) -> None:
        """End the gateway; the seats are not touched."""
        if self._task is not None:
            self._is_closing = True
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    async def call(self, method: str, /, **arguments: Any) -> Any:
        """Have the gateway do something and return its value. Raises `GatewayGone`, `CallFailed`."""
        if self._writer is None or not self.is_joined:
            raise GatewayGone(self.problem or "There is no gateway.")
        number = next(self._numbers)
        answer = self._calls[number] = asyncio.get_running_loop().create_future()
        try:
            self._writer.write(framed(Call(number, method, arguments)))
            with contextlib.suppress(ConnectionError):
                await self._writer.drain()
            return await answer
        finally:
            self._calls.pop(number, None)

    async def insist(self, method: str, is_wanted: Callable[[], bool] = lambda: True, /, **arguments: Any) -> Any:
        """Call as `call` does, again with each new gateway until one has answered. Raises `CallFailed`.

        None where it is not wanted any more when a gateway is there.
        """
        while True:
            await self._joined.wait()
            if not is_wanted():
                return None
            try:
                return await self.call(method, **arguments)
            except GatewayGone:
                await asyncio.sleep(PAUSES_S[0])

    async def _keep_running(self) -> None:
        failures = 0
        while True:
            was_joined = await self._run_one()
            failures = 1 if was_joined else failures + 1
            await asyncio.sleep(PAUSES_S[min(failures, len(PAUSES_S)) - 1])

    async def _run_one(self) -> bool:
        """Run one gateway until it ends; return whether it had joined the cluster."""
        ours, theirs = socket.socketpair()
        with tempfile.TemporaryFile() as log:
            with theirs:
                self._process = process = _launch(theirs, self._config, log)  # some milliseconds; never half done
            self.starts += 1
            was_joined = False
            try:
                reader, self._writer = await asyncio.open_unix_connection(sock=ours)
                async with asyncio.timeout(JOIN_S) as joining:
                    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                        while True:
                            message = await read_message(reader)
                            if isinstance(message, Connected):
                                joining.reschedule(None)
                                was_joined = True
                            await self._received(message)
            except TimeoutError:
                self.problem = f"The cluster at {self._config.address} could not be joined within {JOIN_S:g} s."
            finally:
                self._gone(ours, was_joined=was_joined)
                process.kill()
                await in_thread(process.wait)
                if not self._is_closing and self.refusal is None:
                    LOG.warning("the gateway to the Ray cluster ended (%s)%s", process.returncode, _tail(log))
        return was_joined

    async def _received(self, message: Message) -> None:
        match message:
            case Connected():
                self.problem = self.refusal = None
                self.versions = message
                self._joined.set()
                self._tried.set()
                task = asyncio.create_task(self._on_joined(), name="traind-joined")
                self._joining.add(task)
                task.add_done_callback(self._joining.discard)
            case Refused():
                if self.problem != message.message:
                    LOG.warning("%s", message.message)
                self.problem, self.refusal = message.message, message
                self._tried.set()
            case Answer():
                if (waiting := self._calls.get(message.number)) is not None and not waiting.done():
                    if message.error is None:
                        waiting.set_result(message.value)
                    else:
                        waiting.set_exception(CallFailed(message.error, is_silence=message.is_silence))
            case Trouble():
                self.problem = message.message
            case _:
                if isinstance(message, Cluster):
                    self.cluster, self.problem = message, None
                await self._on_message(message)

    def _gone(self, ours: socket.socket, *, was_joined: bool) -> None:
        """Fail what was under way."""
        self._joined.clear()
        self._tried.set()
        if was_joined or self.problem is None:
            self.problem = "The gateway to the cluster has ended; another one is being started."
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None
        else:
            ours.close()
        for waiting in self._calls.values():
            if not waiting.done():
                waiting.set_exception(GatewayGone(self.problem))


def _launch(theirs: socket.socket, config: GatewayConfig, log: IO[bytes]) -> subprocess.Popen[bytes]:
    code = f"import sys; sys.path[:] = {sys.path!r}; from traind.service.executor.ray.gateway import main; main()"
    words = msgspec.json.encode(config).decode()
    return subprocess.Popen(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", code, str(theirs.fileno()), words],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=(theirs.fileno(),),
        start_new_session=True,
    )


def _tail(log: IO[bytes]) -> str:
    """Return the last that a gateway wrote, as the end of a sentence."""
    size = os.fstat(log.fileno()).st_size
    words = os.pread(log.fileno(), LOG_BYTES, max(0, size - LOG_BYTES)).decode(errors="replace").strip()
    return f": {words}" if words else ""
