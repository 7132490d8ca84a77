"""Fan-out: order, bounds, and those who watch everything."""

import asyncio

import pytest

from traind.service.errors import SlowWatcher
from traind.service.record.feed import Feed, Item


def item(seq: int, *, is_last: bool = False) -> Item:
    return Item(seq, b"%d" % seq, is_last)


async def test_each_watcher_of_a_job_gets_its_events_in_order() -> None:
    feed = Feed()
    with feed.watch("a") as one, feed.watch("a") as two, feed.watch("b") as other:
        for seq in (1, 2, 3):
            feed.publish("a", item(seq))
        for watcher in (one, two):
            assert [(await watcher.next_item()).seq for _ in range(3)] == [1, 2, 3]  # type: ignore[union-attr]
        feed.publish("b", item(9))
        assert await other.next_item() == item(9)
    assert feed.count() == 0


async def test_a_watcher_that_does_not_read_is_dropped_and_told_and_the_others_are_not() -> None:
    feed = Feed()
    with feed.watch("a", limit=2) as slow, feed.watch("a", limit=10) as quick:
        for seq in range(1, 5):
            feed.publish("a", item(seq))
        assert [await slow.next_item(), await slow.next_item()] == [item(1), item(2)]
        with pytest.raises(SlowWatcher):
            await slow.next_item()
        assert [(await quick.next_item()).seq for _ in range(4)] == [1, 2, 3, 4]  # type: ignore[union-attr]
    assert feed.dropped == 1


async def test_closing_ends_watchers_after_what_they_have() -> None:
    feed = Feed()
    with feed.watch("a") as watcher:
        feed.publish("a", item(1))
        feed.close()
        assert await watcher.next_item() == item(1)
        assert await watcher.next_item() is None


async def test_progress_is_thinned_for_those_who_watch_all_jobs_and_states_are_not() -> None:
    feed = Feed()
    with feed.watch(None) as watcher:
        for seq, now in ((1, 10.0), (2, 10.1), (3, 10.4), (4, 10.6)):
            feed.publish_to_all("a", item(seq), now=now)
        feed.publish_to_all("a", item(5), now=None)
        feed.notify_all({"type": "deleted", "job_id": "a"})
        seen = [await asyncio.wait_for(watcher.next_item(), 1) for _ in range(4)]
    assert [one.seq for one in seen if one is not None] == [1, 4, 5, 0]
