"""The reference step: the module as it is, autograd, then the update on flat buffers."""

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from traind.trainer.contract.errors import CheckpointDamaged
from traind.trainer.contract.memory import MAX_PREPARED_BYTES
from traind.trainer.step.batches import Batches, Prepared
from traind.trainer.step.flat_optimizer import Optimizer, Update, flatten, point_to
from traind.trainer.step.running_loss import Losses

QUICK = 40_000_000  # rows times weights, up to which a step counts as quick


@runtime_checkable
class Preparing(Protocol):
    """A module whose forward pass is `predict(*prepare(*inputs))`, where `prepare` depends on no weight."""

    def prepare(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return one row for each row of the inputs, independent of the others."""

    def predict(self, *prepared: Tensor) -> Any:
        """Return the output of the forward pass."""


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """The rows that batches are gathered from, which several steps may share."""

    tensors: tuple[Tensor, ...]  # the target last, before it the inputs that are not prepared
    prepared: Prepared | None

    @classmethod
    def of(cls, model: nn.Module, tensors: Sequence[Tensor]) -> "TrainingRows":
        """Return the rows of `tensors` (inputs, then target), prepared by `model` if the result is small enough."""
        *inputs, target = tensors
        if isinstance(model, Preparing) and _prepared_bytes(model, inputs) <= MAX_PREPARED_BYTES:
            return cls((target,), Prepared(model.prepare, inputs))
        return cls((*inputs, target), None)


class EagerStep:
    """Gradient steps of any module.

    Random numbers come from the step's own stream, independent of other uses of the process's generators.
    """

    kind = "eager"

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[Any, Tensor], Tensor],
        tensors: "Sequence[Tensor] | TrainingRows",
        optimizer: Optimizer,
        *,
        batch_size: int,
        seed: int = 0,
    ) -> None:
        self.model = model.train()
        self.loss = loss
        self.source = tensors if isinstance(tensors, TrainingRows) else TrainingRows.of(model, tensors)
        device = self.source.tensors[-1].device
        is_prepared = self.source.prepared is not None
        self._predict: Callable[..., Any] = model.predict if is_prepared and isinstance(model, Preparing) else model
        self.batches = Batches(self.source.tensors, batch_size, self.source.prepared)
        self.groups = flatten(model, optimizer)
        self.update = Update(self.groups, optimizer, is_on_device=device.type == "cuda")
        self.stream = Stream(seed, device)
        self._buffers_of = [(f"{name}." if name else "", part._buffers) for name, part in model.named_modules()]  # noqa: SLF001
        self._trained = [parameter for group in self.groups for parameter in group.parameters]
        self.losses = Losses()
        self.size = batch_size * sum(group.values.numel() for group in self.groups)
        self.is_quick = self.size <= QUICK

    def begin_epoch(self, *orders: Tensor) -> None:
        """Set the epoch's order of the training rows."""
        (order,) = orders
        self.batches.begin_epoch(order)

    def run(self, batch_index: int) -> None:
        """Take one gradient step."""
        self._take(self.batches.at(batch_index))

    def steps(self, first: int, count: int, lrs: Sequence[float]) -> Iterator[int]:
        """Take a gradient step on each of `count` batches; yield after each step how many have been taken."""
        for place in range(count):
            if lrs:
                self.update.lr = lrs[place]
            self._take(self.batches.at(first + place))
            yield place + 1

    def _take(self, batch: Sequence[Tensor]) -> None:
        with self.stream:
            loss, gradients = self.differentiate(batch)
        self._keep(gradients)
        self._finish(loss, len(batch[-1]))

    def differentiate(self, batch: Sequence[Tensor]) -> tuple[Tensor, Sequence[Tensor]]:
        """Return the loss of a batch, and its gradient for each trained parameter."""
        *inputs, target = batch
        loss = self.loss(self._predict(*inputs), target)
        gradients = torch.autograd.grad(loss, self._trained, allow_unused=True, materialize_grads=True)
        return loss.detach(), gradients

    def _keep(self, gradients: Sequence[Tensor]) -> None:
        with torch.no_grad():
            torch._foreach_copy_(self.update.gradients, list(gradients))

    def _finish(self, loss: Tensor, rows: int) -> None:
        with torch.no_grad():
            self.update.apply()
        self.losses.add(loss, rows)

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of the steps that follow."""
        self.update.lr = lr

    def take_loss(self) -> float:
        """Return the mean loss of the rows since the last call."""
        return self.losses.take()

    def loss_total(self) -> tuple[float, int]:
        """Return the sum of the rows' losses since the first step, and their number."""
        return self.losses.total()

    def is_finite(self) -> bool:
        """Return whether all weights are finite."""
        return all(_is_finite(group.values) for group in self.groups)

    def drop_lost(self, epoch: int) -> Sequence[int]:
        """Return nothing: there is one member."""
        del epoch
        return ()

    def keep(self, *, averaged: bool = True) -> list[Tensor]:
        """Return a copy of the weights for `weights`."""
        flats = [group.average if averaged and group.average is not None else group.values for group in self.groups]
        return [tensor.clone() for tensor in (*flats, *self._buffers().values())]

    def weights(self, kept: Sequence[Tensor] | None = None, *, averaged: bool = True) -> dict[str, Tensor]:
        """Return a copy of the module's state dict."""
        kept = self.keep(averaged=averaged) if kept is None else kept
        count = len(self.groups)
        own = dict(zip(map(id, self._buffers().values()), kept[count:], strict=True))
        for group, flat in zip(self.groups, kept[:count], strict=True):
            own.update(zip(map(id, group.parameters), group.views(flat), strict=True))
        tensors = self.model.state_dict(keep_vars=True)
        return {name: own.get(id(tensor), tensor).detach().clone() for name, tensor in tensors.items()}

    @contextmanager
    def evaluation(self, *, averaged: bool = True) -> Iterator[nn.Module]:
        """Yield the module in evaluation mode."""
        trained = [(module, module.training) for module in self.model.modules()]
        with self._pointed(averaged=averaged), torch.no_grad():
            try:
                yield self.model.eval()
            finally:
                for module, training in trained:
                    module.training = training

    @contextmanager
    def _pointed(self, *, averaged: bool) -> Iterator[None]:
        groups = [(group, group.average) for group in self.groups if averaged and group.average is not None]
        for group, average in groups:
            point_to(group, average)
        try:
            yield
        finally:
            for group, _ in groups:
                point_to(group, group.values)

    def _buffers(self) -> dict[str, Tensor]:
        """Return the module's present buffers by name, ten times as fast as `named_buffers`."""
        return {
            prefix + name: buffer
            for prefix, buffers in self._buffers_of
            for name, buffer in buffers.items()
            if buffer is not None
        }

    def state(self) -> dict[str, Any]:
        """Return a copy of everything that the next steps depend on."""
        return {
            "groups": [{"names": list(group.names), "numbers": group.numbers.clone()} for group in self.groups],
            "buffers": {name: buffer.clone() for name, buffer in self._buffers().items()},
            "updates": self.update.taken,
            "lr": self.update.lr,
            "loss": list(self.loss_total()),
            "random": self.stream.state(),
            "kind": self.kind,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        try:
            self._restore(state)
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise CheckpointDamaged(f"The checkpoint is not of this model and optimizer: {error}.") from error

    def _restore(self, state: dict[str, Any]) -> None:
        for group, saved in zip(self.groups, state["groups"], strict=True):
            if list(group.names) != saved["names"] or group.numbers.shape != saved["numbers"].shape:
                raise ValueError("other parameters")
            group.numbers.copy_(saved["numbers"])
        buffers = self._buffers()
        if buffers.keys() != state["buffers"].keys():
            raise ValueError("other buffers")
        for name, buffer in buffers.items():
            buffer.copy_(state["buffers"][name])
        self.update.counted(state["updates"])
        self.update.lr = state["lr"]
        loss_sum, loss_rows = state["loss"]
        self.losses.restore((loss_sum, loss_rows))
        self.stream.restore(state["random"])


def _prepared_bytes(model: Preparing, inputs: Sequence[Tensor]) -> int:
    one = model.prepare(*(tensor[:1] for tensor in inputs))
    return len(inputs[0]) * sum(tensor.nbytes for tensor in one)


def _is_finite(numbers: Tensor) -> bool:
    # A finite sum means that all numbers are finite, in one call; but finite numbers can add up to infinity.
    return math.isfinite(numbers.sum().item()) or bool(torch.isfinite(numbers).all())


class Stream:
    """A random stream that replaces the state of torch's default generators within a `with` block.

    One thread at a time can be in such a block, since all share these generators.
    """

    _turn = threading.RLock()

    def __init__(self, seed: int, device: torch.device) -> None:
        self._generators = [torch.default_generator]
        if device.type == "cuda":
            index = device.index if device.index is not None else torch.cuda.current_device()
            self._generators.append(torch.cuda.default_generators[index])
        self._own = [
            torch.Generator(generator.device).manual_seed(seed).get_state() for generator in self._generators
        ]
        self._host: list[Tensor] = []

    def __enter__(self) -> None:
        self._turn.acquire()
        self._host = [generator.get_state() for generator in self._generators]
        for generator, own in zip(self._generators, self._own, strict=True):
            generator.set_state(own)

    def __exit__(self, *exception: object) -> None:
        self._own = [generator.get_state() for generator in self._generators]
        for generator, host in zip(self._generators, self._host, strict=True):
            generator.set_state(host)
        self._turn.release()

    def state(self) -> list[Tensor]:
        """Return the stream's state for `restore`; these tensors are not changed later."""
        return list(self._own)

    def restore(self, state: list[Tensor]) -> None:
        """Restore what `state` returned."""
        if len(state) != len(self._generators):
            raise ValueError("a random stream of another device")
        self._own = list(state)
