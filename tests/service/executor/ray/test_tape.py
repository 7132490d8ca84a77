"""What a job said is kept until it is committed, and bounded without losing what matters."""

from hypothesis import given
from hypothesis import strategies as st

from traind.service.executor.ray.tape import Tape
from traind.trainer.contract.events import (
    AnyEvent,
    Checkpoint,
    Log,
    Progress,
    State,
    Status,
    decode_event,
)


def progress(step: int, loss: float = 1.0) -> Progress:
    return Progress(attempt=1, epoch=1, step=step, total_steps=None, progress=0.0, loss=loss)


def read(tape: Tape, after: int = 0, max_bytes: int = 10**9) -> list[tuple[int, AnyEvent]]:
    return [(cursor, decode_event(body)) for cursor, body in tape.after(after, max_bytes)]


def test_events_are_read_from_any_cursor_as_often_as_wanted() -> None:
    tape = Tape()
    for step in range(10):
        tape.append(progress(step))
    assert [cursor for cursor, _ in read(tape, 7)] == [8, 9, 10]
    assert read(tape, 7) == read(tape, 7)
    tape.forget(9)
    assert [cursor for cursor, _ in read(tape)] == [10]
    assert tape.last == 10


def test_a_reader_gets_one_event_at_least() -> None:
    tape = Tape()
    tape.append(Log(message="x" * 1000))
    tape.append(progress(1))
    assert [cursor for cursor, _ in read(tape, max_bytes=10)] == [1]


EVENTS = st.one_of(
    st.integers(0, 10**6).map(progress),
    st.text(max_size=50).map(lambda words: Log(message=words)),
    st.integers(0, 10**6).map(lambda step: Checkpoint(attempt=1, step=step, path="x" * 40)),
    st.sampled_from(list(Status)).map(lambda status: State(status=status)),
)


@given(st.lists(EVENTS, max_size=300), st.integers(200, 3_000))
def test_beyond_its_limit_only_progress_and_words_are_thinned(events: list[AnyEvent], limit: int) -> None:
    tape = Tape(limit)
    for event in events:
        tape.append(event)
    kept = read(tape)
    cursors = [cursor for cursor, _ in kept]
    assert cursors == sorted(set(cursors))
    lasting = (State, Checkpoint)
    assert [event for _, event in kept if isinstance(event, lasting)] == [e for e in events if isinstance(e, lasting)]
    steps = [event.step for event in events if isinstance(event, Progress)]
    assert [event.step for _, event in kept if isinstance(event, Progress)][-1:] == steps[-1:]


def test_the_loss_of_what_was_merged_is_kept() -> None:
    tape = Tape(limit_bytes=600)
    for step in range(1, 9):
        tape.append(progress(step, loss=float(step)))
    losses = [event.loss for _, event in read(tape) if isinstance(event, Progress)]
    assert losses[0] is not None
    assert losses[0] > 1.0
