"""Generates straight-line code from a tape: one Python function that calls tensor operations on fixed memory.

The same kernels run on tensors of the same shapes, strides and alignment as in eager PyTorch, so they give the same
bits.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from traind.trainer.step.replay.kernel_forms import Fresh, Inner, Into, Methods, direct, plain_form
from traind.trainer.step.replay.liveness import Borders, Liveness, live_calls
from traind.trainer.step.replay.memory import Memory, plan_memory
from traind.trainer.step.replay.tape import Call, Location, Tape, location_of


@dataclass(frozen=True, slots=True)
class Plan:
    """A step as code: `run(*batch)` leaves the gradients in the flat buffer and returns the loss, a new tensor.

    Call it in inference mode, and if `is_random` with the step's random stream.
    """

    run: Callable[..., Tensor]
    is_random: bool
    source: str
    own_bytes: int


def make_plan(tape: Tape, borders: Borders) -> Plan:
    """Return the plan that repeats `tape` for any batch of its shape; raises `NotReplayable`."""
    liveness = live_calls(tape, borders)
    _keep_loss(liveness, borders.loss)
    memory = plan_memory(liveness, borders)
    writer = _Writer(memory)
    arguments = [writer.take_batch(number, tensor, liveness) for number, tensor in enumerate(borders.batch)]
    for at, call in enumerate(liveness.calls):
        writer.write(at, call)
    for computed, destination in borders.gradients:
        writer.write_gradient(computed, destination)
    writer.write_loss(borders.loss)
    source = "\n    ".join([f"def run({', '.join(arguments)}):", *writer.lines]) + "\n"
    exec(compile(source, "<plan>", "exec"), writer.names)  # noqa: S102 - lines of our own, no input of anybody's
    is_random = any(call.is_random for call in liveness.calls)
    return Plan(writer.names["run"], is_random, source, memory.own_bytes)


def _keep_loss(liveness: Liveness, loss: Tensor) -> None:
    """Make the loss a new tensor at every step, so that it can be read later."""
    for at, call in enumerate(liveness.calls):
        if isinstance(call.form, Into | Methods) and location_of(loss) in map(location_of, call.made):
            liveness.calls[at] = replace(call, form=plain_form(call.op, call.args, call.kwargs, loss))


class _Writer:
    """Writes the lines of code; `names` maps the names in them to objects."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.lines: list[str] = []
        self.names: dict[str, Any] = {}
        self._tensors: dict[Location, Tensor] = {}
        self._known: dict[int, str] = {}
        self._locals: dict[int, str] = {}  # by storage

    def take_batch(self, number: int, tensor: Tensor, liveness: Liveness) -> str:
        """Return the argument for one tensor of the batch; copy it to fixed memory where views of it are used."""
        location, name = location_of(tensor), f"x{number}"
        if liveness.locations.get(location.storage, {location}) == {location}:
            self._locals[location.storage] = name
            return name
        fixed = torch.empty_like(tensor, memory_format=torch.contiguous_format)
        start = -location.offset * tensor.element_size()
        self.memory.fixed[location.storage] = (fixed.untyped_storage(), start)
        self._line(f"{self._name(self._tensor(location).copy_)}({name})")
        return name

    def write(self, at: int, call: Call) -> None:
        """Write the lines of one call."""
        for storage in {location_of(tensor).storage for tensor in call.made} & self.memory.heirs.keys():
            self._locals[storage] = self._locals[self.memory.heirs[storage]]
        if not call.made:
            self._write_change(call)
        elif call.form is None:
            self._write_many(call)
        elif at in self.memory.in_place:
            assert isinstance(call.form, Fresh)
            rest = (*call.form.args[1:], *call.form.kwargs.values())
            self._write_methods(call.form.args[0], ((call.form.in_place or "", rest),))
        else:
            self._write_form(call.form, call.made[0])

    def write_gradient(self, computed: Tensor, destination: Tensor) -> None:
        """Copy a gradient to its place in the flat buffer, unless it was computed there."""
        location = location_of(computed)
        fixed = self.memory.fixed.get(location.storage)
        if fixed is None or fixed[0].data_ptr() + fixed[1] != destination.data_ptr():
            source = self._literal(computed)
            self._line(f"{self._name(destination.detach().copy_)}({source})")

    def write_loss(self, loss: Tensor) -> None:
        """Write the line that returns the loss."""
        is_fresh = location_of(loss).storage in self._locals
        self._line(f"return {self._literal(loss)}" + ("" if is_fresh else ".clone()"))

    def _write_form(self, form: Into | Methods | Fresh, output: Tensor) -> None:
        location = location_of(output)
        if isinstance(form, Methods):
            self._write_methods(output, form.calls)
        elif isinstance(form, Into):
            kwargs = {**form.kwargs, form.keyword: output}
            self._line(self._call(form.function, form.args, kwargs))
        elif location.storage in self.memory.fresh:
            self._locals[location.storage] = f"v{len(self.lines)}"
            self._line(f"{self._locals[location.storage]} = {self._call(form.function, form.args, form.kwargs)}")
        else:
            result = self._call(form.function, form.args, form.kwargs)
            self._line(f"{self._name(self._tensor(location).copy_)}({result})")

    def _write_methods(self, target: Tensor, calls: Sequence[tuple[str, tuple[Any, ...]]]) -> None:
        location = location_of(target)
        for name, args in calls:
            if location.storage in self._locals:
                given = ", ".join(self._literal(value) for value in args)
                self._line(f"{self._locals[location.storage]}.{name}({given})")
            else:
                self._line(self._call(getattr(self._tensor(location), name), args, {}))

    def _write_change(self, call: Call) -> None:
        target = call.args[0] if call.args else None
        is_method = len(call.changed) == 1 and target is call.changed[0] and hasattr(Tensor, call.name)
        if is_method and location_of(call.changed[0]).storage not in self._locals:
            method = getattr(self._tensor(location_of(call.changed[0])), call.name)
            self._line(self._call(method, call.args[1:], call.kwargs))
        else:
            self._line(self._call(direct(call.op), call.args, call.kwargs))

    def _write_many(self, call: Call) -> None:
        names, copies, made = [], [], set(map(location_of, call.made))
        results = call.result if isinstance(call.result, tuple | list) else (call.result,)
        for number, result in enumerate(results):
            names.append(f"v{len(self.lines)}_{number}")
            location = location_of(result) if isinstance(result, Tensor) else None
            if location is None or location not in made:
                continue
            if location.storage in self.memory.fresh:
                self._locals[location.storage] = names[-1]
            else:
                copies.append(f"{self._name(self._tensor(location).copy_)}({names[-1]})")
        call_source = self._call(direct(call.op), call.args, call.kwargs)
        self._line(f"{', '.join(names)}, = {call_source}" if len(names) > 1 else f"{names[0]} = {call_source}")
        self.lines.extend(copies)

    def _line(self, line: str) -> None:
        self.lines.append(line)

    def _call(self, function: Callable[..., Any], args: Sequence[Any], kwargs: Any) -> str:
        given = [self._literal(value) for value in args]
        given += [f"{name}={self._literal(value)}" for name, value in kwargs.items()]
        return f"{self._name(function)}({', '.join(given)})"

    def _tensor(self, location: Location) -> Tensor:
        if location not in self._tensors:
            self._tensors[location] = self.memory.lay(location)
        return self._tensors[location]

    def _literal(self, value: Any) -> str:
        """Return source that evaluates to `value`, with planned tensors in place of the tape's."""
        if isinstance(value, Tensor):
            location = location_of(value)
            local = self._locals.get(location.storage)
            return local if local is not None else self._name(self._tensor(location))
        if isinstance(value, tuple | list):
            parts = ", ".join(self._literal(part) for part in value)
            return f"({parts},)" if isinstance(value, tuple) and value else f"[{parts}]"
        if isinstance(value, Inner):
            return self._call(value.function, value.args, {})
        if isinstance(value, float) and math.isfinite(value):
            return repr(value)
        return repr(value) if value is None or isinstance(value, bool | int | str) else self._name(value)

    def _name(self, value: Any) -> str:
        """Return the name of an object in the lines."""
        if id(value) not in self._known:
            self._known[id(value)] = f"n{len(self.names)}"
            self.names[self._known[id(value)]] = value
        return self._known[id(value)]
