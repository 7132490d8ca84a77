"""A root that 0.1.0 wrote opens: its jobs are there, what was paused goes on bit for bit, and its models predict.

`old_root/root.tar.gz` was written by `old_root/make_root.py`, run on that version; `expected.json` is what it said.
"""

import json
import tarfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from traind import TrainingService
from traind.trainer.contract.events import State, Status

FOLDER = Path(__file__).parent / "old_root"


@pytest.fixture
def said() -> dict[str, Any]:
    """What the version that wrote the root said of it."""
    found: dict[str, Any] = json.loads((FOLDER / "expected.json").read_text())
    return found


@pytest.fixture
async def service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_root: Callable[..., TrainingService]
) -> AsyncIterator[TrainingService]:
    monkeypatch.syspath_prepend(str(FOLDER))
    with tarfile.open(FOLDER / "root.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    trainers = {"line": "line_trainer:train"}
    async with open_root(root=tmp_path / "root", slots=1, trainers=trainers) as opened:
        yield opened


@pytest.mark.timeout(300)
async def test_a_root_of_the_first_version_opens_resumes_and_predicts(
    service: TrainingService, said: dict[str, Any]
) -> None:
    completed, paused, own = [await service.status(name) for name in ("completed", "paused", "own")]
    assert (completed.status, completed.weights_digest) == (Status.COMPLETED, said["completed"])
    assert (paused.status, paused.step, own.status) == (Status.PAUSED, said["paused_step"], Status.COMPLETED)
    assert [(await service.predict("completed", said["rows"])).predictions] == [pytest.approx(said["predictions"])]
    assert (await service.predict("own", [{"x": 2.0}])).predictions == pytest.approx(said["own"])
    events = [event async for event in service.watch("completed")]
    assert [event.seq for event in events] == list(range(1, completed.seq + 1))
    assert isinstance(events[-1], State)

    await service.resume("paused")
    resumed = await service.wait("paused")
    assert (resumed.status, resumed.resumed_from_step) == (Status.COMPLETED, said["paused_step"])
    if resumed.bit_exact is not False:  # the machine and the libraries are those it began on
        assert resumed.weights_digest == said["reference"]

    await service.resume("completed", epochs=5)
    assert (await service.wait("completed")).epoch == 5
