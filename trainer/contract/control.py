"""What the server tells a running worker, and what the worker shows: some numbers in shared memory.

The loop reads `verb` and `newest` after each step and moves `beat` every few; `phase` says what it does meanwhile. No
system call, no lock, no queue. The server writes `verb`, `box` and `newest` (see `change`), and watches the other two
for hangs. Imports no torch.
"""

import ctypes
from enum import IntEnum
from typing import Protocol

BOX_BYTES = 8_192


class Verb(IntEnum):
    """What is requested of a running job; the higher number wins where two are."""

    NONE = 0
    PAUSE = 1  # keep the place: write a checkpoint, leave
    STOP = 2  # keep the model: finish with the best so far
    CANCEL = 3  # keep nothing
    LEAVE = 4  # the server goes away: write a checkpoint, leave


class Phase(IntEnum):
    """What a running job does; how long it may do so without a beat depends on it."""

    STEPS = 0
    ASIDE = 1  # validation, or what else a trainer sets aside
    SAVING = 2  # a call of ours that may take long: checkpoints, the model


class SharedControl(ctypes.Structure):
    """The layout in shared memory: made by the slot with `ctx.RawValue`, handed over in the pool's `initargs`."""

    _fields_ = (
        ("verb", ctypes.c_int64),
        ("beat", ctypes.c_int64),
        ("phase", ctypes.c_int64),
        ("newest", ctypes.c_int64),  # number of the newest change in the box, written after it
        ("box", ctypes.c_char * BOX_BYTES),  # changes that wait, as JSON with a checksum
    )


class Control(Protocol):
    """What a run needs of it; `LocalControl` serves runs without a server."""

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
