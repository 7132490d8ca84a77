"""What the check of GPUs finds, part by part."""

from dataclasses import dataclass, field
from typing import Any

import torch
from bench.records import say


@dataclass
class Report:
    """What is found: figures by part, what was skipped and why, what is wrong."""

    device: torch.device
    parts: dict[str, Any] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def is_cuda(self) -> bool:
        """Whether there is a card."""
        return self.device.type == "cuda"

    def skip(self, what: str, why: str) -> None:
        """Say aloud what is not looked at."""
        self.skipped.append(f"{what}: {why}")
        say(f"SKIPPED {what}: {why}")

    def check(self, what: str, *, is_right: bool) -> str:
        """Note what is wrong; return the word for the table."""
        if not is_right:
            self.wrong.append(what)
        return "equal" if is_right else "DIFFERS"


def card(device: torch.device) -> str:
    """Return the name of what is measured."""
    if device.type == "cpu":
        return "the CPU"
    return f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}"
