"""The worker's end of the pipe: nothing is lost but progress, and that is merged, and nothing waits."""

import os
from collections.abc import Iterator

import pytest

from traind.trainer.contract.events import AnyEvent, Epoch, Log, Progress, State, Status, decode_event, merged
from traind.trainer.worker.outbox import END, HEADER_BYTES, WAITING_MAX, Outbox, framed


@pytest.fixture
def pipe() -> Iterator[tuple[int, Outbox]]:
    reader, writer = os.pipe()
    yield reader, Outbox(writer)
    os.close(reader)


def _progress(step: int, loss: float | None, *, diverged: bool = False) -> Progress:
    return Progress(attempt=1, epoch=1, step=step, total_steps=None, progress=0.0, loss=loss, diverged=diverged)


def _read(reader: int, count: int) -> list[AnyEvent]:
    with os.fdopen(os.dup(reader), "rb") as file:
        return [decode_event(file.read(int.from_bytes(file.read(HEADER_BYTES)))) for _ in range(count)]


def _fill(outbox: Outbox) -> int:
    """Emit large events until one has to wait; return how many."""
    count = 0
    while not outbox._waiting and not outbox._writing:
        outbox.emit(Log(message="x" * 10_000))
        count += 1
    return count


def test_progress_that_waits_is_merged_and_all_else_keeps_its_place(pipe: tuple[int, Outbox]) -> None:
    reader, outbox = pipe
    filling = _fill(outbox)
    outbox.emit(_progress(5, 1.0))
    outbox.emit(_progress(10, 3.0))
    outbox.emit(Epoch(attempt=1, epoch=1, epochs=None, step=10, train_loss=None))
    outbox.emit(_progress(15, 4.0))
    outbox.emit(State(status=Status.COMPLETED))
    events = _read(reader, filling + 4)[filling:]
    assert [type(event) for event in events] == [Progress, Epoch, Progress, State]
    assert (events[0].step, events[0].loss) == (10, 2.0)  # type: ignore[union-attr]
    assert (events[2].step, events[2].loss) == (15, 4.0)  # type: ignore[union-attr]
    outbox.drain()


def test_a_loss_that_was_not_finite_is_not_hidden_by_merging() -> None:
    assert merged(_progress(5, None, diverged=True), _progress(10, 1.0)).diverged
    assert merged(_progress(5, 1.0), _progress(10, None, diverged=True)).loss is None
    assert merged(_progress(5, 1.0), _progress(10, 2.0)) == _progress(10, 1.5)


def test_what_waits_is_bounded_and_states_are_kept(pipe: tuple[int, Outbox]) -> None:
    _, outbox = pipe
    _fill(outbox)
    for _ in range(WAITING_MAX + 100):
        outbox.emit(Log(message="x"))
    assert len(outbox._waiting) == WAITING_MAX
    outbox.emit(State(status=Status.COMPLETED))
    assert outbox._waiting[-1] == framed(State(status=Status.COMPLETED))


def test_a_server_that_is_gone_makes_no_job_fail() -> None:
    reader, writer = os.pipe()
    outbox = Outbox(writer)
    _fill(outbox)
    os.close(reader)
    outbox.emit(State(status=Status.COMPLETED))
    outbox.drain()
    outbox.emit(State(status=Status.COMPLETED))
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(writer)


def test_what_was_dropped_is_told_before_the_end_though_the_queue_is_full(pipe: tuple[int, Outbox]) -> None:
    _, outbox = pipe
    _fill(outbox)
    for _ in range(WAITING_MAX + 100):
        outbox.emit(Log(message="x"))
    outbox.end()
    *_, dropped, end = outbox._waiting
    told = decode_event(dropped[HEADER_BYTES:])
    assert isinstance(told, Log)
    assert "lines of the log were dropped" in told.message
    assert end == END


def test_after_the_end_nothing_is_sent_however_much_is_emitted(pipe: tuple[int, Outbox]) -> None:
    """Nobody reads on after the end: what a thread of the job went on emitting would keep its process."""
    reader, outbox = pipe
    outbox.emit(_progress(5, 1.0))
    outbox.end()
    for event in (Log(message="x" * 200_000), _progress(6, 1.0)):
        outbox.emit(event)
    outbox.drain()
    sent = os.read(reader, 1 << 20)
    assert sent == framed(_progress(5, 1.0)) + END
