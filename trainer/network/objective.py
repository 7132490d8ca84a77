"""Loss, target transform and predictions of a task.

The loss is a function of `(output, target)` without state, a mean over rows, so that it can be captured with the
network. Targets are transformed once, before training; predictions are transformed back to the user's unit.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from traind.trainer.network.recipe import Recipe, TargetScale, transformed

Loss = Callable[[Tensor, Tensor], Tensor]
SMALLEST = 1e-15  # probability; smaller ones count as this before a logarithm


def training_target(recipe: Recipe, target: NDArray[Any]) -> Tensor:
    """Return the loss's target, (rows,): scaled float32 values, 0.0 and 1.0 for two classes, or int64 classes."""
    if recipe.task == "multiclass":
        return torch.from_numpy(np.array(target, dtype=np.int64))
    if recipe.task == "binary":
        return torch.from_numpy(np.array(target, dtype=np.float32))
    scale = recipe.target_scale
    seen = transformed(scale, np.asarray(target, dtype=np.float64))
    return torch.from_numpy(((seen - scale.centre) / scale.scale).astype(np.float32))


def weighted_target(recipe: Recipe, target: NDArray[Any], weight: NDArray[np.float32] | None) -> Tensor:
    """Return the target for `loss_function`: a `training_target`, or (rows, 2) float32 of that and the weights."""
    found = training_target(recipe, target)
    return found if weight is None else torch.stack((found.float(), torch.from_numpy(np.array(weight))), dim=1)


def loss_function(recipe: Recipe, *, is_weighted: bool = False) -> Loss:
    """Return the mean over rows (and heads) of the task's loss, for raw outputs and a `weighted_target`."""
    smoothing = recipe.label_smoothing
    if is_weighted:
        return lambda output, target: _weighted(recipe.task, output, target, smoothing)
    if recipe.task == "regression":
        return _squared_error
    if recipe.task == "binary":
        return lambda output, target: _binary_cross_entropy(output, target, smoothing)
    return lambda output, target: _cross_entropy(output, target, smoothing)


def predictions(recipe: Recipe, output: Tensor) -> Tensor:
    """Return (rows,) float64 values in the target's own unit, or (rows, classes) float32 probabilities.

    Heads and members are averaged: transformed values, or probabilities, to which the temperature is then applied.
    """
    heads = output.unsqueeze(1) if output.ndim == 2 else output
    if recipe.task == "regression":
        return _unscaled(recipe.target_scale, _averaged(recipe, heads.squeeze(2)))
    if recipe.task == "multiclass":
        return _tempered(recipe, _averaged(recipe, heads.softmax(dim=2)))
    positive = _averaged(recipe, heads.squeeze(2).sigmoid())
    return _tempered(recipe, torch.stack((1.0 - positive, positive), dim=1))


def _tempered(recipe: Recipe, probabilities: Tensor) -> Tensor:
    if recipe.temperature == 1.0:
        return probabilities
    return (probabilities.clamp(min=SMALLEST).log() / recipe.temperature).softmax(dim=1)


def _averaged(recipe: Recipe, heads: Tensor) -> Tensor:
    """Return the mean over (rows, heads, ...); in a blend the last `tree_members` heads are trees."""
    share, trees = recipe.networks_share, recipe.tree_members or recipe.members
    if share is None or heads.shape[1] <= trees:
        return heads.mean(dim=1)
    return heads[:, :-trees].mean(dim=1) * share + heads[:, -trees:].mean(dim=1) * (1.0 - share)


def _unscaled(scale: TargetScale, value: Tensor) -> Tensor:
    # As a tensor: the exporter to ONNX takes two numbers beyond the range of float32 for the same.
    centre = torch.tensor(scale.centre, dtype=torch.float64, device=value.device)
    seen = value.double() * scale.scale + centre
    if scale.log:
        seen = seen.exp() * scale.factor
    elif scale.root:
        seen = seen.clamp(min=0.0).square() * scale.factor
    return seen.clamp(scale.low, scale.high)


def _weighted(task: str, output: Tensor, target: Tensor, smoothing: float) -> Tensor:
    """Return the weighted mean loss; `target` is (rows, 2), target and weight."""
    known, weight = target[:, 0], target[:, 1]
    if task == "multiclass":
        heads = output.unsqueeze(1) if output.ndim == 2 else output
        classes = known.long().unsqueeze(1).expand(-1, heads.shape[1]).flatten()
        losses = functional.cross_entropy(heads.flatten(0, 1), classes, label_smoothing=smoothing, reduction="none")
        return (losses.view(heads.shape[0], -1).mean(dim=1) * weight).mean()
    heads = output.squeeze(-1)
    heads = heads.unsqueeze(1) if heads.ndim == 1 else heads
    if task == "binary":
        known = known * (1.0 - smoothing) + smoothing / 2
        losses = functional.binary_cross_entropy_with_logits(heads, _per_head(heads, known), reduction="none")
    else:
        losses = (heads - _per_head(heads, known)) ** 2
    return (losses.mean(dim=1) * weight).mean()


def _squared_error(output: Tensor, target: Tensor) -> Tensor:
    output = output.squeeze(-1)
    return functional.mse_loss(output, _per_head(output, target))


def _binary_cross_entropy(output: Tensor, target: Tensor, smoothing: float) -> Tensor:
    output = output.squeeze(-1)
    if smoothing > 0.0:
        target = target * (1.0 - smoothing) + smoothing / 2
    return functional.binary_cross_entropy_with_logits(output, _per_head(output, target))


def _cross_entropy(output: Tensor, target: Tensor, smoothing: float) -> Tensor:
    if output.ndim == 3:
        target = target.unsqueeze(1).expand(-1, output.shape[1]).flatten()
        output = output.flatten(0, 1)
    return functional.cross_entropy(output, target, label_smoothing=smoothing)


def _per_head(output: Tensor, target: Tensor) -> Tensor:
    return target if output.ndim == 1 else target.unsqueeze(1).expand_as(output)
