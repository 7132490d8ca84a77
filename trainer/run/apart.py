"""One process of a job whose workers are on several machines. Its executor started it, and starts the others.

The executor, too, watches them all: it sees which of them was the first to fail or die, and ends the rest.
"""

import os
import sys
from typing import Any

from traind.trainer.contract.control import Control
from traind.trainer.contract.events import AnyEvent, Log, State, Status
from traind.trainer.contract.process_tree import CUT_OFF
from traind.trainer.contract.spec import Meeting, Place, TrainSpec
from traind.trainer.run.meeting import RankDied, Train, is_cut_off, trained
from traind.trainer.run.outcome import ended, raised
from traind.trainer.run.reporter import Emit
from traind.trainer.run.run import Run
from traind.trainer.run.shared_run import SharedRun
from traind.trainer.run.world import World


def run_apart(spec: TrainSpec, emit: Emit, place: Place, meeting: Meeting, control: Control, train: Train) -> State:
    """Run this process's part of an attempt; return its last state, which is emitted, too.

    Of any but rank 0 nothing is heard but log lines and how it ended. Raises `RankDied`, where another process did,
    and what `attempt.run` raises.
    """
    world = World(meeting.rank, spec.workers)
    this: Run[Any] = SharedRun(spec, emit if world.rank == 0 else _only_logs(emit), place, control, world)
    error = trained(this, place, world, train)
    if error is not None and is_cut_off(error):
        _leave(world, error)
    if error is None:
        this.shared = control  # what nobody asked for together counts now
    if world.rank == 0:
        return this.emit(ended(this) if error is None else raised(this, error))
    last = State(status=Status.COMPLETED, attempt=place.attempt)  # without a model, which is rank 0's
    if error is not None and not (isinstance(error, SystemExit) and error.code in (None, 0)):
        last = raised(this, error)
    emit(last)
    return last


def _leave(world: World, error: BaseException) -> None:
    """End as one that another one's end has stopped."""
    if world.rank == 0:
        raise RankDied(f"the ranks lost each other: {error}") from error
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(CUT_OFF)


def _only_logs(emit: Emit) -> Emit:
    def tell(event: AnyEvent) -> None:
        if isinstance(event, Log):
            emit(event)

    return tell
