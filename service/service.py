"""`TrainingService`: everything traind does, as one object for asyncio programs.

The engine runs jobs; `datasets` keeps tables; the side worker predicts, exports and describes. The HTTP app,
`traind train` and embedding programs call this and nothing below it. No HTTP, no signal handlers, no globals.
"""

import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Collection, Iterable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

import msgspec

from traind.service.curves import curve
from traind.service.datasets import Datasets
from traind.service.engine.edits import Edit
from traind.service.engine.engine import Engine, Origin, ParentChanged
from traind.service.errors import EngineFailed, NotRunning
from traind.service.executor.choice import executor_of
from traind.service.jobs.job import Job
from traind.service.jobs.lineage import inherit
from traind.service.jobs.listing import Filters, Listing
from traind.service.mirrors.mirrors import Mirrors
from traind.service.models import SLOW_S, Models
from traind.service.outputs import Outputs
from traind.service.overview import Overview
from traind.service.processes.fork_server import ForkServer
from traind.service.processes.side import SideWorker
from traind.service.results import Controlled, EventPage, JobPage
from traind.service.root_lock import RootLock
from traind.service.settings import PRIVATE_UMASK, Layout, Settings, cache_dir
from traind.service.studies.calls import StudyCalls
from traind.service.studies.studies import Studies
from traind.service.tables import Tables
from traind.service.threads import in_thread
from traind.service.trainers import check_trainer, check_trainers, references
from traind.service.validation.explain import Problem
from traind.service.validation.goal import check_monitor
from traind.service.validation.memory_budget import check_memory
from traind.service.validation.validate import Checked, parse, parse_spec, refusal
from traind.service.webhooks.deliver import Webhooks
from traind.service.webhooks.outbox import Delivery
from traind.service.webhooks.targets import load_targets
from traind.trainer.contract.change import Change
from traind.trainer.contract.events import AnyEvent, Status
from traind.trainer.contract.spec import TrainSpec

if TYPE_CHECKING:  # without the HTTP adapter the service loads no aiohttp
    from aiohttp import web

    from traind.service.http.guard import Authorize

LOG = logging.getLogger(__name__)


