"""Lightning and Hugging Face jobs report through a callback, and survive a kill. Where they are installed."""

import importlib.util
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from traind import Checkpoint, Client, Status

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "options"),
    [("lightning", {"epochs": 60}), ("transformers", {"epochs": 6})],
    ids=["lightning", "transformers"],
)
async def test_a_frameworks_job_survives_a_kill_and_makes_the_same_model(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, name: str, options: dict[str, Any]
) -> None:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES))
    server = serve("--slots", "1", "--trainers", f'{{"own": "{name}_job:train"}}')
    spec = {"trainer": "own", "options": options, "checkpoint_every": 0.2}
    async with Client(server.url) as client:
        undisturbed = await client.wait((await client.submit(spec)).job_id)
        assert undisturbed.status is Status.COMPLETED, undisturbed.error
        job = await client.submit(spec)
        async for event in client.watch(job.job_id):
            if isinstance(event, Checkpoint):
                break
        pid = (await client.status(job.job_id)).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        done = await client.wait(job.job_id)
    assert (done.status, done.attempt) == (Status.COMPLETED, 2), done.error
    assert done.resumed_from_step is not None
    assert done.weights_digest == undisturbed.weights_digest is not None
