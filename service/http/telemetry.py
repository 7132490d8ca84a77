"""For operators: Prometheus metrics, one registry for each service, and log lines with request and job ids.

The library only logs to loggers below `traind`; nobody's logging is configured unless a program (the CLI) calls
`configure_logging`.
"""

import asyncio
import itertools
import logging
import secrets
import sys
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import IO, Any, Literal

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from traind.service.jobs.job import Job
from traind.service.plain_text import plain, plain_lines
from traind.trainer.contract.events import AnyEvent, Progress, State, Status

REQUEST_ID: ContextVar[str | None] = ContextVar("traind_request_id", default=None)
JOB_ID: ContextVar[str | None] = ContextVar("traind_job_id", default=None)
ROLE: ContextVar[str] = ContextVar("traind_role", default="operator")  # of the caller's token
CALLER: ContextVar[str | None] = ContextVar("traind_caller", default=None)  # the name of the request's token
LAG_EVERY_S = 0.05
_WAITS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200)
_QUICK = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Requests(Collector):
    """Counts and durations of requests. Written only by the event loop's thread, so without a lock."""

    def __init__(self) -> None:
        self._answered: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._timed = [0] * (len(_QUICK) + 1)  # requests up to each bound, and longer ones
        self._total_s = 0.0

    def count(self, call: str, status: int, seconds: float | None) -> None:
        """Count a request that took `seconds`; None for a stream."""
        self._answered[call, status] += 1
        if seconds is not None:
            self._timed[bisect_left(_QUICK, seconds)] += 1
            self._total_s += seconds

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics."""
        answered = CounterMetricFamily("traind_http_requests", "Requests answered", labels=["call", "status"])
        for (call, status), times in tuple(self._answered.items()):
            answered.add_metric([call, str(status)], times)
        bounds = [*(str(float(bound)) for bound in _QUICK), "+Inf"]
        buckets = list(zip(bounds, itertools.accumulate(self._timed), strict=True))
        about = "Time to answer; streams not counted"
        yield answered
        yield HistogramMetricFamily("traind_http_request_seconds", about, buckets, self._total_s)


class Totals(Collector):
    """Totals that other parts count, as last set here."""

    def __init__(self) -> None:
        self._told: dict[str, CounterMetricFamily] = {}

    def tell(self, name: str, about: str, counts: Mapping[str, int], label: str) -> None:
        """Set the counts of a metric, by label."""
        family = self._told[name] = CounterMetricFamily(name, about, labels=[label])
        for value, count in counts.items():
            family.add_metric([value], count)

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics."""
        return tuple(self._told.values())


