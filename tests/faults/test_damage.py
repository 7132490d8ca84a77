"""Damaged, foreign and missing files of every kind: a clear word, the rest untouched, the same model if it can be.

One root is made: a finished job, a paused one with checkpoints, a data set. Each case damages a copy of it.
"""

import asyncio
import logging
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from traind.service.errors import ModelNotReady
from traind.service.service import TrainingService
from traind.trainer.errors import ModelDamaged

SPEC = {"epochs": 6, "batch_size": 32, "seed": 4, "synthetic": {"rows": 2_000, "columns": 3}, "checkpoint_every": 0.0}
MENDED_BY_TRAINING = {"database", "newest checkpoint", "its manifest"}
OPTIONS: dict[str, Any] = {"slots": 1}


def truncated(path: Path, chance: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: chance.randrange(path.stat().st_size)])


def emptied(path: Path, chance: random.Random) -> None:
    path.write_bytes(b"")


def flipped(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(1 + len(content) // 2_000):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def foreign(path: Path, chance: random.Random) -> None:
    path.write_bytes(chance.randbytes(3_000))


def absent(path: Path, chance: random.Random) -> None:
    path.unlink()


def oversized(path: Path, chance: random.Random) -> None:
    with path.open("ab") as file:
        file.write(b"\0" * 5_000_000)


WAYS = [truncated, emptied, flipped, foreign, absent, oversized]
KINDS: dict[str, Callable[[Path], Path]] = {
    "status of the finished job": lambda root: root / "artifacts/jobs/done.json",
    "status of the paused job": lambda root: root / "artifacts/jobs/paused.json",
    "database": lambda root: root / "artifacts/traind.db",
    "newest checkpoint": lambda root: max(root.glob("artifacts/checkpoints/paused/attempt-1/checkpoint-*.pt")),
    "its manifest": lambda root: max(root.glob("artifacts/checkpoints/paused/attempt-1/checkpoint-*.json")),
    "model": lambda root: root / "models/done.pt",
    "data set's record": lambda root: next(root.glob("artifacts/datasets/houses/*/meta.json")),
}


async def made(root: Path) -> tuple[str, str]:
    """Make the root; return the digests of the finished job's weights, which the paused one's must equal."""
    async with TrainingService(root=root, **OPTIONS) as service:
        await service.put_dataset("houses", [{"rooms": n % 7, "price": n * 3.0} for n in range(200)])
        await service.submit(SPEC, job_id="done")
        done = await service.wait("done")
        await service.submit({**SPEC, "epochs": 40}, job_id="paused")
        async for event in service.watch("paused"):
            if type(event).__name__ == "Checkpoint" and event.epoch is not None and event.epoch >= 2:
                break
        await service.pause("paused")
        async for event in service.watch("paused"):
            if getattr(event, "status", None) == "PAUSED":
                break
        whole = await service.submit({**SPEC, "epochs": 40}, job_id="whole")
        whole = await service.wait("whole")
        assert done.weights_digest
        assert whole.weights_digest
        return done.weights_digest, whole.weights_digest


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A root with something of everything, and the digests that its jobs must have."""
    path = tmp_path_factory.mktemp("whole") / "root"
    done, whole = asyncio.run(made(path))
    return path, done, whole


async def judged(root: Path, kind: str, done: str, whole: str, caplog: pytest.LogCaptureFixture) -> None:
    """Start a service on the damaged root; whatever is damaged, the other things are as they were."""
    caplog.set_level(logging.WARNING)
    async with TrainingService(root=root, **OPTIONS) as service:
        job = await service.status("done")
        assert (job.status, job.weights_digest) == ("COMPLETED", done)
        assert {one.job_id for one in (await service.jobs()).jobs} == {"done", "paused", "whole"}
        if kind == "database" and service.engine.journal.store.is_new:
            assert "no whole database" in caplog.text
        if kind == "model":
            with pytest.raises((ModelDamaged, ModelNotReady)):
                await service.predict("done", [{"x1": 1.0, "x2": 0.0, "x3": 0.0}])
        elif kind in MENDED_BY_TRAINING:
            await service.resume("paused")
            resumed = await service.wait("paused")
            assert (resumed.status, resumed.weights_digest) == ("COMPLETED", whole), resumed.error


def damaged_and_judged(
    base: tuple[Path, str, str],
    copy: Path,
    kind: str,
    way: Callable[..., None],
    seed: int,
    log: pytest.LogCaptureFixture,
) -> None:
    shutil.copytree(base[0], copy)
    way(KINDS[kind](copy), random.Random(seed))
    asyncio.run(judged(copy, kind, base[1], base[2], log))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("way", [truncated, flipped, absent])
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_costs_no_other(
    root: tuple[Path, str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, way: Callable[..., None]
) -> None:
    damaged_and_judged(root, tmp_path / "copy", kind, way, 1, caplog)


@pytest.mark.faults
@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(2, 9))
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_three_hundred_damaged_files(
    root: tuple[Path, str, str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    way: Callable[..., None],
    seed: int,
) -> None:
    damaged_and_judged(root, tmp_path / "copy", kind, way, seed, caplog)
