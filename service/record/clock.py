"""The time of day that a service goes by: the machine's, but never set while jobs run.

Durations, limits, the order of the queue and the age of jobs all come from dates. So the clock is read once and
carried on by the monotonic one: what an administrator or a time server does to the machine's clock is taken up when
no job is unfinished, and else at the next start. Owned by the journal.
"""

import time
from collections.abc import Callable


class Clock:
    """Seconds since 1970, ever later; `of` puts the dates of workers right, which read the machine's clock."""

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] | None = None) -> None:
        self._wall = wall
        self._steady = steady or _since_boot
        self._offset = 0.0
        self.take_up()

    def now(self) -> float:
        """Return the time."""
        return self._steady() + self._offset

    def of(self, ts: float, earliest: float = 0.0) -> float:
        """Return when something was that the machine's clock gives as `ts`: not before `earliest`, nor after now."""
        now = self.now()
        return min(now, max(earliest, ts + now - self._wall()))

    def take_up(self) -> None:
        """Go by what the machine's clock says now."""
        self._offset = self._wall() - self._steady()


def _since_boot() -> float:
    """Return seconds that nobody can set, and in which a machine's sleep counts."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
