"""One attempt at a job: the worker that runs it, the verb that was requested, the frames still to be settled."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field

from traind.service.executor.base import Beat, Frame, Worker
from traind.service.jobs.changes import waiting
from traind.service.jobs.job import TERMINAL, Job
from traind.trainer.contract.control import Verb
from traind.trainer.contract.events import State, Status
from traind.trainer.contract.liveness import Liveness

OUTCOMES = TERMINAL | {Status.PAUSED, Status.QUEUED}  # states with which a worker ends an attempt


def is_outcome(event: State) -> bool:
    """Return whether a worker ends its attempt with this state."""
    return event.status in OUTCOMES


@dataclass(slots=True, eq=False)
class Attempt:
    """One attempt at a job, from its start until its worker is gone and its files are settled."""

    job_id: str
    number: int
    worker: Worker | None = None
    requested: Verb = Verb.NONE
    pause_reason: str = "user"
    killed_for: str | None = None  # why we killed its worker: grace, hang, max_seconds or loading
    timer: asyncio.TimerHandle | None = None
    life: Liveness = field(default_factory=lambda: Liveness(beat_at=time.monotonic()))
    over: asyncio.Event = field(default_factory=asyncio.Event)  # its worker is gone
    backlog: deque[Frame] = field(default_factory=deque)  # the frame that ends it, and all after that
    has_model: bool = False  # its finished model was seen: if it is gone, it has been moved already
    failure: OSError | None = None  # the error after which its files were given up
    is_reported: bool = False  # the job's events say that it waits for its files

    def ask(self, verb: Verb, grace_s: float) -> None:
        """Pass a verb on to the worker and kill it if it has not left after `grace_s`; a weaker verb is ignored."""
        if verb <= self.requested:
            return
        self.requested = verb
        if self.worker is not None:
            self.worker.ask(verb)
        self.expect_end(grace_s)

    def change(self, job: Job) -> None:
        """Pass the changes of settings that are not taken up yet on to the worker."""
        if self.worker is not None and (left := waiting(job.changes)):
            self.worker.change(left)

    def expect_end(self, grace_s: float) -> None:
        """Kill the worker if it has not left after `grace_s`."""
        self.disarm()
        self.timer = asyncio.get_running_loop().call_later(grace_s, self.kill, "grace")

    async def look(self, hang_s: float) -> Beat:
        """Return the worker's heartbeat; where that is late, also measure the processor time it uses."""
        assert self.worker is not None
        beat = self.worker.beat()
        self.life.saw_beat(beat.number, beat.heard_at)
        if self.life.is_suspicious(beat.heard_at, hang_s):
            self.life.saw_cpu(await self.worker.cpu_s(), beat.heard_at)
        return beat

    def kill(self, why: str) -> None:
        """End the worker at once."""
        self.killed_for = self.killed_for or why
        if self.worker is not None:
            self.worker.kill()

    def disarm(self) -> None:
        """Cancel the grace period."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
