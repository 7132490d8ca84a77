"""The state of a service: health, queue, counters. For `/health`, `/metrics` and those who watch all jobs."""

import contextlib
import os
import time
from collections.abc import Callable
from typing import Any

from traind.service.jobs.job import ACTIVE, Job
from traind.service.parts import Parts
from traind.service.results import Figures
from traind.trainer.contract.events import AnyEvent, Status


def for_everybody(problem: str) -> str:
    """Return a problem without paths and without output of processes: `/health` needs no token."""
    if os.sep not in problem and "\n" not in problem:
        return problem
    shown = problem.partition(":")[0].partition(os.sep)[0].strip().rstrip(".")
    return f"{shown[:1].upper()}{shown[1:]}; the log says why."


class Overview(Parts):
    """The calls about the service itself."""

    _opened = 0.0  # by the monotonic clock

    def health(self) -> dict[str, Any]:
        """Return slots busy and total, queue length, uptime and present problems."""
        self._check_open()
        attempts, executor = self.engine.attempts, self.engine.executor
        found = [*self.engine.problems.all(), *filter(None, [executor.problem])]
        problems = [for_everybody(problem) for problem in found]
        with contextlib.suppress(OSError):  # the watchdog meets it too and shows it
            if (free := self.layout.free_bytes()) < self.settings.disk_floor_bytes:
                problems.append(f"{free // 2**20} MiB of disk space are free: jobs pause, and uploads are refused.")
        return {
            "slots": {"busy": executor.busy, "total": executor.total},
            "queued": len(attempts.queue()),
            "watchers": self.engine.feed.count(),
            "uptime_s": round(time.monotonic() - self._opened, 3),
            "is_ready": not problems and (executor.is_ready or executor.busy > 0),
            "problems": [*problems, *self.mirrors.problems()],
            "cluster": executor.cluster,
        }

    @property
    def observers(self) -> list[Callable[[Job, AnyEvent], None]]:
        """Functions that are called with each committed event and the job after it."""
        return self.engine.journal.observers

    def active(self) -> list[Job]:
        """Return the jobs that a worker has."""
        return [job for job in self.engine.journal.live.values() if job.status in ACTIVE]

    def queue(self) -> dict[str, Any]:
        """Return the queue and the busy slots, in the form of the notice to those who watch all jobs."""
        return self.engine.queue_notice()

    async def figures(self) -> Figures:
        """Return the counters for `/metrics` that `health` has not."""
        feed = self.engine.feed
        running = sum(job.samples_per_s or 0.0 for job in self.active() if job.status is Status.RUNNING)
        jobs = await self.engine.journal.store.counts()
        return Figures(jobs, running, feed.thinned, feed.dropped, dict(self.engine.executor.lost))
