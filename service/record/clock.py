"""The service's clock: the machine's time of day, but without jumps while jobs run.

Durations, limits, the queue's order and the age of jobs are computed from dates. So the machine's clock is read once
and carried on by the monotonic clock. When somebody sets the machine's clock, the service follows once no job is
unfinished, or at the next start. Owned by the journal.
"""

import time
from collections.abc import Callable


class Clock:
    """Seconds since 1970, never going back; `of` converts the dates of workers, which read the machine's clock."""

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] | None = None) -> None:
        self._wall = wall
        self._steady = steady or _since_boot
        self._offset = 0.0
        self.take_up()

    def now(self) -> float:
        """Return the time, in seconds since 1970."""
        return self._steady() + self._offset

    def of(self, ts: float, earliest: float = 0.0) -> float:
        """Return `ts`, a time by the machine's clock, by this clock: not before `earliest`, not after now."""
        now = self.now()
        return min(now, max(earliest, ts + now - self._wall()))

    def take_up(self) -> None:
        """Follow the machine's clock as it is now."""
        self._offset = self._wall() - self._steady()


def _since_boot() -> float:
    """Return seconds of a clock that cannot be set and goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
