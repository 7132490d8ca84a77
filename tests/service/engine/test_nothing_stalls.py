"""Whatever the engine does with the disk may fail at any call: then each job goes on, or is over with its code."""

import asyncio
import errno
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from stage import FaultyDisk, Stage, train, until

from traind.service.engine.engine import Engine
from traind.service.errors import ServiceError
from traind.service.executor.scripted import ScriptedExecutor, ScriptedWorker
from traind.service.jobs.job import Job
from traind.service.settings import Layout, Settings
from traind.trainer.contract.events import Log, Result, State, Status

ERRORS = [errno.EIO, errno.ENOSPC, errno.ENOENT, errno.EXDEV, errno.EACCES]
GOES_ON_S = 5.0
AT_ONCE = 16
JOBS = ("a", "b", "c")


async def opened(root: Path, disk: FaultyDisk) -> Stage:
    """Open an engine; where the disk does not let it, mend the disk and open it again."""
    settings = Settings.check(root=root, slots=2, shutdown_s=0.2, grace_s=1.0, keep_finished=2)
    for _ in range(2):
        executor = ScriptedExecutor(train)
        one = Stage(Engine(settings, Layout(root, disk), executor), executor)
        try:
            await one.engine.open()
        except (OSError, ServiceError):
            assert disk.has_failed
            disk.mend()
        else:
            return one
    raise AssertionError("the engine does not open on a disk without faults")


async def shown(one: Stage, disk: FaultyDisk) -> None:
    """Wait until /health shows the fault, which lasts."""
    if disk.is_lasting and disk.has_failed and not disk.is_mended:
        async with asyncio.timeout(GOES_ON_S):
            await until(one.engine.problems.all)


async def survived(root: Path, disk: FaultyDisk) -> tuple[bool, str]:
    """Run three jobs, delete one, on the disk; return whether it failed, and what was wrong then (nothing: "")."""
    one = await opened(root, disk)
    try:
        waiting = list(JOBS)
        while waiting:
            try:
                await one.submit(waiting[0])
                waiting.pop(0)
            except ServiceError:
                assert disk.has_failed
                await shown(one, disk)
                disk.mend()
        engine = one.engine
        await until(lambda: disk.has_failed or not engine.journal.live)
        await shown(one, disk)
        disk.mend()
        try:
            async with asyncio.timeout(GOES_ON_S):
                jobs = [await one.engine.wait(name) for name in JOBS]
                await until(lambda: not one.engine.problems.all() and not one.engine.attempts.running)
        except TimeoutError:
            states = {name: (await one.engine.job(name)).status for name in JOBS}
            return disk.has_failed, f"stalled: {states}, {one.engine.problems.all()}"
        return disk.has_failed, wrong(jobs, root)
    finally:
        await one.engine.close()


def wrong(jobs: list[Job], root: Path) -> str:
    for job in jobs:
        if job.status is Status.COMPLETED and (root / f"models/{job.job_id}.pt").read_bytes() == b"model":
            continue
        if job.status is Status.FAILED and job.error is not None and job.error.code == "store_failed":
            continue
        return f"{job.job_id}: {job.status} {job.error}"
    return ""


async def survive(tmp_path: Path, cases: dict[int, FaultyDisk]) -> int:
    """Put a fault at some calls, side by side; return how many fired."""
    roots = [tmp_path / str(number) for number in cases]
    for root in roots:
        root.mkdir()
    found = await asyncio.gather(*map(survived, roots, cases.values()))
    assert {number: what for number, (_, what) in zip(cases, found, strict=True) if what} == {}
    return sum(has_failed for has_failed, _ in found)


@pytest.mark.timeout(120)
async def test_a_fault_at_any_call_stalls_nothing(tmp_path: Path) -> None:
    """A sample: each error, once or lasting, at every seventh call."""
    cases = {n: FaultyDisk(ERRORS[n % 5], n, once=n % 2 == 0) for n in range(1, 7 * AT_ONCE, 7)}
    assert await survive(tmp_path, cases) > 5


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
async def test_a_fault_at_each_call_stalls_nothing(tmp_path: Path, error: int, once: bool) -> None:
    """At call 1, 2, 3 ... until none fires."""
    first = 1
    while await survive(tmp_path, {n: FaultyDisk(error, n, once=once) for n in range(first, first + AT_ONCE)}):
        first += AT_ONCE
    assert first > AT_ONCE


async def test_a_removed_folder_of_models_is_made_again(stage: Any, tmp_path: Path) -> None:
    one = await stage()
    shutil.rmtree(tmp_path / "models")
    await one.submit("a")
    assert (await one.over("a")).status is Status.COMPLETED
    assert (tmp_path / "models/a.pt").read_bytes() == b"model"


async def test_a_model_from_another_file_system_is_copied(tmp_path: Path) -> None:
    """A rename across file systems answers EXDEV, always: then it is copied beside the target, synced and renamed."""

    class TwoFileSystems(FaultyDisk):
        def reach(self, call: str, path: Path) -> None:
            if call == "rename" and path.suffix == ".pt":
                raise OSError(errno.EXDEV, "Invalid cross-device link")

    one = await opened(tmp_path, TwoFileSystems())
    await one.submit("a")
    assert (await one.over("a")).status is Status.COMPLETED
    await one.engine.close()
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["a.pt"]
    assert list((tmp_path / "artifacts/checkpoints/a/attempt-1").glob("model*")) == []


async def test_what_concerns_one_job_holds_up_no_other(stage: Any, tmp_path: Path) -> None:
    one = await stage(slots=1)
    (tmp_path / "models/a.pt").mkdir()  # no model can take its place
    await one.submit("a")
    await until(one.engine.problems.all)
    await one.submit("b")
    assert (await one.over("b")).status is Status.COMPLETED
    assert (await one.engine.job("a")).status is Status.RUNNING
    (log,) = [event async for event in watched(one, "a", Log)]
    assert "cannot be settled" in log.message
    (tmp_path / "models/a.pt").rmdir()
    assert (await one.over("a")).status is Status.COMPLETED
    assert not one.engine.problems.all()


async def test_a_job_that_waits_for_the_disk_can_be_cancelled(stage: Any, tmp_path: Path) -> None:
    one = await stage()
    (tmp_path / "models/a.pt").mkdir()
    await one.submit("a")
    await until(one.engine.problems.all)
    await one.engine.cancel("a")
    assert (await one.over("a")).status is Status.CANCELLED


async def test_a_model_that_is_gone_before_it_is_kept_fails_the_job(stage: Any) -> None:
    async def lose(worker: ScriptedWorker) -> None:
        await worker.say(State(status=Status.RUNNING))
        model = f"{worker.place.attempt_dir}/model.pt"
        await worker.say(State(status=Status.COMPLETED, result=Result(model_path=model)))

    one = await stage(lose)
    await one.submit("a")
    job = await one.over("a")
    assert (job.status, job.model) == (Status.FAILED, None)
    assert job.error is not None
    assert job.error.code == "store_failed"


async def watched(one: Stage, job_id: str, kind: type) -> AsyncIterator[Any]:
    job = await one.engine.job(job_id)
    async for event in one.engine.watch(job_id):
        if isinstance(event, kind):
            yield event
        if event.seq == job.seq:
            return
