"""What every handler of one app can reach: the service, the limits, the open streams. Typed keys, no globals."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from traind import __version__
from traind.service.http.errors import TooManyStreams
from traind.service.http.telemetry import Telemetry
from traind.service.jobs.job import Job
from traind.service.service import TrainingService

KILOBYTE = 1024
VERSION = __version__


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one client may ask for, and how long it may take. Sizes in bytes, times in seconds."""

    control_bytes: int = 64 * KILOBYTE
    predict_bytes: int = 16 * KILOBYTE * KILOBYTE
    body_s: float = 10.0  # for a whole control call
    slowest_bytes_s: int = 8 * KILOBYTE  # larger bodies get more time: their size at this speed
    beat_s: float = 15.0  # between signs of life on a silent stream
    send_s: float = 10.0  # for one message to leave; a client that does not read is dropped then
    outbox: int = 64  # messages that wait for one websocket
    subscriptions: int = 32  # job streams on one websocket
    streams: int = 4_000  # websockets and event streams of one app


class Streams:
    """The websockets and event streams that are open, so that shutdown can end them and a cap can hold."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def admit(self) -> None:
        """Count the current handler's task as a stream, or raise `TooManyStreams`."""
        if len(self._tasks) >= self._limit:
            raise TooManyStreams(f"{self._limit} streams are open already.", hint="Close some, or try later.")
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def end(self) -> None:
        """Cancel every open stream."""
        for task in tuple(self._tasks):
            task.cancel()


class Encoded:
    """The answers to GET status that were asked for last: a job that has not changed is not written out again."""

    def __init__(self, limit: int = 256) -> None:
        self._limit = limit
        self._known: OrderedDict[str, tuple[Job, bytes]] = OrderedDict()

    def get(self, job: Job, encode: Callable[[Job], bytes]) -> bytes:
        """Return the answer for this very record."""
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
STREAMS = web.AppKey("traind_streams", Streams)
TELEMETRY = web.AppKey("traind_telemetry", Telemetry)
ENCODED = web.AppKey("traind_encoded", Encoded)
