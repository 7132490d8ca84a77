"""A root that is a copy of a living one opens, goes on with its jobs, and touches nobody's processes."""

import asyncio
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from traind import Progress, Status, TrainingService
from traind.service.processes.identity import identify
from traind.service.recovery.root_identity import Root

LONG = {"epochs": 100_000, "checkpoint_every": 0.2, "job_id": "long"}


async def test_a_copy_of_a_running_root_leaves_its_workers_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, open_root: Callable[..., TrainingService]
) -> None:
    """F24: three times, since a job that had three workers killed would be given up."""
    async with open_root(root=tmp_path / "live", slots=1) as live:
        await live.submit(**LONG)
        async for event in live.watch("long"):
            if isinstance(event, Progress):
                break
        pid = (await live.status("long")).pid
        assert pid is not None
        worker = identify(pid)
        for number in range(3):
            copy = tmp_path / f"copy-{number}"
            await asyncio.to_thread(copy_what_is_there, tmp_path / "live", copy)
            with caplog.at_level(logging.WARNING):
                async with open_root(root=copy, slots=1) as copied:
                    assert f"a copy of {tmp_path / 'live'}" in caplog.text
                    await copied.stop("long")
                    assert (await copied.wait("long")).status in {Status.STOPPED, Status.CANCELLED}
            assert identify(pid) == worker
        job = await live.status("long")
        assert (job.status, job.attempt, job.crashes) == (Status.RUNNING, 1, 0)
        await live.cancel("long")
    assert "outlived" not in caplog.text


def copy_what_is_there(root: Path, copy: Path) -> None:
    """Copy a running root as `cp -r` does: what is gone before it is read is left out."""
    try:
        shutil.copytree(root, copy, ignore_dangling_symlinks=True)
    except shutil.Error as error:
        if not all("No such file" in why for _, _, why in error.args[0]):
            raise


def test_a_root_keeps_its_identity_where_it_is_moved_and_a_copy_gets_another(tmp_path: Path) -> None:
    def opened(name: str) -> Root:
        root = Root(tmp_path / name, tmp_path / name / "root.json")
        root.note()
        return root

    (tmp_path / "a").mkdir()
    first = opened("a")
    assert (first.story(), opened("a").identity.id) == (None, first.identity.id)
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    (tmp_path / "a").rename(tmp_path / "moved")
    moved, copy = (Root(tmp_path / name, tmp_path / name / "root.json") for name in ("moved", "copy"))
    assert (moved.is_own, moved.identity.id) == (True, first.identity.id)
    assert "was moved" in str(moved.story())
    assert (copy.is_own, "is a copy of" in str(copy.story())) == (False, True)
    assert copy.identity.id != first.identity.id
    copy.note()
    assert opened("copy").identity.id == copy.identity.id
