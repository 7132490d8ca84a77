"""Events to watchers: one bounded queue for each watcher, each event encoded once for all.

The journal publishes after the commit. A watcher that does not keep up is cut off, never waited for. Knows no HTTP
and no store.
"""

import asyncio
from collections import defaultdict
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec

from traind.service.errors import SlowWatcher

WATCHER_EVENTS = 2_000  # a watcher's queue: at most 20 progress events a second, so more than a minute and a half
PROGRESS_EVERY_S = 0.5  # between two progress events of one job to those who watch all jobs


class Item(NamedTuple):
    """One published event: its number, its JSON, and whether the job is over with it."""

    seq: int
    body: bytes
    is_last: bool


class Watcher:
    """One subscription. A context manager; iterate with `next_item`."""

    def __init__(self, feed: "Feed", topic: str | None, limit: int) -> None:
        self._feed = feed
        self._topic = topic
        self._queue: asyncio.Queue[Item | None] = asyncio.Queue(limit + 1)
        self._limit = limit
        self._is_slow = False

    def __enter__(self) -> Self:
        self._feed.add(self._topic, self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._feed.remove(self._topic, self)

    async def next_item(self) -> Item | None:
        """Return the next event; None when the feed is closed. Raises `SlowWatcher` where events were missed."""
        item = await self._queue.get()
        if item is None and self._is_slow:
            raise SlowWatcher("Events came faster than they were read.", hint="Connect again with `after`.")
        return item

    def offer(self, item: Item) -> bool:
        """Queue one event; False: the watcher is too slow and gets no more."""
        if self._queue.qsize() < self._limit:
            self._queue.put_nowait(item)
            return True
        self._is_slow = True
        self.end()
        return False

    def end(self) -> None:
        """Let the watcher read what it has, then end."""
        self._queue.put_nowait(None)


class Feed:
    """Every watcher of one engine, by job; those under None watch all jobs."""

    def __init__(self) -> None:
        self._watchers: defaultdict[str | None, set[Watcher]] = defaultdict(set)
        self._shown: dict[str, float] = {}  # when a job's progress was last sent to those who watch all
        self.dropped = 0  # watchers that were too slow and were cut off
        self.thinned = 0  # progress events not sent to those who watch all jobs

    def watch(self, topic: str | None, limit: int = WATCHER_EVENTS) -> Watcher:
        """Return a subscription to one job's events, or (None) to states and thinned progress of all jobs."""
        return Watcher(self, topic, limit)

    def publish(self, job_id: str, item: Item) -> None:
        """Queue one event for all who watch its job."""
        self._offer(job_id, item)

    def publish_to_all(self, job_id: str, item: Item, *, now: float | None) -> None:
        """Queue one event for those who watch all jobs; `now` (seconds) is given for progress, which is thinned."""
        if None not in self._watchers:
            return
        if now is not None:
            if now - self._shown.get(job_id, 0.0) < PROGRESS_EVERY_S:
                self.thinned += 1
                return
            self._shown[job_id] = now
        elif item.is_last:
            self._shown.pop(job_id, None)
        self._offer(None, item)

    def notify_all(self, notice: dict[str, Any]) -> None:
        """Queue a notice, without number and not recorded, for those who watch all jobs."""
        self._offer(None, Item(0, msgspec.json.encode(notice), is_last=False))

    def add(self, topic: str | None, watcher: Watcher) -> None:
        """Begin to queue a topic's events for a watcher."""
        self._watchers[topic].add(watcher)

    def remove(self, topic: str | None, watcher: Watcher) -> None:
        """Queue no more events for a watcher."""
        watchers = self._watchers.get(topic, set())
        watchers.discard(watcher)
        if not watchers:
            self._watchers.pop(topic, None)

    def has_watchers(self, topic: str | None) -> bool:
        """Return whether anyone watches a job, or (None) all of them."""
        return bool(self._watchers.get(topic))

    def count(self) -> int:
        """Return how many watchers there are."""
        return sum(map(len, self._watchers.values()))

    def close(self) -> None:
        """End every watcher."""
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.end()
        self._watchers.clear()

    def _offer(self, topic: str | None, item: Item) -> None:
        for watcher in tuple(self._watchers.get(topic, ())):
            if not watcher.offer(item):
                self.dropped += 1
                self.remove(topic, watcher)
