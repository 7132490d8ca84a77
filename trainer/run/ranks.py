"""The processes of a job of several workers: copies of the job's own process, made before it has done anything.

Where they are on several machines, `apart` has each of them instead.
The job's process is rank 0. It watches the others: where one of them fails the job fails with its words, and where
one dies the attempt is over, as if the job's own process had died. They end with it.
"""

import contextlib
import os
import select
import signal
import sys
import threading
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from msgspec import structs

from traind.trainer.contract.control import Control
from traind.trainer.contract.events import AnyEvent, Failure, Log, State, Status, decode_event
from traind.trainer.contract.process_tree import CUT_OFF, RANK, end_with_parent
from traind.trainer.contract.spec import Place, TrainSpec
from traind.trainer.run.meeting import RankDied, Train, is_cut_off, joined, trained
from traind.trainer.run.outcome import ended, raised
from traind.trainer.run.reporter import Emit
from traind.trainer.run.run import Run
from traind.trainer.run.shared_run import SharedRun
from traind.trainer.run.world import World
from traind.trainer.worker.outbox import HEADER_BYTES, framed

SETTLE_S = 5.0  # within which rank 0 notices by itself that another is gone, and hears which was the first
LEAVE_S = 30.0  # what the others may take to leave once rank 0 is through
CHUNK_BYTES = 65_536
DONE, FAILED, UNHEARD = 0, 1, 70  # exit codes


@dataclass(slots=True)
class _Rank:
    """Another process, as rank 0 sees it."""

    number: int
    pid: int
    pidfd: int
    pipe: int
    rest: bytes = b""
    failure: Failure | None = None
    code: int | None = None  # how it ended, as `os.waitstatus_to_exitcode` says
    ended: threading.Event = field(default_factory=threading.Event)


class Ranks:
    """The other processes of a job, from rank 0."""

    def __init__(self, size: int, emit: Emit, attempt: int) -> None:
        self._size = size
        self._emit = emit
        self._attempt = attempt
        self._all: list[_Rank] = []
        self._is_over = threading.Event()  # rank 0 is through, or knows
        self._watcher = threading.Thread(target=self._watch, name="traind-ranks", daemon=True)

    def start(self, spec: TrainSpec, place: Place, control: Control, train: Train) -> None:
        """Make the others of this process, which has no threads of its own yet but those of ours."""
        for number in range(1, self._size):
            reader, writer = os.pipe()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of threads: none that holds a lock for long
                pid = os.fork()
            if pid == 0:
                os.close(reader)
                _be(World(number, self._size), writer, spec, place, control, train)
            os.close(writer)
            os.set_blocking(reader, False)
            self._all.append(_Rank(number, pid, os.pidfd_open(pid), reader))

    def watch(self) -> None:
        """Begin to look after them."""
        self._watcher.start()

    def join(self) -> Failure | None:
        """Wait until all have left, now that rank 0 is done; return the failure of one that failed all the same."""
        for rank in self._all:
            if not rank.ended.wait(LEAVE_S):
                os.kill(rank.pid, signal.SIGKILL)
        self._is_over.set()
        return self._failure()

    def blamed(self, error: BaseException) -> Failure | None:
        """Return the failure of another process that made rank 0 raise `error`; None where that is its own.

        Raises `RankDied` where it was another one's death.
        """
        if not is_cut_off(error):
            self._is_over.set()
            return None
        for rank in self._all:
            rank.ended.wait(SETTLE_S)
        self._is_over.set()
        if (failure := self._failure()) is not None:
            return failure
        dead = [rank for rank in self._all if rank.code not in (None, DONE, CUT_OFF)]
        words = [self._words(rank) for rank in dead] or [f"the ranks lost each other: {error}"]
        raise RankDied(words[0]) from error

    def _failure(self) -> Failure | None:
        """Return the error of the first process that failed by itself, with its rank."""
        for rank in self._all:
            if rank.failure is not None:
                message = f"Rank {rank.number} of {self._size}: {rank.failure.message}"
                return structs.replace(rank.failure, message=message)
        return None

    def _watch(self) -> None:
        poll = select.poll()
        for rank in self._all:
            poll.register(rank.pidfd, select.POLLIN)
            poll.register(rank.pipe, select.POLLIN)
        by_descriptor = {number: rank for rank in self._all for number in (rank.pidfd, rank.pipe)}
        left = len(self._all)
        while left:
            for descriptor, _ in poll.poll():
                rank = by_descriptor[descriptor]
                is_open = self._hear(rank)
                if descriptor == rank.pidfd:
                    rank.code = os.waitstatus_to_exitcode(os.waitpid(rank.pid, 0)[1])
                    poll.unregister(rank.pidfd)
                    left -= 1
                    rank.ended.set()
                    if rank.code not in (DONE, CUT_OFF):
                        threading.Thread(target=self._insist, args=(rank,), daemon=True).start()
                elif not is_open:
                    poll.unregister(rank.pipe)

    def _insist(self, rank: _Rank) -> None:
        """End the job's process, which is busy elsewhere, where it does not notice by itself."""
        if self._is_over.wait(SETTLE_S):
            return
        if (failure := self._failure()) is not None:
            self._emit(State(status=Status.FAILED, attempt=self._attempt, error=failure))
        else:
            self._emit(Log(message=f"{self._words(rank)}; the attempt ends.", level="error", attempt=self._attempt))
        os._exit(UNHEARD)

    def _hear(self, rank: _Rank) -> bool:
        """Read the events of a process; False where no more will come."""
        chunk = b" "
        while chunk:
            try:
                chunk = os.read(rank.pipe, CHUNK_BYTES)
            except BlockingIOError:
                return True
            rank.rest += chunk
            while len(rank.rest) >= HEADER_BYTES and len(rank.rest) >= (end := _size(rank.rest)):
                event, rank.rest = decode_event(rank.rest[HEADER_BYTES:end]), rank.rest[end:]
                if isinstance(event, Log):
                    self._emit(structs.replace(event, message=f"rank {rank.number}: {event.message}"))
                elif isinstance(event, State):
                    rank.failure = event.error
        return False

    def _words(self, rank: _Rank) -> str:
        code = rank.code or 0
        how = f"left with exit code {code}"
        if code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
        return f"rank {rank.number} of {self._size} {how}"


