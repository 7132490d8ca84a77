"""The memory of a plan's results: gradients in the flat buffer, everything else in reused memory.

A storage is free after the last call that uses it. The most recently freed is reused first: it is still in cache.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, UntypedStorage

from traind.trainer.step.replay.kernel_forms import Fresh, Into
from traind.trainer.step.replay.liveness import Borders, Liveness
from traind.trainer.step.replay.tape import Call, Location, location_of

_WASTE = 4  # free memory is reused if it is at most this many times too large


@dataclass(slots=True)
class Memory:
    """The memory of a plan, by storages of the tape."""

    fixed: dict[int, tuple[UntypedStorage, int]] = field(default_factory=dict)  # memory and offset in bytes
    fresh: set[int] = field(default_factory=set)  # results that are new tensors at every step
    heirs: dict[int, int] = field(default_factory=dict)  # of a fresh storage: the storage whose tensor it overwrites
    in_place: set[int] = field(default_factory=set)  # calls that write their result to their first argument
    own_bytes: int = 0

    def lay(self, location: Location) -> Tensor:
        """Return an inference tensor over fixed memory."""
        storage, start = self.fixed[location.storage]
        with torch.inference_mode():
            tensor = torch.empty(0, dtype=location.dtype)
            offset = start // tensor.element_size() + location.offset
            return tensor.set_(storage, offset, location.size, location.stride)

    def take(self, nbytes: int) -> UntypedStorage:
        """Return new memory of `nbytes` bytes."""
        self.own_bytes += nbytes
        return torch.empty(nbytes, dtype=torch.uint8).untyped_storage()


def plan_memory(liveness: Liveness, borders: Borders) -> Memory:
    """Place every storage that the calls use."""
    planner = _Planner(liveness)
    planner.keep_what_exists()
    for computed, destination in borders.gradients:
        planner.place_gradient(computed, destination)
    for at, call in enumerate(liveness.calls):
        planner.place_results(at, call)
    return planner.memory


class _Planner:
    def __init__(self, liveness: Liveness) -> None:
        self.liveness = liveness
        self.memory = Memory()
        self.made = {location_of(tensor).storage for call in liveness.calls for tensor in call.made}
        self.used: dict[int, UntypedStorage] = {}  # by storages that may still be read
        self.free: list[UntypedStorage] = []

    def keep_what_exists(self) -> None:
        """Keep storages that no call makes where they are."""
        for call in self.liveness.calls:
            for tensor in call.tensors():
                storage = location_of(tensor).storage
                if storage not in self.made:
                    self.memory.fixed[storage] = (tensor.untyped_storage(), 0)

    def place_gradient(self, computed: Tensor, destination: Tensor) -> None:
        """Place a gradient directly in the flat buffer, if it is the whole of its storage."""
        location = location_of(computed)
        is_whole = computed.is_contiguous() and computed.untyped_storage().nbytes() == computed.nbytes
        if is_whole and location.storage in self.made:
            start = int(destination.storage_offset()) * destination.element_size()
            self.memory.fixed.setdefault(location.storage, (destination.untyped_storage(), start))

    def place_results(self, at: int, call: Call) -> None:
        """Place the results of call number `at`, then free the storages that it used last."""
        given_on = None
        for tensor in call.made:
            location = location_of(tensor)
            if location.storage in self.memory.fixed:
                continue
            given_on = self._donor(at, call, location)
            if given_on is not None:
                self._inherit(location.storage, given_on)
                if isinstance(call.form, Fresh):
                    self.memory.in_place.add(at)
            elif self._can_be_fresh(call, location.storage):
                self.memory.fresh.add(location.storage)
            else:
                self._settle(location.storage, self._take(tensor.untyped_storage().nbytes()))
        for storage in [storage for storage in self.used if self.liveness.last[storage] <= at]:
            memory = self.used.pop(storage)
            if storage != given_on:
                self.free.append(memory)

    def _inherit(self, storage: int, giver: int) -> None:
        if giver in self.used:
            self._settle(storage, self.used[giver])
        else:
            self.memory.fresh.add(storage)
            self.memory.heirs[storage] = giver

    def _settle(self, storage: int, memory: UntypedStorage) -> None:
        self.used[storage] = memory
        self.memory.fixed[storage] = (memory, 0)

    def _take(self, nbytes: int) -> UntypedStorage:
        for index in reversed(range(len(self.free))):
            if nbytes <= self.free[index].nbytes() <= nbytes * _WASTE:
                return self.free.pop(index)
        return self.memory.take(nbytes)

    def _can_be_fresh(self, call: Call, storage: int) -> bool:
        is_new = call.form is None or (isinstance(call.form, Fresh) and call.made[0].is_contiguous())
        return is_new and self._is_seen_one_way(storage)

    def _is_seen_one_way(self, storage: int) -> bool:
        return len(self.liveness.locations[storage]) == 1 and self.liveness.writers[storage] == 1

    def _donor(self, at: int, call: Call, location: Location) -> int | None:
        """Return the storage of an argument that an elementwise call's result can overwrite, or None."""
        if isinstance(call.form, Fresh) and call.form.in_place is not None:
            candidates = [call.args[0]]
        elif isinstance(call.form, Into) and torch.Tag.pointwise in call.op.tags:
            candidates = list(call.tensors())
        else:
            return None
        for candidate in map(location_of, candidates):
            same = (candidate.offset, candidate.size, candidate.stride, candidate.dtype) == (
                0,
                location.size,
                location.stride,
                location.dtype,
            )
            is_ours = candidate.storage in self.used or (
                candidate.storage in self.memory.fresh and self._is_seen_one_way(location.storage)
            )
            if same and is_ours and self._is_spent(at, call, candidate):
                return candidate.storage
        return None

    def _is_spent(self, at: int, call: Call, location: Location) -> bool:
        others = [location_of(tensor) for tensor in call.tensors()]
        is_seen_otherwise = any(other != location for other in others if other.storage == location.storage)
        return self.liveness.last[location.storage] == at and not is_seen_otherwise
