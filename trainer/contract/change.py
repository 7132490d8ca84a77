"""The settings that can be changed while a job runs, and how changes reach its worker. Imports no torch.

A change has a number in its job. It is requested once and taken up at one step, which is recorded: an attempt that
takes those steps again takes the change up at the same step.
"""

import zlib
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from traind.trainer.contract.control import BOX_BYTES, Control

Epochs = Annotated[int, Meta(ge=1, le=100_000)]
Rate = Annotated[float, Meta(gt=0.0, le=100.0)]
Patience = Annotated[int, Meta(ge=1, le=100_000)]
CheckpointEvery = Annotated[float, Meta(ge=0.0, le=86_400.0)]
ReportEvery = Annotated[int, Meta(ge=1, le=1_000_000)]
WAITING_MAX = 32  # the most changes that wait: they fit into the box


class Change(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings to change from the next step on; those left out stay as they are."""

    lr: Rate | UnsetType = UNSET
    """Learning rate of the next step; a schedule continues from it to its end."""
    epochs: Epochs | UnsetType = UNSET
    """Number of all epochs, finished ones included; a schedule continues from where it is to the new end."""
    patience: Patience | UnsetType | None = UNSET
    """Epochs without a better monitor after which training stops early; null: never."""
    report_every: ReportEvery | UnsetType = UNSET
    """Gradient steps between progress events; fewer are sent where they would come too fast."""
    checkpoint_every: CheckpointEvery | UnsetType = UNSET
    """Seconds between checkpoints; 0: after each epoch."""


FIELDS = Change.__struct_fields__
OF_TRAINING = ("lr", "epochs", "patience")  # settings that the trainer must support; the others are `Run`'s


class RequestedChange(Change, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A requested change of a job's settings, and whether it was taken up or refused."""

    number: Annotated[int, Meta(ge=1)]
    """Number of the change in its job: 1, 2, 3 ..."""
    step: int | None = None
    """Gradient steps taken before it was taken up; null: it waits, or was refused."""
    refused: dict[str, str] = {}
    """Why it was not taken up, by field; empty unless it was refused."""

    @property
    def is_waiting(self) -> bool:
        """Whether it is neither taken up nor refused yet."""
        return self.step is None and not self.refused


def values_of(change: Change) -> dict[str, Any]:
    """Return the fields that a change sets."""
    return {name: value for name in FIELDS if (value := getattr(change, name)) is not UNSET}


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[RequestedChange]).decode


def put(control: Control, waiting: Sequence[RequestedChange]) -> None:
    """Write all waiting changes, in order of number, to a running worker's box, which it reads after each step."""
    body = _encode(waiting)
    content = b"%08x" % zlib.crc32(body) + body
    assert len(content) <= BOX_BYTES
    control.box = content
    control.newest = waiting[-1].number


def look(control: Control) -> list[RequestedChange] | None:
    """Return the changes in the box; None while it is being written: read it again after the next step."""
    newest, content = control.newest, bytes(control.box)
    if len(content) < 8 or content[:8] != b"%08x" % zlib.crc32(content[8:]):
        return None
    found = _decode(content[8:])
    return found if found and found[-1].number >= newest else None