class TrainingService(Models, Tables, Outputs, Overview, StudyCalls):
    """One root: its jobs, data sets and models.

    Keyword arguments are the fields of `Settings`; `executor` may also be one, such as `RaySlots("head:6379",
    lease_s=60)`. `async with` starts and closes it; a root can be open in one service at a time (`RootBusy`).
    Services of one process may share a `fork_server`, so that torch is loaded once; its maker stops it.
    """

    def __init__(
        self, root: str | os.PathLike[str] = ".", *, fork_server: ForkServer | None = None, **settings: Any
    ) -> None:
        if "trainers" in settings:
            settings["trainers"] = references(settings["trainers"])
        executor = None if isinstance(settings.get("executor", ""), str) else settings.pop("executor")
        self.settings = Settings.check(root=root, **settings)
        self.layout = Layout(self.settings.root)
        self._has_server = fork_server is None  # started and stopped by this service
        self._server = fork_server or ForkServer(umask=PRIVATE_UMASK if self.settings.private_root else -1)
        executor = executor_of(self.settings, self.layout.root, self._server, executor)
        self.engine = Engine(self.settings, self.layout, executor)
        self.webhooks = Webhooks(load_targets(self.settings.webhooks))
        self.engine.outbox = self.webhooks.entries
        self.mirrors = Mirrors(self.settings, self.layout)
        self._studies = Studies(self.engine, self.settings, self.layout)
        self._opened_parts: AsyncExitStack | None = None
        self.started_at = 0.0  # seconds since 1970

    @property
    def is_open(self) -> bool:
        """Whether the service is started and not yet closed."""
        return self._opened_parts is not None

    def keep_files_private(self) -> None:
        """Set the umask of this process so that only its user can read what it writes, if the root is private.

        For traind's own commands. A host program keeps its umask; the root's folders are closed to others even then.
        """
        if self.settings.private_root:
            os.umask(PRIVATE_UMASK)

    async def __aenter__(self) -> Self:
        """Lock the root, settle what the last service left, start the workers."""
        self.layout.make(is_private=self.settings.private_root)
        async with AsyncExitStack() as opened:
            lock = await in_thread(RootLock.take, self.layout.lock_path)
            opened.callback(lock.release)
            if self._has_server:
                opened.push_async_callback(in_thread, self._server.stop)
            await in_thread(self._server.start)
            self.side = SideWorker(self._server, self.layout.side_dir, memory_bytes=self.settings.worker_limit_bytes)
            opened.push_async_callback(self.side.close)
            await self.side.start()
            await check_trainers(self.side, self.settings.all_trainers())
            self._datasets = Datasets(self.layout, self.settings, self.side, self.engine.feed)
            await self._datasets.open()
            opened.push_async_callback(self.engine.executor.close)
            await self.engine.open()
            opened.push_async_callback(self.engine.close)
            await self._studies.open(self.side, self._datasets)
            opened.push_async_callback(self._studies.close)
            await self.webhooks.start(self.engine.journal.store)
            opened.push_async_callback(self.webhooks.close)
            await self.mirrors.start()
            opened.push_async_callback(self.mirrors.close)
            self._opened_parts = opened.pop_all()
        self.started_at, self._opened = time.time(), time.monotonic()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Have running jobs checkpoint and leave; they go on at the next start."""
        await self.close()

    async def close(self) -> None:
        """Close the service; may be called twice."""
        opened, self._opened_parts = self._opened_parts, None
        if opened is not None:
            await opened.aclose()

    @property
    def failed(self) -> Awaitable[EngineFailed]:
        """An awaitable of the error with which the engine stops; it waits for ever while all is well.

        After that every call raises that error. Close the service and start it again: nothing is lost.
        """
        self._check_started()
        return self.engine.failed()

    async def submit(
        self, spec: TrainSpec | Checked | Mapping[str, Any] | None = None, *, job_id: str | None = None, **fields: Any
    ) -> Job:
        """Accept a job; when this returns, it is recorded durably.

        The spec may be a `TrainSpec`, a mapping, or its fields as keywords. Raises `InvalidSpec` with every bad
        field, `DatasetNotFound`, `IdTaken`, `QueueFull`, `DiskLow`.
        """
        self._check_open()
        requested = parse_spec(fields if spec is None else spec)
        while True:  # a job takes up so many changes, and no more
            with contextlib.suppress(ParentChanged):
                return await self._submit(requested, job_id)

    async def _submit(self, requested: TrainSpec, job_id: str | None) -> Job:
        checked, changes, seen = await inherit(requested, job_id, self.engine.journal.job)
        if job_id is not None and (job := await self.engine.submitted_before(job_id, checked)) is not None:
            return job
        await check_trainer(self.side, self.settings, checked)
        dataset, known = await self._datasets.resolve(checked)
        check_memory(checked, known, self.settings.memory_budget_bytes)
        check_monitor(checked, known)
        return await self.engine.submit(checked, dataset, job_id, changes, Origin(seen=seen))

    async def dry_run(
        self, spec: TrainSpec | Checked | Mapping[str, Any] | None = None, **fields: Any
    ) -> dict[str, Any]:
        """Return what a job would do: schema with evidence, warnings, parameters, memory, seconds. Takes no slot."""
        self._check_open()
        checked, *_ = await inherit(parse_spec(fields if spec is None else spec), None, self.engine.journal.job)
        await check_trainer(self.side, self.settings, checked)
        dataset, known = await self._datasets.resolve(checked)
        check_memory(checked, known, self.settings.memory_budget_bytes)
        check_monitor(checked, known)
        located = self.layout.located(dataset) if dataset else None
        request = {
            "spec": msgspec.to_builtins(checked),
            "dataset": msgspec.to_builtins(located),
            "cache_dir": cache_dir(located) if located else None,
        }
        answer: dict[str, Any] = await self.side.call(
            "traind.trainer.tabular.dry_run:estimate_request", request, SLOW_S
        )
        return answer

    async def status(self, job_id: str) -> Job:
        """Return a job as it is now; raises `JobNotFound`."""
        self._check_open()
        return await self.engine.job(job_id)

    async def jobs(
        self,
        status: Status | str | Iterable[Status | str] | None = None,
        limit: int = 100,
        after: int | str | None = None,
        **filters: Unpack[Filters],
    ) -> JobPage:
        """Return a page of jobs, newest first unless `sort` says otherwise; `after` is the `next` of the page before.

        `filters` are the fields of `jobs.listing.Listing`: tag, dataset, name, trainer, study, sort ("created",
        "-created", "metric:rmse"). Raises `InvalidSpec`.
        """
        self._check_open()
        wanted = [] if status is None else [status] if isinstance(status, str) else list(status)
        listing = parse(filters, Listing, what="The list")
        try:
            return await self.engine.jobs([str(state) for state in wanted], limit, after, listing)
        except ValueError:
            raise refusal([Problem("after", "is not the `next` of a page in this order")]) from None

    async def events(self, job_id: str, after: int = 0, limit: int = 1_000) -> EventPage:
        """Return events as encoded JSON, in order; raises `JobNotFound`, `CursorAhead`."""
        self._check_open()
        return await self.engine.events(job_id, after, limit)

    def watch(self, job_id: str, after: int = 0) -> AsyncIterator[AnyEvent]:
        """Yield each event after `after` exactly once, past ones first, until the job is over.

        Raises `JobNotFound`, `CursorAhead`, `SlowWatcher` (watch again after the last `seq`), `NotRunning` on close.
        """
        self._check_open()
        return self.engine.watch(job_id, after)

    def watch_bytes(self, job_id: str, after: int = 0) -> AsyncIterator[tuple[int, bytes]]:
        """Yield as `watch` does, as `(seq, encoded event)`."""
        self._check_open()
        return self.engine.watch_bytes(job_id, after)

    async def watch_all(self) -> AsyncIterator[bytes]:
        """Yield, encoded, the states and thinned progress of all jobs, and notices, from now on."""
        self._check_open()
        with self.engine.feed.watch(None) as watcher:
            while (item := await watcher.next_item()) is not None:
                yield item.body

    async def wait(self, job_id: str) -> Job:
        """Return the job once it is over; raises `JobNotFound`, `NotRunning` on close."""
        self._check_open()
        return await self.engine.wait(job_id)

    async def stop(self, job_id: str) -> Job:
        """End a job and keep its best model so far; without a step yet it is cancelled. Raises `JobFinished`."""
        return await self.engine.stop(job_id)

    async def pause(self, job_id: str) -> Job:
        """Free the job's slot and keep its place. Raises `JobFinished`."""
        return await self.engine.pause(job_id)

    async def resume(self, job_id: str, epochs: int | None = None) -> Job:
        """Go on from the last checkpoint, with more epochs where given. Raises `NotResumable`."""
        return await self.engine.resume(job_id, epochs)

    async def cancel(self, job_id: str) -> Job:
        """End a job and keep nothing but its record. Raises `JobFinished`."""
        return await self.engine.cancel(job_id)

    async def control(self, job_id: str, **changes: Any) -> Controlled:
        """Change `lr`, `epochs`, `patience`, `report_every` or `checkpoint_every` of a running job at its next step.

        The result names the step; it is None where that takes longer than ten seconds, and an event names it later.
        Raises `InvalidSpec`, `JobNotRunning`, `JobFinished`, `ChangeRefused`, `TooMany`.
        """
        return await self.engine.control(job_id, parse(changes, Change, what="The change"))

    async def edit(self, job_id: str, **changes: Any) -> Job:
        """Change `name`, `tags` or `notes` of a job, or its `priority` while it waits.

        What is left out stays. Raises `InvalidSpec`, `NotWaiting`.
        """
        return await self.engine.edit(job_id, parse(changes, Edit, what="The change"))

    async def delete(self, job_id: str) -> None:
        """Remove a job that is over, with its files and its model. Raises `JobNotFinished`."""
        await self.engine.delete(job_id)

    async def curve(self, job_id: str, points: int = 800, series: Collection[str] = ()) -> dict[str, Any]:
        """Return a job's curves, rewound at resumed attempts and thinned to about `points` a series.

        Of those that `series` names, or all; `names` says which there are.
        """
        self._check_open()
        return await curve(self.engine, job_id, points, series)

    async def webhook_list(self) -> list[dict[str, Any]]:
        """Return every configured webhook, without its secret, and its deliveries by state."""
        self._check_open()
        return await self.webhooks.listed()

    async def webhook_deliveries(self, name: str, limit: int = 100) -> list[Delivery]:
        """Return a webhook's newest deliveries, newest first; raises `WebhookNotFound`."""
        self._check_open()
        return await self.webhooks.deliveries(name, limit)

    async def test_webhook(self, name: str) -> str:
        """Have a test message delivered to a webhook; return its webhook-id. Raises `WebhookNotFound`."""
        self._check_open()
        return await self.webhooks.test(name)

    def web_app(
        self,
        *,
        hosts: Iterable[str] | None = (),
        origins: Iterable[str] = (),
        authorize: "Authorize | None" = None,
        **options: Any,
    ) -> "web.Application":
        """Return an aiohttp app to add under any prefix; it starts and closes the service with its host.

        `http.app.build_app` describes the arguments; `options` are its further ones.
        """
        from traind.service.http.app import build_app

        return build_app(self, hosts=hosts, origins=origins, authorize=authorize, **options)

    def own_children(self) -> set[int]:
        """Return the pids of processes that this one started and waits for itself."""
        return {pid for pid in (self._server.pid,) if pid is not None} | self.mirrors.pids()

    def _check_open(self) -> None:
        self._check_started()
        if self.engine.failure is not None:
            raise self.engine.failure

    def _check_started(self) -> None:
        if self._opened_parts is None:
            raise NotRunning("The service is not running.", hint="Use `async with TrainingService(...)`.")
