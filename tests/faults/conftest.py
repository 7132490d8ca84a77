"""What the fault tests share: the digests of runs in which nothing happens, each made once."""

import json
from collections.abc import Callable

import pytest
from fault_harness import Workload, undisturbed


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Workload], list[str]]:
    """What the weights of a workload's jobs must be."""
    made: dict[str, list[str]] = {}

    def digests(work: Workload) -> list[str]:
        key = json.dumps(work.specs)
        if key not in made:
            made[key] = undisturbed(work, tmp_path_factory.mktemp("calm") / "root")
        return made[key]

    return digests
