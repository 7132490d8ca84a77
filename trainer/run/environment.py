"""What decides the exact bits of a result beside the spec: data, library versions, processor, device, threads."""

import platform
from functools import cache
from importlib.metadata import version
from typing import Any

import msgspec
import numpy as np
import torch

from traind.trainer.contract.spec import Place, TrainSpec


def environment(spec: TrainSpec, place: Place) -> dict[str, Any]:
    """Return the facts that must not change for a job to go on bit for bit."""
    found = {**versions(), "device": place.device_name or device_of(spec, place), "threads": spec.threads}
    return found if spec.workers == 1 else {**found, "workers": spec.workers}


@cache
def versions() -> dict[str, str]:
    """Return the versions that results depend on, and the instruction set that torch's kernels use."""
    return {
        "traind": version("traind"),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }


def device_of(spec: TrainSpec, place: Place) -> str:
    """Return the device to train on: the assigned or requested one, or with `auto` a GPU if there is one."""
    if place.device is not None:
        return place.device
    if spec.device != "auto":
        return spec.device
    return "cuda" if torch.cuda.is_available() else "cpu"


def differences(checkpoint: dict[str, Any], spec: TrainSpec, place: Place, code: str) -> list[str]:
    """Return, in words, why training would not go on from a checkpoint bit for bit."""
    then, now = checkpoint["environment"], environment(spec, place)
    found = [
        f"{name} was {then.get(name, 1)}, is {now.get(name, 1)}"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]
    if checkpoint.get("code", code) != code:
        found.append("the trainer's code was changed")
    return found


def data_digest(spec: TrainSpec, place: Place) -> str:
    """Return the identity of the training data: the file's sha256, or the synthetic data's spec and seed."""
    if place.dataset is not None:
        return place.dataset.digest
    return f"synthetic:{msgspec.json.encode(spec.synthetic).decode()}:{spec.seed}"
