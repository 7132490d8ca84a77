"""The shared memory between the server and a running worker. Imports no torch.

The worker reads `verb` and `newest` after each step, increments `beat` and sets `phase`. The server writes `verb`,
`box` and `newest` (see `change`), and reads `beat` and `phase` to detect hangs. No system call, no lock, no queue.
"""

import ctypes
from enum import IntEnum
from typing import Protocol

BOX_BYTES = 8_192


class Verb(IntEnum):
    """A request to a running job; of two the higher number wins."""

    NONE = 0
    PAUSE = 1  # keep the place: write a checkpoint, leave
    STOP = 2  # keep the model: finish with the best so far
    CANCEL = 3  # keep nothing
    LEAVE = 4  # the server goes away: write a checkpoint, leave


class Phase(IntEnum):
    """What a running job does; it decides how long the job may be silent."""

    STEPS = 0
    ASIDE = 1  # validation, or other work within `run.aside()`
    SAVING = 2  # writing or reading checkpoints and the model, which may take long


class SharedControl(ctypes.Structure):
    """The layout in shared memory; the server makes it with `ctx.RawValue` for each worker."""

    _fields_ = (
        ("verb", ctypes.c_int64),
        ("beat", ctypes.c_int64),
        ("phase", ctypes.c_int64),
        ("newest", ctypes.c_int64),  # number of the newest change in the box, written after it
        ("box", ctypes.c_char * BOX_BYTES),  # changes that wait, as JSON with a checksum
    )


class Control(Protocol):
    """The interface that a run needs; `LocalControl` is for runs without a server."""

    verb: int
    beat: int
    phase: int
    newest: int
    box: bytes


class LocalControl:
    """A control of this process alone, for runs in a terminal, a debugger or a test."""

    __slots__ = ("beat", "box", "newest", "phase", "verb")

    def __init__(self) -> None:
        self.verb = int(Verb.NONE)
        self.beat = 0
        self.phase = int(Phase.STEPS)
        self.newest = 0
        self.box = b""
