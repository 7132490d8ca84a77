"""The update of a step: gradient clipping, the optimizer, the weight average, on flat buffers.

Parameters of one kind are in one buffer, their gradients, moments and averages in others, so that an update takes a
few calls for any number of parameters. The result is bit for bit that of `torch.nn.utils.clip_grad_norm_`,
`torch.optim.{Adam, AdamW, SGD}(fused=True)` and `Tensor.lerp_` for each parameter.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

Rate = Any  # float | Tensor: the kernels are overloaded for either, not for both
OptimizerKind = Literal["adam", "adamw", "sgd"]
ALIGNED = 16  # numbers: whole cache lines, as in separate tensors, since BLAS results depend on alignment


@dataclass(frozen=True, slots=True)
class Tuning:
    """Settings of one parameter: a factor on the learning rate, its own weight decay (None: the optimizer's)."""

    lr_scale: float = 1.0
    weight_decay: float | None = None


@dataclass(frozen=True, slots=True)
class Optimizer:
    """The optimizer's settings. `tuning` is by parameter name; `averaging` is the decay of the weight average."""

    kind: OptimizerKind = "adam"
    lr: float = 1e-3
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    momentum: float = 0.9  # of sgd
    grad_clip: float | None = None  # the largest norm of all gradients together
    averaging: float | None = None
    tuning: Mapping[str, Tuning] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters of one type and tuning, in one flat tensor each for values, gradients, moments and average.

    All but the gradients are rows of `numbers`, so that copying it copies the whole state.

    Every parameter begins at a cache line, after zeros if the last one ended within a line. A run is a sequence of
    parameters without such a gap. Fused kernels round the end of a tensor differently from its whole vectors; called
    with runs they round as if called with each parameter.
    """

    names: tuple[str, ...]
    tuning: Tuning
    parameters: tuple[nn.Parameter, ...]
    places: tuple[slice, ...]  # of each parameter in the flat tensors
    runs: tuple[slice, ...]
    numbers: Tensor
    values: Tensor
    gradients: Tensor
    moments: tuple[Tensor, ...]
    average: Tensor | None

    def views(self, flat: Tensor) -> list[Tensor]:
        """Cut one of the buffers into tensors of the parameters' shapes."""
        return [
            flat[place].view(parameter.shape) for place, parameter in zip(self.places, self.parameters, strict=True)
        ]


def flatten(model: nn.Module, optimizer: Optimizer) -> list[Group]:
    """Move the trainable parameters of `model` into flat buffers: each becomes a view, values unchanged."""
    kinds: dict[tuple[torch.dtype, torch.device, Tuning], list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            tuning = optimizer.tuning.get(name, Tuning())
            kinds.setdefault((parameter.dtype, parameter.device, tuning), []).append((name, parameter))
    return [_group(tuning, members, optimizer) for (_, _, tuning), members in kinds.items()]


def _group(tuning: Tuning, members: Sequence[tuple[str, nn.Parameter]], optimizer: Optimizer) -> Group:
    names, parameters = zip(*members, strict=True)
    places, runs, length = _places([parameter.numel() for parameter in parameters])
    moments = (1 if optimizer.momentum else 0) if optimizer.kind == "sgd" else 2
    rows = 1 + moments + (optimizer.averaging is not None)
    numbers = parameters[0].new_zeros(rows, _aligned(length))
    values, *others = numbers[:, :length]
    for place, parameter in zip(places, parameters, strict=True):
        values[place].copy_(parameter.detach().reshape(-1))
    average = others.pop().copy_(values) if optimizer.averaging is not None else None
    group = Group(
        names=names,
        tuning=tuning,
        parameters=parameters,
        places=places,
        runs=runs,
        numbers=numbers,
        values=values,
        gradients=torch.zeros_like(values),
        moments=tuple(others),
        average=average,
    )
    point_to(group, values)
    return group


def _places(sizes: Sequence[int]) -> tuple[tuple[slice, ...], tuple[slice, ...], int]:
    """Return the slices of parameters of these sizes, the runs they form, and the total length."""
    places, runs, start, run = [], [], 0, 0
    for size in sizes:
        places.append(slice(start, start + size))
        start += size
        if size % ALIGNED:
            runs.append(slice(run, start))
            start = run = _aligned(start)
    if run < start:
        runs.append(slice(run, start))
    return tuple(places), tuple(runs), start


def _aligned(length: int) -> int:
    return -(-length // ALIGNED) * ALIGNED


def point_to(group: Group, flat: Tensor) -> None:
    """Make the parameters views of `flat`: the group's values or its average."""
    for parameter, view in zip(group.parameters, group.views(flat), strict=True):
        parameter.data = view


class Update:
    """One optimizer step on all groups, from the gradients in their buffers.

    With `is_on_device`, everything that changes from step to step is read from the device, so that it can be captured
    in a CUDA graph.
    """

    def __init__(self, groups: Sequence[Group], optimizer: Optimizer, *, is_on_device: bool = False) -> None:
        self.groups = groups
        self.optimizer = optimizer
        self.taken = 0
        self._lr = optimizer.lr
        device = groups[0].values.device
        self._device_lr = torch.tensor(optimizer.lr, device=device) if is_on_device else None
        self._device_taken = torch.zeros((), device=device)
        self._counts = [torch.zeros((), dtype=torch.float32, device=group.values.device) for group in groups]
        self._one = torch.ones(())
        self.gradients = [view for group in groups for view in group.views(group.gradients)]
        steps = {"adam": self._adam, "adamw": self._adam, "sgd": self._sgd}
        self._steps = [steps[optimizer.kind](group, count) for group, count in zip(groups, self._counts, strict=True)]

    @property
    def lr(self) -> float:
        """The learning rate of the next update."""
        return self._lr

    @lr.setter
    def lr(self, lr: float) -> None:
        self._lr = lr
        if self._device_lr is not None:
            self._device_lr.fill_(lr)

    def apply(self) -> None:
        """Clip the gradients, update the weights, then their average."""
        if self.optimizer.grad_clip is not None:
            self._clip(self.optimizer.grad_clip)
        lr = self._lr if self._device_lr is None else self._device_lr
        for step in self._steps:
            step(lr)
        self.taken += 1
        if self.optimizer.averaging is not None:
            self._average(self.optimizer.averaging)

    def counted(self, taken: int) -> None:
        """Go on as if `taken` updates had been made."""
        self.taken = taken
        for count in (*self._counts, self._device_taken):
            count.fill_(taken)

    def _clip(self, largest: float) -> None:
        norms = torch._foreach_norm(self.gradients, 2.0)  # noqa: SLF001
        first = norms[0].device
        total = torch.linalg.vector_norm(torch.stack([norm.to(first) for norm in norms]), 2.0)
        factor = torch.clamp(largest / (total + 1e-6), max=1.0)
        for group in self.groups:
            group.gradients.mul_(factor.to(group.gradients.device))

    def _average(self, decay: float) -> None:
        # The plain mean of all weights so far, until 1 / count falls below 1 - decay.
        weight: float | Tensor = max(1.0 - decay, 1.0 / self.taken)
        if self._device_lr is not None:
            self._device_taken.add_(1)
            weight = self._device_taken.reciprocal().clamp(min=1.0 - decay)
        for group in self.groups:
            assert group.average is not None
            group.average.lerp_(group.values, weight)

    def _adam(self, group: Group, count: Tensor) -> Callable[[Rate], None]:
        kernel = torch._fused_adamw_ if self.optimizer.kind == "adamw" else torch._fused_adam_
        values, gradients, means, squares = _cut(group)
        counts, (beta1, beta2), eps = [count] * len(values), self.optimizer.betas, self.optimizer.eps
        decay, scale = self._decay(group), group.tuning.lr_scale
        advance = self._advancing(count)

        def step(lr: Rate) -> None:
            advance()
            kernel(
                values,
                gradients,
                means,
                squares,
                [],
                counts,
                lr=lr * scale,
                beta1=beta1,
                beta2=beta2,
                weight_decay=decay,
                eps=eps,
                amsgrad=False,
                maximize=False,
            )

        return step

    def _advancing(self, count: Tensor) -> Callable[[], object]:
        """Return a function that counts one more update."""
        if count.is_cpu:
            fill = count.numpy().fill  # in a quarter of the time of `add_`
            return lambda: fill(self.taken + 1)
        return partial(count.add_, self._one.to(count.device))

    def _sgd(self, group: Group, count: Tensor) -> Callable[[Rate], None]:
        del count
        values, gradients, *moments = _cut(group)
        momenta, momentum = (moments[0] if moments else []), self.optimizer.momentum
        decay, scale = self._decay(group), group.tuning.lr_scale

        def step(lr: Rate) -> None:
            torch._fused_sgd_(
                values,
                gradients,
                momenta,
                weight_decay=decay,
                momentum=momentum,
                lr=lr * scale,
                dampening=0.0,
                nesterov=False,
                maximize=False,
                is_first_step=False,  # a momentum of zeros becomes the first gradient
            )

        return step

    def _decay(self, group: Group) -> float:
        own = group.tuning.weight_decay
        return self.optimizer.weight_decay if own is None else own


def _cut(group: Group) -> list[list[Tensor]]:
    return [[flat[run] for run in group.runs] for flat in (group.values, group.gradients, *group.moments)]