def run_together(spec: TrainSpec, emit: Emit, place: Place, control: Control, train: Train) -> State:
    """Run an attempt in as many processes as the spec has workers; return its last state, which is emitted, too.

    `train` is called in each. Raises `RankDied`, and what `attempt.run` raises.
    """
    if place.device is None:  # nobody gave it GPUs
        place = structs.replace(place, device="cpu", visible_devices="")
    ranks, world = Ranks(spec.workers, emit, place.attempt), World(0, spec.workers)
    ranks.start(spec, place, control, train)
    _take_devices(place, world)
    this: Run[Any] = SharedRun(spec, emit, place, control, world)
    ranks.watch()
    error, last = trained(this, place, world, train), None
    if error is None:
        failure = ranks.join()
    else:
        failure = ranks.blamed(error)
        last = raised(this, error) if failure is None else None
    this.shared = control  # what nobody asked for together counts now
    if last is None:
        last = ended(this)
        if failure is not None and last.status is not Status.CANCELLED:
            last = State(status=Status.FAILED, attempt=place.attempt, error=failure)
    this.emit(last)
    return last


def _be(world: World, pipe: int, spec: TrainSpec, place: Place, control: Control, train: Train) -> NoReturn:
    """Be one of the other processes, from the fork to its end."""
    code = FAILED
    try:
        end_with_parent()
        Path("/proc/self/comm").write_text(RANK, encoding="ascii")
        _take_devices(place, world)

        def tell(event: AnyEvent) -> None:
            if isinstance(event, Log):
                _write(pipe, framed(event))

        this: Run[Any] = SharedRun(spec, tell, place, control, world)
        try:
            with joined(place, world):
                train(this)
            code = DONE
        except BaseException as error:  # noqa: BLE001 - as `attempt.run`
            if isinstance(error, SystemExit) and error.code in (None, 0):
                code = DONE
            elif is_cut_off(error):
                code = CUT_OFF
            else:
                _write(pipe, framed(raised(this, error)))
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _take_devices(place: Place, world: World) -> None:
    """Show a process its own share of the job's GPUs, before torch looks for any."""
    if place.visible_devices:
        devices = place.visible_devices.split(",")
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(devices[world.share(len(devices))])


def _write(pipe: int, frame: bytes) -> None:
    while frame:
        frame = frame[os.write(pipe, frame) :]


def _size(frame: bytes) -> int:
    return HEADER_BYTES + int.from_bytes(frame[:HEADER_BYTES])