class Telemetry:
    """The metrics of one service, in their own registry."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._steps: dict[str, int] = {}
        self.coalesced = 0  # progress events merged into a later one
        self.deaths = 0  # workers that died with a job
        self._started = secrets.token_hex(4)
        self._numbers = itertools.count(1)
        self._make_job_figures()
        self._make_server_figures()
        ProcessCollector(registry=self.registry)

    def _make_job_figures(self) -> None:
        own = self.registry
        self.jobs = Gauge("traind_jobs", "Jobs on record", ["status"], registry=own)
        self.events = Counter("traind_events", "Events committed", ["type"], registry=own)
        self.steps = Counter("traind_steps", "Gradient steps taken", registry=own)
        self.wait = Histogram("traind_queue_wait_seconds", "From queued to a worker", buckets=_WAITS, registry=own)
        self.first_step = Histogram(
            "traind_submit_to_first_step_seconds", "From accepted to a gradient step", buckets=_WAITS, registry=own
        )
        self.latency = Histogram(
            "traind_event_latency_seconds", "From the worker to committed", buckets=_QUICK, registry=own
        )

    def _make_server_figures(self) -> None:
        own = self.registry
        self.requests, self.totals = Requests(), Totals()
        own.register(self.requests)
        own.register(self.totals)
        self.lag = Histogram("traind_event_loop_lag_seconds", "How late a timer came", buckets=_QUICK, registry=own)
        self.streams = Gauge("traind_http_streams", "Websockets and event streams open", registry=own)
        self.slots = Gauge("traind_slots", "Jobs that can train at once", registry=own)
        self.busy = Gauge("traind_slots_busy", "Slots that train", registry=own)
        self.nodes = Gauge("traind_cluster_nodes", "Machines of the Ray cluster that are alive", registry=own)
        self.seats = Gauge("traind_cluster_seats", "Slots that the service holds on them", registry=own)
        self.watchers = Gauge("traind_watchers", "Subscriptions to events", registry=own)
        self.rate = Gauge("traind_samples_per_second", "Rows that the running jobs train on", registry=own)
        self.disk = Gauge("traind_disk_free_bytes", "Free space below the root", registry=own)

    def new_id(self) -> str:
        """Return a new request id."""
        return f"{self._started}-{next(self._numbers):x}"

    async def measure_lag(self) -> None:
        """Measure how late timers fire, until cancelled: the delay of the event loop."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_EVERY_S
            await asyncio.sleep(LAG_EVERY_S)
            self.lag.observe(max(0.0, loop.time() - due))

    def observe(self, job: Job, event: AnyEvent) -> None:
        """Count one committed event; `job` is the record after it."""
        self.events.labels(type(event).__struct_config__.tag).inc()
        if isinstance(event, Progress):
            self._observe_progress(job, event)
        elif isinstance(event, State):
            self._observe_state(job, event)

    def _observe_progress(self, job: Job, event: Progress) -> None:
        self.latency.observe(max(0.0, time.time() - event.ts))
        before = self._steps.get(job.job_id)
        if before is None:
            before = job.resumed_from_step or 0
            if job.attempt == 1:
                self.first_step.observe(job.timings.get("submit_to_first_step_s", 0.0))
        every = job.spec.report_every
        self.steps.inc(max(0, event.step - before))
        self.coalesced += max(0, event.step // every - before // every - 1)
        self._steps[job.job_id] = event.step

    def _observe_state(self, job: Job, event: State) -> None:
        if event.status not in (Status.LOADING, Status.RUNNING):
            self._steps.pop(job.job_id, None)
        if event.status is Status.STARTING and job.attempt == 1:
            self.wait.observe(max(0.0, event.ts - job.created_at))
        gave_up = event.error is not None and event.error.code in ("worker_killed", "crash_loop")
        if event.reason == "worker_died" or gave_up:
            self.deaths += 1


class _Fields(logging.Filter):
    """Adds the ids of its request and job to every log record."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = getattr(record, "request_id", None) or REQUEST_ID.get()
        record.job_id = getattr(record, "job_id", None) or JOB_ID.get()
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line, whatever the message holds."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "ts": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in ("request_id", "job_id", "call", "status", "seconds", "caller", "remote"):
            if (value := getattr(record, name, None)) is not None:
                line[name] = value
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


class PlainFormatter(logging.Formatter):
    """Lines for people: time, level, message, ids, with control characters escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        message = plain(record.getMessage())
        ids = [value for name in ("job_id", "request_id") if (value := getattr(record, name, None))]
        line = " ".join(
            [f"{moment} {record.levelname.lower():<8} {message}", *(f"[{plain(str(one))}]" for one in ids)]
        )
        return f"{line}\n{plain_lines(self.formatException(record.exc_info))}" if record.exc_info else line


def configure_logging(
    style: Literal["json", "plain"] = "plain", level: int | str = logging.INFO, stream: IO[str] | None = None
) -> logging.Handler:
    """Send the lines of traind's loggers to a stream, stderr by default. For programs: the library never calls it."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else PlainFormatter())
    handler.addFilter(_Fields())
    logger = logging.getLogger("traind")
    logger.setLevel(level)
    logger.addHandler(handler)
    logger.propagate = False
    return handler
