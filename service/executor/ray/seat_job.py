"""The one job of a seat: its process, and the events and output of it that the server has not got yet."""

import asyncio
import contextlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from traind.service.executor.base import Ended
from traind.service.executor.local_worker import LocalWorker
from traind.service.executor.ray.companions import Companions
from traind.service.executor.ray.tape import Tape
from traind.trainer.contract.events import AnyEvent

OUTPUT_BYTES = 262_144  # of what a job printed, with each answer


@dataclass(slots=True)
class SeatJob:
    """The seat's one job, its process, its events and its output."""

    job_id: str
    attempt: int
    folder: Path
    tape: Tape = field(default_factory=Tape)
    worker: LocalWorker | None = None  # None: it has not begun
    others: Companions | None = None  # the seats of its other workers, where they are not this seat's
    ended: Ended | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    newest_change: int = 0  # that was handed on
    output_at: int = 0  # how much of what it printed has been handed out
    answered_at: float = field(default_factory=time.monotonic)  # when events were last handed out

    @property
    def key(self) -> tuple[str, int]:
        """Which job, and which attempt of it."""
        return self.job_id, self.attempt

    @property
    def is_over(self) -> bool:
        """Whether it has ended; all its events are on the tape then."""
        return self.ended is not None

    async def over(self, within_s: float) -> None:
        """Wait until the job has ended, for so many seconds at most."""
        if within_s <= 0.0:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not self.is_over:
                    self.changed.clear()
                    await self.changed.wait()

    def say(self, event: AnyEvent) -> None:
        """Keep an event until the server has committed it."""
        self.tape.append(event)
        self.changed.set()

    def has_output(self) -> bool:
        """Whether it has printed anything that has not been handed out."""
        try:
            return (self.folder / "output.log").stat().st_size != self.output_at
        except OSError:
            return False

    def new_output(self) -> tuple[int, bytes]:
        """Return what the job printed since the last time, and from where in its output that is."""
        try:
            with (self.folder / "output.log").open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < self.output_at:  # its older half was dropped
                    self.output_at = 0
                start = self.output_at
                file.seek(start)
                output = file.read(OUTPUT_BYTES)
        except FileNotFoundError:
            return 0, b""
        self.output_at = start + len(output)
        return start, output
