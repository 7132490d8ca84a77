"""`SyncClient`: a blocking client for notebooks and scripts: `Client` on a thread of its own."""

import asyncio
import os
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterable, Coroutine, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar, Unpack

from traind.service.client.asynchronous import Client
from traind.service.client.calls import Rows
from traind.service.client.study_verbs import SyncStudyVerbs
from traind.service.jobs.job import Job
from traind.service.jobs.listing import Filters
from traind.service.results import (
    Alias,
    AliasSet,
    Controlled,
    Dataset,
    DatasetPage,
    EventPage,
    FilePage,
    IfBetter,
    JobPage,
    LogPage,
    Prediction,
    Score,
)
from traind.service.sources import OnProgress, Row
from traind.service.webhooks.outbox import Delivery
from traind.trainer.contract.events import AnyEvent, Status
from traind.trainer.contract.spec import TrainSpec

T = TypeVar("T")
CLOSE_S: Final = 2.0  # limit of closing connections when the program ends


class _LoopThread:
    """An event loop on a daemon thread, with a client opened on it; for one process."""

    def __init__(self, client: Client) -> None:
        self.pid = os.getpid()  # a forked child has neither thread nor loop
        self.client = client
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="traind-client", daemon=True)
        self._thread.start()
        self.wait(client.__aenter__())

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run the work on the loop and return its result; an interrupt cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Close the client and end the thread."""
        if self.pid != os.getpid() or not self._thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(self._close(), self._loop)
        if threading.current_thread() is threading.main_thread():
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    async def _close(self) -> None:
        await self.client.__aexit__(None, None, None)
        self._loop.stop()


class SyncClient(SyncStudyVerbs):
    """A running server, with the methods of `Client` as blocking calls. There is nothing to close.

    The first call starts a thread with an event loop; it ends with the program, or when the client is deleted.
    A server that has answered may be away for `patience_s`; `timeout_s` is the longest silence within an answer.
    The token is taken from TRAIND_TOKEN where none is given. Several threads may use one client.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:3001",
        token: str | None = None,
        *,
        timeout_s: float = 120.0,
        patience_s: float = 90.0,
    ) -> None:
        self._make = partial(Client, base_url, token, timeout_s=timeout_s, patience_s=patience_s)
        self._starting = threading.Lock()
        self._thread: _LoopThread | None = None

    def submit(
        self, spec: TrainSpec | Mapping[str, Any] | None = None, *, job_id: str | None = None, **fields: Any
    ) -> Job:
        """Submit a job: a `TrainSpec`, a mapping, or its fields as keywords.

        With a `job_id` of your own, repeating the call returns the same job.
        """
        return self._wait(self._opened().submit(spec, job_id=job_id, **fields))

    def dry_run(self, spec: TrainSpec | Mapping[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
        """Return what a job would do: schema, warnings, parameters, memory, seconds."""
        return self._wait(self._opened().dry_run(spec, **fields))

    def status(self, job_id: str) -> Job:
        """Return one job."""
        return self._wait(self._opened().status(job_id))

    def jobs(
        self,
        status: Status | str | Iterable[Status | str] | None = None,
        limit: int = 100,
        after: str | int | None = None,
        **filters: Unpack[Filters],
    ) -> JobPage:
        """Return a page of jobs, newest first unless `sort` says otherwise; `filters` as `TrainingService.jobs`."""
        return self._wait(self._opened().jobs(status, limit, after, **filters))

    def events(self, job_id: str, after: int = 0, limit: int = 1000) -> EventPage:
        """Return a page of a job's events."""
        return self._wait(self._opened().events(job_id, after, limit))

    def watch(self, job_id: str, after: int = 0) -> Iterator[AnyEvent]:
        """Yield a job's events, each `seq` once and in order, until the job has ended; as `Client.watch`."""
        return self._each(self._opened().watch(job_id, after))

    def wait(self, job_id: str) -> Job:
        """Return the job once it has ended."""
        return self._wait(self._opened().wait(job_id))

    def stop(self, job_id: str) -> Job:
        """End a job and keep the best model so far."""
        return self._wait(self._opened().stop(job_id))

    def pause(self, job_id: str) -> Job:
        """Have a job write its checkpoint and free its slot."""
        return self._wait(self._opened().pause(job_id))

    def cancel(self, job_id: str) -> Job:
        """End a job and keep only its record."""
        return self._wait(self._opened().cancel(job_id))

    def resume(self, job_id: str, epochs: int | None = None) -> Job:
        """Continue a paused, stopped, failed or (with more epochs) completed job."""
        return self._wait(self._opened().resume(job_id, epochs))

    def control(self, job_id: str, **changes: Any) -> Controlled:
        """Change `lr`, `epochs`, `patience`, `report_every` or `checkpoint_every` of a running job at its next step.

        The result names the step; it is None where that takes longer than ten seconds.
        """
        return self._wait(self._opened().control(job_id, **changes))

    def edit(self, job_id: str, **changes: Any) -> Job:
        """Change `name`, `tags` or `notes` of a job, or its `priority` while it waits; what is left out stays."""
        return self._wait(self._opened().edit(job_id, **changes))

    def delete(self, job_id: str) -> None:
        """Remove a finished job with its files."""
        self._wait(self._opened().delete(job_id))

    def logs(self, job_id: str, limit_bytes: int = 65_536) -> str:
        """Return the end of a job's output."""
        return self._wait(self._opened().logs(job_id, limit_bytes))

    def log_page(self, job_id: str, limit_bytes: int = 65_536, after: str | None = None) -> LogPage:
        """Return the end of a job's output, or what was printed since the page whose `next` is `after`."""
        return self._wait(self._opened().log_page(job_id, limit_bytes, after))

    def follow_logs(self, job_id: str, limit_bytes: int = 65_536) -> Iterator[str]:
        """Yield the end of a job's output, then what it prints until it is over."""
        return self._each(self._opened().follow_logs(job_id, limit_bytes))

    def files(self, job_id: str, limit: int = 1_000, after: str | None = None) -> FilePage:
        """Return a page of the files that a job's trainer wrote, by name."""
        return self._wait(self._opened().files(job_id, limit, after))

    def file_path(self, job_id: str, name: str, *, to: str | os.PathLike[str] | None = None) -> Path:
        """Download one of a job's files to `to`, by default the last part of its name; return the path."""
        return self._wait(self._opened().file_path(job_id, name, to=to))

    def curve(self, job_id: str, points: int = 800, series: Iterable[str] = ()) -> dict[str, Any]:
        """Return a job's curves, rewound at resumed attempts and thinned to about `points` a series."""
        return self._wait(self._opened().curve(job_id, points, series))

    def predict(
        self,
        model: str,
        rows: Rows | None = None,
        *,
        columns: Mapping[str, list[Any]] | None = None,
        interval: float | None = None,
    ) -> Prediction:
        """Predict with a job's or alias's model, one prediction a row; with `interval`, intervals around numbers."""
        return self._wait(self._opened().predict(model, rows, columns=columns, interval=interval))

    def model_path(self, model: str, *, to: str | os.PathLike[str] | None = None) -> Path:
        """Download a finished model to `to`, by default `<model>.pt`, for `traind.load_model`; return the path."""
        return self._wait(self._opened().model_path(model, to=to))

    def export(self, model: str, format: str, *, to: str | os.PathLike[str] | None = None) -> Path:  # noqa: A002
        """Download a verified `onnx` or `safetensors` export of a model and return its path."""
        return self._wait(self._opened().export(model, format, to=to))

    def put_dataset(
        self,
        name: str,
        source: str | os.PathLike[str] | bytes | Iterable[Row],
        format: str | None = None,  # noqa: A002
        *,
        size_bytes: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> Dataset:
        """Register a data set from a path, bytes or rows; arguments as those of `Client.put_dataset`."""
        if isinstance(source, AsyncIterable):
            raise TypeError("An asynchronous source needs `Client`; `SyncClient` takes a path, bytes or rows.")
        putting = self._opened().put_dataset(name, source, format, size_bytes=size_bytes, on_progress=on_progress)
        return self._wait(putting)

    def datasets(self, limit: int = 1_000, after: str | None = None) -> DatasetPage:
        """Return a page of data sets by name, without column details: `dataset` returns those."""
        return self._wait(self._opened().datasets(limit, after))

    def dataset(self, name: str) -> Dataset:
        """Return one data set."""
        return self._wait(self._opened().dataset(name))

    def preview(self, name: str, rows: int = 20) -> dict[str, Any]:
        """Return the first rows of a data set, its columns and their summary."""
        return self._wait(self._opened().preview(name, rows))

    def delete_dataset(self, name: str) -> None:
        """Remove a data set that no unfinished job uses."""
        self._wait(self._opened().delete_dataset(name))

    def evaluate(
        self,
        model: str,
        source: str | os.PathLike[str] | bytes | Iterable[Row] | None = None,
        *,
        dataset: str | None = None,
        format: str | None = None,  # noqa: A002
    ) -> Score:
        """Return how good a job's (or alias's) model is on a labelled table: `source`, or a registered `dataset`."""
        return self._wait(self._opened().evaluate(model, source, dataset=dataset, format=format))

    def set_alias(
        self, name: str, job_id: str | None, if_better: IfBetter | Mapping[str, Any] | None = None
    ) -> AliasSet | None:
        """Point an alias at a job's model (None: remove it), with `if_better` only if better (else `NotBetter`)."""
        return self._wait(self._opened().set_alias(name, job_id, if_better))

    def alias(self, name: str) -> Alias:
        """Return an alias with its history."""
        return self._wait(self._opened().alias(name))

    def aliases(self) -> dict[str, dict[str, Any]]:
        """Return each alias with its job and the time since when."""
        return self._wait(self._opened().aliases())

    def webhook_list(self) -> list[dict[str, Any]]:
        """Return every configured webhook and its deliveries by state."""
        return self._wait(self._opened().webhook_list())

    def webhook_deliveries(self, name: str, limit: int = 100) -> list[Delivery]:
        """Return a webhook's newest deliveries, newest first."""
        return self._wait(self._opened().webhook_deliveries(name, limit))

    def test_webhook(self, name: str) -> str:
        """Have a test message delivered to a webhook; return its webhook-id."""
        return self._wait(self._opened().test_webhook(name))

    def health(self) -> dict[str, Any]:
        """Return the server's health: version, slots, queue, uptime."""
        return self._wait(self._opened().health())

    def _opened(self) -> Client:
        """Return the client on the loop; starts both at the first call in each process."""
        with self._starting:
            if self._thread is None or self._thread.pid != os.getpid():
                self._thread = _LoopThread(self._make())
                weakref.finalize(self, self._thread.close)
            return self._thread.client

    def _each(self, stream: AsyncGenerator[T]) -> Iterator[T]:
        """Yield the items of a stream on the loop."""
        try:
            while (item := self._wait(_next_of(stream))) is not None:
                yield item
        finally:
            self._wait(stream.aclose())

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        assert self._thread is not None  # `_opened` made the work
        return self._thread.wait(work)


async def _next_of(stream: AsyncGenerator[T]) -> T | None:
    """Return the next item; None after the last."""
    return await anext(stream, None)
