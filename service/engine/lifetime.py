"""The engine's lifetime: its parts, opened and closed in order, and its tasks, watched while they run.

The engine's tasks run until they are cancelled. If one raises, the engine ends in order: workers write checkpoints
and leave, and every call is refused. Base of `engine.Engine`, which has the calls.
"""

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import Any

from traind.service.engine.attempts import Attempts
from traind.service.engine.job_log import log_life
from traind.service.engine.watchdog import Watchdog
from traind.service.errors import EngineFailed, NotRunning, ServiceError
from traind.service.executor.base import Executor
from traind.service.record.feed import Feed
from traind.service.record.journal import Journal, Outbox, nothing
from traind.service.record.problems import Problems
from traind.service.record.status_files import StatusFiles
from traind.service.record.store import Store
from traind.service.recovery.integrity import inspect
from traind.service.recovery.startup import rescue
from traind.service.settings import Layout, Settings

LOG = logging.getLogger(__name__)
NOTICE_EVERY_S = 0.1  # between two notices of the queue to those who watch all jobs
SHOWN_WAITING = 200  # queued jobs named in a notice


class Lifetime:
    """The parts of an engine on one root, from `open` to `close`."""

    def __init__(self, settings: Settings, layout: Layout, executor: Executor) -> None:
        self.settings = settings
        self.layout = layout
        self.executor = executor
        self.feed = Feed()
        self.outbox: Outbox = nothing  # webhooks and mirrors hear of events through it; set before `open`
        self.children: dict[
            str, list[str]
        ] = {}  # of each job the jobs that started from its checkpoints, oldest first
        self.journal: Journal
        self.attempts: Attempts
        self.watchdog: Watchdog
        self.problems = Problems()
        self.failure: EngineFailed | None = None  # why it has stopped; every call then raises it
        self._failed: asyncio.Future[EngineFailed]
        self._ending: asyncio.Task[None] | None = None
        self._opened: AsyncExitStack | None = None  # what `close` closes
        self._tasks: list[asyncio.Task[None]] = []
        self._notice: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Open the store, settle what the last server left, start the workers; on an error close all again."""
        self.failure, self._ending = None, None
        self._failed = asyncio.get_running_loop().create_future()
        async with AsyncExitStack() as opened:
            store = await Store.open(self.layout.database_path, self.layout.disk)
            opened.push_async_callback(store.close)
            status_files = StatusFiles(self.layout.jobs_dir, self.layout.disk, self.problems)
            await status_files.open()
            opened.push_async_callback(status_files.close)
            opened.callback(self.feed.close)
            self.journal = Journal(store, self.feed, status_files)
            self.journal.outbox = self.outbox
            self.attempts = Attempts(self.journal, self.executor, self.settings, self.layout, self.problems)
            self.watchdog = Watchdog(self.journal, self.attempts, self.settings, self.layout, self.problems)
            self.attempts.on_death = self._task_ended
            opened.push_async_callback(self._end_tasks)
            opened.push_async_callback(self.executor.close)
            await self.executor.start(self.attempts.inbox, self.attempts.wake)
            for job, worker in await rescue(self.journal, self.layout, self.executor):
                self.attempts.adopt(job, worker)
            self.executor.recovered()
            self.children = await store.children()
            self._start_tasks()
            self._opened = opened.pop_all()
        self.journal.observers.append(log_life)
        self.attempts.on_change = self._queue_changed
        self.attempts.wake()

    async def close(self) -> None:
        """Have running jobs checkpoint and leave, then close everything; may be called twice."""
        if self._opened is None:
            return
        opened, self._opened = self._opened, None
        try:
            if self._ending is None:
                await self.attempts.leave(self.settings.shutdown_s)
            else:
                await asyncio.wait({self._ending})
        finally:
            await opened.aclose()

    async def failed(self) -> EngineFailed:
        """Return why the engine has stopped, once it has."""
        return await asyncio.shield(self._failed)

    def watch_task(self, task: "asyncio.Task[None]") -> None:
        """End the engine in order if this task raises."""
        task.add_done_callback(self._task_ended)

    def _start_tasks(self) -> None:
        for name, work in (
            ("dispatch", self.attempts.dispatch()),
            ("drain", self.attempts.drain()),
            ("watchdog", self.watchdog.watch()),
            ("inspection", inspect(self.journal, self.layout, self.problems, self.attempts.wake)),
        ):
            task = asyncio.create_task(work, name=f"traind-{name}")
            task.add_done_callback(self._task_ended)
            self._tasks.append(task)

    async def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await self.attempts.close()

    def _task_ended(self, task: "asyncio.Task[None]") -> None:
        """End the engine in order if the task raised."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        LOG.critical("%s broke: %r", task.get_name(), error, exc_info=error)
        if self.failure is None:
            self.failure = EngineFailed(
                f"The engine has stopped: {task.get_name()} broke ({type(error).__name__}: {error}).",
                hint="Start the service again: nothing is lost. Its log has the traceback.",
            )
            self._ending = asyncio.create_task(self._end_in_order(), name="traind-ending")

    async def _end_in_order(self) -> None:
        """Have running jobs checkpoint and leave. Events are recorded no more: the next start finds the files."""
        assert self.failure is not None
        await self._end_tasks()
        self.feed.close()
        self._failed.set_result(self.failure)
        await self.attempts.abandon(self.settings.shutdown_s)

    def queue_notice(self) -> dict[str, Any]:
        """Return the queued jobs in the order they will start, and how many slots are in use."""
        waiting = [job.job_id for job in self.attempts.queue()]
        slots = {"busy": self.executor.busy, "total": self.executor.total}
        return {"type": "queue", "order": waiting[:SHOWN_WAITING], "length": len(waiting), "slots": slots}

    def _queue_changed(self) -> None:
        """Send a notice of the queue soon; changes come in bursts and share one."""
        if self._notice is None:
            self._notice = asyncio.get_running_loop().call_later(NOTICE_EVERY_S, self._tell_queue)

    def _tell_queue(self) -> None:
        self._notice = None
        if self._opened is not None and self.feed.has_watchers(None):
            self.feed.notify_all(self.queue_notice())

    def _check_open(self) -> None:
        if self.failure is not None:
            raise self.failure
        if self._opened is None:
            raise NotRunning("The service is not running.")

    def _closing(self, hint: str | None = None) -> ServiceError:
        """Return the error with which watchers end when the engine stops or closes."""
        return self.failure or NotRunning("The service is closing.", hint=hint)
