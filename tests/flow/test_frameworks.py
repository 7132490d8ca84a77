"""Lightning and Hugging Face jobs report through a callback, and survive a kill."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from traind import Client

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.faults
@pytest.mark.parametrize(
    ("name", "options"),
    [("lightning", {"epochs": 60}), ("transformers", {"epochs": 6})],
    ids=["lightning", "transformers"],
)
async def test_a_frameworks_job_survives_a_kill_and_makes_the_same_model(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, twice: Any, name: str, options: dict[str, Any]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES))
    server = serve("--slots", "1", "--trainers", f'{{"own": "{name}_job:train"}}')
    spec = {"trainer": "own", "options": options, "checkpoint_every": 0.2}
    async with Client(server.url) as client:
        _, done = await twice(client, spec)
    assert done.resumed_from_step is not None
