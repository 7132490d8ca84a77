"""The shared objects of one app's handlers: service, limits, open streams. Typed keys, no globals."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from traind import __version__
from traind.service.errors import TooMany
from traind.service.http.errors import TooManyStreams
from traind.service.http.telemetry import Telemetry
from traind.service.jobs.job import Job
from traind.service.service import TrainingService

KILOBYTE = 1024
VERSION = __version__


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits for one client. Sizes in bytes, times in seconds."""

    control_bytes: int = 64 * KILOBYTE
    predict_bytes: int = 16 * KILOBYTE * KILOBYTE
    body_s: float = 10.0  # for the whole body of a control call
    slowest_bytes_s: int = 8 * KILOBYTE  # larger bodies get more time, for this speed
    beat_s: float = 15.0  # between keep-alive messages on a silent stream
    send_s: float = 10.0  # for sending one message; then a client that does not read is dropped
    outbox: int = 64  # messages that wait for one websocket
    subscriptions: int = 32  # job streams on one websocket


class Streams:
    """The open websockets and event streams, to limit their number and to end them at shutdown.

    One client may have half of them.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._by_client: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._tasks)

    def admit(self, client: str) -> None:
        """Count the current handler's task as a stream of that client, or raise `TooManyStreams`."""
        mine = self._by_client[client]
        if len(self._tasks) >= self._limit or mine >= max(1, self._limit // 2):
            whose = f"{mine} streams of yours" if len(self._tasks) < self._limit else f"{self._limit} streams"
            raise TooManyStreams(f"{whose} are open already.", hint="Close some, or try later.")
        task = asyncio.current_task()
        assert task is not None
        self._tasks[task] = client
        self._by_client[client] += 1
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        client = self._tasks.pop(task)
        self._by_client[client] -= 1
        if not self._by_client[client]:
            del self._by_client[client]

    def end(self) -> None:
        """Cancel every open stream."""
        for task in tuple(self._tasks):
            task.cancel()


class Exports:
    """The number of exports in progress: each is a file on the disk until it is sent."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0

    def take(self) -> None:
        """Count one more, or raise `TooMany`."""
        if self._count >= self._limit:
            raise TooMany(f"{self._count} exports are made or fetched now.", hint="Try again when one is done.")
        self._count += 1

    def give_back(self) -> None:
        """Count one less."""
        self._count -= 1


class Encoded:
    """A cache of answers to GET status: an unchanged job is not encoded again."""

    def __init__(self, limit: int = 256) -> None:
        self._limit = limit
        self._known: OrderedDict[str, tuple[Job, bytes]] = OrderedDict()

    def get(self, job: Job, encode: Callable[[Job], bytes]) -> bytes:
        """Return the encoded answer for this record."""
        known = self._known.get(job.job_id)
        if known is not None and known[0] is job:
            return known[1]
        body = encode(job)
        self._known[job.job_id] = (job, body)
        if len(self._known) > self._limit:
            self._known.popitem(last=False)
        return body


SERVICE = web.AppKey("traind_service", TrainingService)
LIMITS = web.AppKey("traind_limits", Limits)
EXPORTS = web.AppKey("traind_exports", Exports)
STREAMS = web.AppKey("traind_streams", Streams)
TELEMETRY = web.AppKey("traind_telemetry", Telemetry)
ENCODED = web.AppKey("traind_encoded", Encoded)
