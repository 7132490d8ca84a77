"""Sends a worker's events to the server through a pipe, without ever making training wait.

Events that do not fit into the pipe wait in memory. Of waiting progress only the newest is kept, with the mean of the
losses; states, epochs and checkpoints are never dropped.
"""

import contextlib
import os
import select
import threading
import time
from collections import Counter, deque

from traind.trainer.contract.events import AnyEvent, Log, Metric, Progress, encode_event, merged

END = bytes(4)  # a frame of no event
HEADER_BYTES = 4  # the length of the event that follows, big endian
WAITING_MAX = 10_000  # events; beyond them custom numbers and log lines are dropped and counted
LOG_LINES, NUMBERS = "lines of the log", "custom numbers"


class Outbox:
    """The write end of the pipe. Any thread may emit; in a forked child of the worker nothing is sent."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd: int | None = fd
        self._lock = threading.Lock()
        self._waiting: deque[bytes] = deque()
        self._newest: Progress | None = None  # sent after everything in `_waiting`
        self._dropped: Counter[str] = Counter()  # log lines and metrics, since that was last reported
        self._writing = memoryview(b"")  # the rest of a partly written frame
        self._flusher: threading.Thread | None = None
        self._has_ended = False
        os.register_at_fork(after_in_child=self._forked)

    def emit(self, event: AnyEvent) -> None:
        """Send the event, now or as soon as there is room; never wait. After `end` nothing is sent."""
        with self._lock:
            if self._fd is None or self._has_ended:
                return
            if isinstance(event, Progress):
                self._newest = event if self._newest is None else merged(self._newest, event)
            elif len(self._waiting) < WAITING_MAX or not isinstance(event, Metric | Log):
                self._push_dropped(event.ts)
                self._push_newest()
                self._waiting.append(framed(event))
            else:
                self._dropped[LOG_LINES if isinstance(event, Log) else NUMBERS] += 1
            self._keep_going()

    def end(self) -> None:
        """Send, after all events, that no more come: an empty frame."""
        with self._lock:
            if self._fd is None:
                return
            self._has_ended = True
            self._push_dropped(time.time())
            self._push_newest()
            self._waiting.append(END)
            self._keep_going()

    def drain(self) -> None:
        """Wait until everything is in the pipe, or the server is gone."""
        flusher = self._flusher
        if flusher is not None:
            flusher.join()

    def _keep_going(self) -> None:
        """Write what fits, the rest as soon as there is room."""
        if not self._flush() and self._flusher is None:
            self._flusher = threading.Thread(target=self._keep_flushing, name="outbox", daemon=True)
            self._flusher.start()

    def _push_dropped(self, now: float) -> None:
        """Add a log event about dropped events, at their place; at the end in any case."""
        if self._dropped and (self._has_ended or len(self._waiting) < WAITING_MAX):
            what = " and ".join(f"{count:,} {name}" for name, count in self._dropped.items())
            message = f"{what} were dropped here: they came faster than they could be kept."
            self._waiting.append(framed(Log(message=message, level="warning", ts=now)))
            self._dropped.clear()

    def _push_newest(self) -> None:
        if self._newest is not None:
            self._waiting.append(framed(self._newest))
            self._newest = None

    def _flush(self) -> bool:
        """Write what fits into the pipe; return whether nothing is left."""
        while self._fd is not None:
            if not self._writing:
                if not self._waiting:
                    self._push_dropped(time.time())
                    self._push_newest()
                if not self._waiting:
                    return True
                self._writing = memoryview(self._waiting.popleft())
            try:
                written = os.write(self._fd, self._writing)
            except BlockingIOError:
                return False
            except OSError:  # nobody reads any more
                self._forked()
                return True
            self._writing = self._writing[written:]
        return True

    def _keep_flushing(self) -> None:
        while True:
            if self._fd is not None:
                room = select.poll()
                room.register(self._fd, select.POLLOUT)
                room.poll()
            with self._lock:
                if self._flush():
                    self._flusher = None
                    return

    def _forked(self) -> None:
        """Close the pipe: in a child it would stay open after the worker's death."""
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.close(self._fd)
        self._fd = None


def framed(event: AnyEvent) -> bytes:
    """Return the event as it goes through the pipe."""
    payload = encode_event(event)
    return len(payload).to_bytes(HEADER_BYTES) + payload
