"""The calls of a tape that must run at every step: no views, no constants, no unused results.

A constant depends neither on the batch, nor on weights and buffers, nor on random numbers. Views are made once, over
memory that stays.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from traind.trainer.step.replay.kernel_forms import BY_SHAPE, EMPTY, find_form
from traind.trainer.step.replay.tape import Call, Location, Tape, location_of


@dataclass(frozen=True, slots=True)
class Borders:
    """The inputs and outputs of a step, as tensors of the tape."""

    batch: tuple[Tensor, ...]
    lasting: tuple[Tensor, ...]  # parameters and buffers of the module
    loss: Tensor
    gradients: tuple[tuple[Tensor, Tensor], ...]  # a computed gradient, and its place in the flat buffer


@dataclass(slots=True)
class Liveness:
    """The calls that must run at every step, and the uses of their storages, by storage."""

    calls: list[Call]
    locations: dict[int, set[Location]] = field(default_factory=lambda: defaultdict(set))  # of views
    first: dict[int, int] = field(default_factory=dict)  # first call that uses it
    last: dict[int, int] = field(default_factory=dict)  # last call that uses it
    writers: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def use(self, tensor: Tensor, at: int) -> None:
        """Record that call number `at` uses `tensor`."""
        location = location_of(tensor)
        self.locations[location.storage].add(location)
        self.first.setdefault(location.storage, at)
        self.last[location.storage] = max(at, self.last.get(location.storage, at))


class NotReplayable(Exception):
    """The tape has an operation that straight-line code on fixed memory cannot repeat."""


def live_calls(tape: Tape, borders: Borders) -> Liveness:
    """Return the calls that must run at every step; raises `NotReplayable`."""
    if tape.obstacle is not None:
        raise NotReplayable(tape.obstacle)
    calls = [call for call in tape.calls if not _is_view(call)]
    writers: dict[int, int] = defaultdict(int)
    for call in calls:
        for tensor in call.written:
            writers[_storage(tensor)] += 1
    lasting = {_storage(tensor) for tensor in borders.lasting}
    calls = _without_constants(calls, lasting | {_storage(tensor) for tensor in borders.batch}, writers)
    results = [borders.loss, *(computed for computed, _ in borders.gradients)]
    calls = _without_unread_columns(_without_waste(calls, lasting, results), results)
    liveness = Liveness(calls, writers=writers)
    for at, call in enumerate(calls):
        for tensor in (*call.tensors(), *call.made):
            liveness.use(tensor, at)
    for tensor in results:
        liveness.use(tensor, len(calls))
    return liveness


def _storage(tensor: Tensor) -> int:
    return location_of(tensor).storage


def _is_view(call: Call) -> bool:
    return torch.Tag.inplace_view in call.op.tags or not call.written


def _without_constants(calls: Iterable[Call], variable: set[int], writers: dict[int, int]) -> list[Call]:
    """Leave out calls with constant results; `variable` are storages whose contents change from step to step."""
    variable = set(variable)
    made: set[int] = set()
    kept = []
    for call in calls:
        written = [_storage(tensor) for tensor in call.written]
        if call.changed and not set(written) <= made | variable:
            raise NotReplayable(f"{call.op} changes a tensor that is neither parameter nor buffer")
        made.update(written)
        varies = call.is_random or bool(call.changed) or any(writers[storage] > 1 for storage in written)
        if call.name not in BY_SHAPE | EMPTY:
            varies = varies or any(_storage(tensor) in variable for tensor in call.tensors())
        if varies:
            variable.update(written)
            kept.append(call)
    return kept


def _without_waste(calls: Sequence[Call], lasting: set[int], results: Iterable[Tensor]) -> list[Call]:
    """Leave out calls whose results are unused. Random draws stay, so that the stream goes on as in eager PyTorch."""
    needed = lasting | {_storage(tensor) for tensor in results}
    kept = []
    for call in reversed(calls):
        given = {_storage(tensor) for tensor in call.tensors()}
        is_lasting = not given.isdisjoint(lasting) and call.name in _SECRETLY_CHANGING
        if call.is_random or is_lasting or any(_storage(tensor) in needed for tensor in call.written):
            kept.append(call)
            needed.update(_storage(tensor) for tensor in call.tensors())
    return kept[::-1]


def _without_unread_columns(calls: Sequence[Call], results: Sequence[Tensor]) -> list[Call]:
    """Narrow matrix products to the columns that are read: gradients of inputs, for example, are not."""
    read = defaultdict(list)
    for tensor in (*(tensor for call in calls for tensor in (*call.tensors(), *call.changed)), *results):
        read[_storage(tensor)].append(location_of(tensor))
    return [_narrowed(call, read[_storage(call.made[0])]) if call.name == "mm" else call for call in calls]


def _narrowed(call: Call, read: Sequence[Location]) -> Call:
    """Return the product narrowed to the columns that are read, in the same memory."""
    (left, right), (made,) = call.args, call.made
    width = made.shape[1]
    columns = max((_columns(location, width) for location in read), default=width)
    if columns >= width:
        return call
    args, made = (left, right[:, :columns]), made[:, :columns]
    form = find_form(call.op, args, call.kwargs, made)
    return replace(call, args=args, made=(made,), result=made, form=form)


def _columns(location: Location, width: int) -> int:
    """Return how many of the `width` columns of a matrix a view of whole rows reaches."""
    if not location.size or location.stride[0] != width:
        return width
    return (
        1
        + location.offset
        + sum((size - 1) * step for size, step in zip(location.size[1:], location.stride[1:], strict=True))
    )


_SECRETLY_CHANGING = {"native_batch_norm", "cudnn_batch_norm", "miopen_batch_norm"}  # running statistics
