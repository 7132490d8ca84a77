"""The events of a job, kept on its node until the server has committed them.

Bounded: beyond `LIMIT_BYTES` progress is thinned, as a worker thins what its pipe cannot take; then custom numbers
and log lines go. States, epochs and checkpoints are never dropped.
"""

from collections import deque
from itertools import islice

from traind.trainer.contract.events import AnyEvent, Log, Metric, Progress, decode_event, encode_event, merged

LIMIT_BYTES = 8 * 1024 * 1024


class Tape:
    """One job's events under growing numbers, the cursors; the first one is 1."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self.last = 0  # the cursor of the newest event
        self._limit = limit_bytes
        self._entries: deque[tuple[int, bytes]] = deque()
        self._size = 0

    def append(self, event: AnyEvent) -> None:
        """Keep an event, under the next cursor."""
        body = encode_event(event)
        self.last += 1
        self._entries.append((self.last, body))
        self._size += len(body)
        if self._size > self._limit:
            self._thin()

    def after(self, cursor: int, max_bytes: int) -> list[tuple[int, bytes]]:
        """Return the events after a cursor, in order, one at least where there is any, up to so many bytes."""
        taken: list[tuple[int, bytes]] = []
        size = 0
        for number, body in self._entries:
            if number <= cursor:
                continue
            if taken and size + len(body) > max_bytes:
                break
            taken.append((number, body))
            size += len(body)
        return taken

    def forget(self, cursor: int) -> None:
        """Drop the events up to a cursor: they have been committed."""
        while self._entries and self._entries[0][0] <= cursor:
            self._size -= len(self._entries.popleft()[1])

    def _thin(self) -> None:
        """Merge progress two by two; where that does not help, drop the oldest numbers and log lines."""
        self._replace(_halved(self._entries))
        if self._size > self._limit // 2:
            droppable = [n for n, body in self._entries if isinstance(decode_event(body), Metric | Log)]
            dropped = set(islice(droppable, (len(droppable) + 1) // 2))
            self._replace([entry for entry in self._entries if entry[0] not in dropped])

    def _replace(self, entries: list[tuple[int, bytes]]) -> None:
        self._entries = deque(entries)
        self._size = sum(len(body) for _, body in entries)


def _halved(entries: deque[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Return the entries with every other progress event merged into the next, where they are neighbours."""
    kept: list[tuple[int, bytes]] = []
    waiting: Progress | None = None
    for number, body in entries:
        event = decode_event(body)
        if isinstance(event, Progress) and waiting is not None:
            kept[-1] = (number, encode_event(merged(waiting, event)))
            waiting = None
        else:
            kept.append((number, body))
            waiting = event if isinstance(event, Progress) else None
    return kept
