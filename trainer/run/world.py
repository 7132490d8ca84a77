"""The processes that train one job together, as training code sees them: `run.world`.

All of them run the same trainer, each on its share of every batch. What is asked of the job, and
what the clock says, reaches them through rank 0 and at the same step. Made by `ranks`,
and by `apart` where they are on several machines.
"""

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import distributed

from traind.trainer.contract.change import look
from traind.trainer.contract.control import Control, Phase, Verb
from traind.trainer.contract.spec import Place

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class World:
    """Which of the job's processes this is, and how many there are.

    With more than one, torch's default process group is ready: gloo on CPUs, nccl on GPUs, so that
    `DistributedDataParallel(model)` and everything in `torch.distributed` can be used at once.
    """

    rank: int = 0
    """Number of this process, from 0; rank 0 reports, saves and makes the model."""
    size: int = 1
    """How many processes there are: `workers` of the spec."""

    def share(self, rows: int) -> slice:
        """Return which of so many rows are this process's; shares follow each other and differ by a row at most."""
        return slice(rows * self.rank // self.size, rows * (self.rank + 1) // self.size)

    def same(self, value: T) -> T:
        """Return rank 0's value, in all processes; all must call it. The value is pickled."""
        if self.size == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, src=0)
        return values[0]

    def agreed(self, *numbers: int) -> list[int]:
        """Return rank 0's numbers, in all processes; all must call it."""
        tensor = torch.tensor(numbers, dtype=torch.int64)
        distributed.broadcast(tensor, src=0)
        agreed: list[int] = tensor.tolist()
        return agreed

    def wait(self) -> None:
        """Wait until all processes have come here."""
        if self.size > 1:
            self.agreed(0)


ALONE = World()


class SharedDecisions:
    """The control of one process of several: what is asked of the job changes only where all have looked together.

    Rank 0 shows the heartbeat; it stands still where any of them does.
    """

    def __init__(self, control: Control, place: Place, world: World) -> None:
        self.world = world
        self.verb = int(Verb.NONE)
        self.newest = max((change.number for change in place.changes), default=0)
        self.box = b""
        self.is_save_due = False
        self.is_report_due = False
        self._shared = control
        self._beat = 0
        self._phase = int(Phase.STEPS)

    def look(self, stop: int, *, is_save_due: bool, is_report_due: bool) -> int:
        """Have all processes take note of what rank 0 sees now; return why to stop, as rank 0 says."""
        newest, box = self.newest, self.box
        if self.world.rank == 0 and self._shared.newest != newest and (changes := look(self._shared)):
            newest, box = changes[-1].number, bytes(self._shared.box)
        words = self.world.agreed(stop, newest, int(is_save_due), int(is_report_due), int(self._shared.verb))
        stop, newest, save, report, self.verb = words
        self.is_save_due, self.is_report_due = bool(save), bool(report)
        if newest != self.newest:
            self.newest, self.box = newest, self.world.same(box)
        return stop

    @property
    def beat(self) -> int:
        """The heartbeat."""
        return self._shared.beat if self.world.rank == 0 else self._beat

    @beat.setter
    def beat(self, beat: int) -> None:
        if self.world.rank == 0:
            self._shared.beat = beat
        else:
            self._beat = beat

    @property
    def phase(self) -> int:
        """What rank 0 does."""
        return self._shared.phase if self.world.rank == 0 else self._phase

    @phase.setter
    def phase(self, phase: int) -> None:
        if self.world.rank == 0:
            self._shared.phase = phase
        else:
            self._phase = phase
