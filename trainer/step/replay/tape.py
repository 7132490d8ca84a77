"""Records a gradient step: every tensor operation that PyTorch runs for it, forward and backward, in order.

The step is taken by eager PyTorch and recorded below autograd. A tape identifies tensors by their memory
(`Location`), so that views need no special treatment: they are other locations in one storage.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from traind.trainer.step.replay.kernel_forms import Form, Inner, Methods, find_form

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Location:
    """A tensor's memory: its storage, and offset, shape and strides in it."""

    storage: int
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype


def location_of(tensor: Tensor) -> Location:
    """Return the location of a tensor."""
    return Location(
        tensor.untyped_storage()._cdata,  # noqa: SLF001 - the identity of a storage has no public name
        int(tensor.storage_offset()),
        tuple(tensor.size()),
        tuple(tensor.stride()),
        tensor.dtype,
    )


@dataclass(frozen=True, slots=True)
class Call:
    """One operation: arguments, result, the arguments it changed, and the results in new memory."""

    op: OpOverload
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    result: Any
    changed: tuple[Tensor, ...]
    made: tuple[Tensor, ...]
    form: Form | None  # the cheapest form, for an operation that makes one tensor and changes none

    @property
    def is_random(self) -> bool:
        """Whether it draws random numbers."""
        return torch.Tag.nondeterministic_seeded in self.op.tags

    @property
    def name(self) -> str:
        """The operation's name without its overload."""
        return str(self.op.overloadpacket.__name__)

    @property
    def written(self) -> tuple[Tensor, ...]:
        """All tensors that it writes."""
        return self.changed + self.made

    def tensors(self) -> Iterator[Tensor]:
        """Yield the tensors that it reads, in its `form` if it has one."""
        match self.form:
            case None:
                return tensors_in((self.args, self.kwargs))
            case Methods(calls):
                return tensors_in(calls)
            case form:
                return tensors_in((form.args, form.kwargs))


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from tensors_in(part)
    elif isinstance(value, dict):
        yield from tensors_in(tuple(value.values()))
    elif isinstance(value, Inner):
        yield from tensors_in(value.args)


def frozen(value: Any) -> Any:
    """Return nested tuples, lists and dicts with aliases of their tensors, safe from `transpose_` and the like."""
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, tuple | list):
        return type(value)(frozen(part) for part in value)
    return {name: frozen(part) for name, part in value.items()} if isinstance(value, dict) else value


_UNREPEATABLE = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
_RESHAPING = {"resize_", "resize_as_", "set_"}


class Tape(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records operations within its `with` block. `obstacle` is why they cannot be repeated on other numbers."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Call] = []
        self.obstacle: str | None = None

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: hiding from torch.compile would load the compiler, which takes a second and 70 MB."""
        return False

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run one operation and record it."""
        del types
        given = frozen(args), frozen(kwargs or {})
        before = {location_of(tensor).storage for tensor in tensors_in(given)}
        result = func(*args, **(kwargs or {}))
        results = frozen(result)
        made = tuple(tensor for tensor in tensors_in(results) if location_of(tensor).storage not in before)
        changed = tuple(_changed(func, *given))
        self._look_for_obstacles(func, (*made, *tensors_in(given)))
        form = find_form(func, *given, made[0]) if len(made) == 1 and not changed else None
        self.calls.append(Call(func, *given, results, changed, made, form))
        return result

    def _look_for_obstacles(self, op: OpOverload, tensors: tuple[Tensor, ...]) -> None:
        if any(tag in op.tags for tag in _UNREPEATABLE) or op.overloadpacket.__name__ in _RESHAPING:
            self.obstacle = f"{op} depends on the values"
        for tensor in tensors:
            if type(tensor) is not Tensor or tensor.layout != torch.strided:
                self.obstacle = f"{op} takes a {type(tensor).__name__} of layout {tensor.layout}"
            elif tensor.is_conj() or tensor.is_neg() or tensor.device.type != "cpu":
                self.obstacle = f"{op} is not plain arithmetic on the CPU"


def _changed(op: OpOverload, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[Tensor]:
    """Yield the arguments that `op` writes to, by its schema."""
    for position, argument in enumerate(op._schema.arguments):  # noqa: SLF001 - there is no public schema
        if argument.alias_info is not None and argument.alias_info.is_write:
            yield from tensors_in(args[position] if position < len(args) else kwargs.get(argument.name))


def record(step: Callable[[], Result]) -> tuple[Tape, Result]:
    """Run `step` and return its tape and its result."""
    tape = Tape()
    with tape:
        result = step()
    return tape, result
