"""Builds the module of a model file: networks, trees, or a blend of both; and finds its monitor."""

from collections.abc import Mapping
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from traind.trainer.network.network import rebuild
from traind.trainer.network.objective import predictions
from traind.trainer.network.recipe import Recipe, TargetScale
from traind.trainer.step.lockstep import PREFIX
from traind.trainer.trees.tensors import Trees

Architecture = dict[str, Any]
Weights = Mapping[str, Tensor]
SMALLEST = 1e-12  # smaller probabilities count as this before a logarithm
ONE_MEMBER = {"members": 1, "tree_members": None}  # in the recipe of a monitor alone
PARTS = ("networks", "trees")  # of a blend, in the order of their outputs


class Forest(nn.Module):
    """Separately grown trees; their outputs are (rows, members, outputs)."""

    def __init__(self, members: list[Trees]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Return the raw outputs of all members."""
        return torch.stack([member(numeric, categorical) for member in self.members], dim=1)


class Blend(nn.Module):
    """Networks and trees; their outputs are (rows, heads of the networks and then trees, outputs)."""

    def __init__(self, networks: nn.Module, trees: nn.Module) -> None:
        super().__init__()
        self.networks = networks
        self.trees = trees

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Return the raw outputs of both."""
        outputs = self.networks(numeric, categorical)
        heads = outputs.unsqueeze(1) if outputs.ndim == 2 else outputs
        return torch.cat((heads, self.trees(numeric, categorical)), dim=1)


class Mean(nn.Module):
    """An ensemble of finished models: the weighted mean of their predictions, as equivalent raw outputs.

    Args of forward as of each model. Returns (rows, outputs) for a recipe whose target is of `scale`.
    """

    def __init__(
        self, members: list[nn.Module], recipes: list[Recipe], shares: list[float], scale: TargetScale
    ) -> None:
        super().__init__()
        self.scale = scale
        self.members = nn.ModuleList(members)
        self.recipes = recipes
        self.shares = shares

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Return values or the second of two classes' logit, (rows, 1), or log probabilities (rows, classes)."""
        parts = zip(self.members, self.recipes, self.shares, strict=True)
        found = [predictions(recipe, member(numeric, categorical)) * share for member, recipe, share in parts]
        mean = torch.stack(found).sum(dim=0)
        if mean.ndim == 1:
            return self._scaled(mean).unsqueeze(1)
        mean = mean.clamp(min=SMALLEST)
        if self.recipes[0].task == "multiclass":
            return mean.log()
        return (mean[:, 1:] / mean[:, :1]).log()

    def _scaled(self, values: Tensor) -> Tensor:
        """Return target values (rows,) after the target transform."""
        if self.scale.log:
            values = values.clamp(min=SMALLEST).log()
        elif self.scale.root:
            values = values.clamp(min=0.0).sqrt()
        return (values - self.scale.centre) / self.scale.scale


def assemble(architecture: Architecture, weights: Weights) -> nn.Module:
    """Return the module that `architecture` describes with its weights. Raises `RuntimeError`, `KeyError`."""
    if architecture["kind"] == "blend":
        return Blend(*(assemble(architecture[part], below(weights, part)) for part in PARTS))
    if architecture["kind"] == "ensemble":
        members = architecture["members"]
        networks = [
            assemble(member["architecture"], below(weights, str(number))) for number, member in enumerate(members)
        ]
        recipes = [msgspec.convert(member["recipe"], Recipe) for member in members]
        scale = msgspec.convert(architecture["scale"], TargetScale)
        return Mean(networks, recipes, [member["share"] for member in members], scale)
    if architecture["kind"] == "trees":
        numbers = range(architecture["members"])
        return Forest([Trees(below(weights, f"{PREFIX}.{number}")) for number in numbers])
    network = rebuild(architecture)
    network.load_state_dict(weights)
    return network


def below(weights: Weights, name: str) -> dict[str, Tensor]:
    """Return the weights whose names begin with `name.`, without that prefix."""
    prefix = f"{name}."
    return {key.removeprefix(prefix): tensor for key, tensor in weights.items() if key.startswith(prefix)}


def members_of(architecture: Architecture) -> int:
    """Return how many networks, or trees, whichever are more, were trained separately; 1 of an ensemble."""
    if architecture["kind"] == "blend":
        return max(members_of(architecture[part]) for part in PARTS)
    count = architecture.get("members", 1)
    return count if isinstance(count, int) else 1


def without_dropped(architecture: Architecture, weights: Weights) -> tuple[Architecture, Weights]:
    """Return networks or trees with their members numbered anew, if training left some of them out."""
    count = architecture.get("members", 1)
    there = sorted({int(name.split(".")[1]) for name in weights}) if count > 1 else []
    if len(there) in (0, count):
        return architecture, weights
    shape = {**architecture, "members": len(there)}
    if len(there) == 1 and architecture["kind"] != "trees":
        return shape, below(weights, f"{PREFIX}.{there[0]}")
    members = [below(weights, f"{PREFIX}.{number}") for number in there]
    return shape, {
        f"{PREFIX}.{number}.{name}": tensor for number, own in enumerate(members) for name, tensor in own.items()
    }


def with_trees(content: dict[str, Any], weights: Weights | None) -> tuple[dict[str, Any], Weights | None]:
    """Return a model's content and weights joined with those of its trees' phase: a blend, or one of them alone."""
    before = content["before"]
    rest = {name: value for name, value in content.items() if name != "before"}
    if not before["weights"]:  # the trees diverged
        return rest, weights
    if not weights:
        return {**rest, "architecture": before["architecture"]}, dict(before["weights"])
    parts = {"networks": weights, "trees": before["weights"]}
    blend = {"kind": "blend", "networks": content["architecture"], "trees": before["architecture"]}
    named = {f"{part}.{name}": tensor for part, own in parts.items() for name, tensor in own.items()}
    return {**rest, "architecture": blend}, named


def monitor_part(architecture: Architecture, weights: Weights) -> tuple[Architecture, dict[str, Tensor]]:
    """Return the part of a model that was not trained on validation rows: the first member of each part."""
    if architecture["kind"] == "blend":
        parts = {part: monitor_part(architecture[part], below(weights, part)) for part in PARTS}
        named = {f"{part}.{name}": tensor for part, (_, own) in parts.items() for name, tensor in own.items()}
        return {"kind": "blend", **{part: own for part, (own, _) in parts.items()}}, named
    if architecture["kind"] == "ensemble":
        return _monitors(architecture, weights)
    if architecture.get("members", 1) == 1:
        return architecture, dict(weights)
    first = below(weights, f"{PREFIX}.0")
    if architecture["kind"] == "trees":
        first = {f"{PREFIX}.0.{name}": tensor for name, tensor in first.items()}
    return {**architecture, "members": 1}, first


def _monitors(architecture: Architecture, weights: Weights) -> tuple[Architecture, dict[str, Tensor]]:
    """Return an ensemble of the monitors of its members."""
    members, named = [], {}
    for number, member in enumerate(architecture["members"]):
        part, own = monitor_part(member["architecture"], below(weights, str(number)))
        members.append({**member, "architecture": part, "recipe": {**member["recipe"], **ONE_MEMBER}})
        named.update({f"{number}.{name}": tensor for name, tensor in own.items()})
    return {**architecture, "members": members}, named
