"""One start of a job: what runs it, what was requested of it, what is still to be settled of it."""

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
    """Tell whether a worker ends its attempt with this state."""
    return event.status in OUTCOMES


@dataclass(slots=True, eq=False)
class Attempt:
    """One start of a job: what runs it and what was asked of it."""

    job_id: str
    number: int
    worker: Worker | None = None
    asked: Verb = Verb.NONE
    pause_reason: str = "user"
    killed_for: str | None = None  # grace, hang, max_seconds, loading: why we killed it
    timer: asyncio.TimerHandle | None = None
    life: Liveness = field(default_factory=lambda: Liveness(beat_at=time.monotonic()))
    over: asyncio.Event = field(default_factory=asyncio.Event)  # its worker is gone
    backlog: deque[Frame] = field(default_factory=deque)  # of its end: from there on all its frames come here
    has_model: bool = False  # its finished model was seen, so that it is moved if it is not there any more
    failure: OSError | None = None  # for which its files are given up
    is_reported: bool = False  # that it has to wait for its files stands in the job's events

    def ask(self, verb: Verb, grace_s: float) -> None:
        """Tell the worker, which then has to leave in time; a weaker verb is not told."""
        if verb <= self.asked:
            return
        self.asked = verb
        if self.worker is not None:
            self.worker.ask(verb)
        self.expect_end(grace_s)

    def change(self, job: Job) -> None:
        """Hand the worker the changes that it has not taken up."""
        if self.worker is not None and (left := waiting(job.changes)):
            self.worker.change(left)

    def expect_end(self, grace_s: float) -> None:
        """Kill the worker if it has not left after the grace period."""
        self.disarm()
        self.timer = asyncio.get_running_loop().call_later(grace_s, self.kill, "grace")

    async def look(self, hang_s: float) -> Beat:
        """Listen to the worker's heart; where it is silent, look whether it works."""
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
        """Forget the grace period."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
