"""A watcher's place in a job's stream, over any cuts of the bytes and any number of connections."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traind.service.client.cursor import Cursor
from traind.service.client.errors import Away
from traind.trainer.contract.events import AnyEvent, Progress, State, Status, encode_event


def sent(*events: AnyEvent) -> bytes:
    """What the server writes: an id, the event, now and then a comment."""
    return b":\n\n" + b"".join(b"id: %d\ndata: %b\n\n" % (event.seq, encode_event(event)) for event in events)


def progress(seq: int) -> Progress:
    return Progress(seq=seq, job_id="j", attempt=1, epoch=1, step=seq, total_steps=9, progress=1.0, loss=0.5)


def ended(seq: int, status: Status = Status.COMPLETED) -> State:
    return State(seq=seq, job_id="j", status=status)


@given(st.lists(st.integers(1, 400)))
def test_events_are_whole_however_the_bytes_are_cut(cuts: list[int]) -> None:
    body = sent(progress(1), progress(2), ended(3))
    cursor, seen = Cursor("j", 0), []
    places = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    for start, end in pairwise(places):
        seen += cursor.feed(body[start:end])
    assert [event.seq for event in seen] == [1, 2, 3]


def test_an_event_cut_off_by_a_lost_connection_is_read_from_the_next() -> None:
    cursor = Cursor("j", 0)
    cursor.opened(200)
    body = sent(progress(1), progress(2))
    assert [event.seq for event in cursor.feed(body[:-10])] == [1]
    cursor.opened(200)
    assert cursor.call().query["after"] == 1
    assert [event.seq for event in cursor.feed(sent(progress(2), ended(3)))] == [2, 3]


def test_an_event_that_comes_again_is_not_shown_again() -> None:
    cursor = Cursor("j", 0)
    cursor.feed(sent(progress(1), progress(2)))
    assert [event.seq for event in cursor.feed(sent(progress(1), progress(2), progress(3)))] == [3]


def test_the_end_of_the_stream_is_the_end_only_after_the_jobs_end() -> None:
    cursor = Cursor("j", 0)
    cursor.feed(sent(progress(1)))
    with pytest.raises(Away):
        cursor.closed()
    assert not cursor.is_over
    cursor.feed(sent(ended(2)))
    cursor.closed()
    assert cursor.is_over


def test_an_end_that_was_resumed_from_is_not_the_end() -> None:
    cursor = Cursor("j", 0)
    cursor.feed(sent(ended(1, Status.STOPPED), State(seq=2, job_id="j", status=Status.QUEUED)))
    with pytest.raises(Away):
        cursor.closed()


def test_nothing_left_to_read_is_the_end() -> None:
    cursor = Cursor("j", 7)
    cursor.opened(204)
    assert cursor.is_over
