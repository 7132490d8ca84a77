"""A large database is looked at while the server answers: found damaged it is rebuilt, and what runs goes on."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from stores import break_events, grow
from tally import Tally

from traind.service.recovery.rebuild import rebuild
from traind.service.service import TrainingService
from traind.trainer.contract.events import decode_event

SPEC: dict[str, Any] = {"epochs": 3, "batch_size": 32, "seed": 4, "synthetic": {"rows": 1_000, "columns": 3}}
LONG = SPEC | {"epochs": 400}


@dataclass(frozen=True)
class Made:
    """A root with two finished jobs, of which an alias means one, and a paused one that will come to `digest`."""

    root: Path
    digest: str | None


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, open_root: Callable[..., TrainingService]) -> Made:
    """The root that each test gets a copy of."""
    return asyncio.run(made(open_root(tmp_path_factory.mktemp("made") / "root", slots=1)))


@pytest.fixture
def copy(original: Made, tmp_path: Path) -> Made:
    """The root that a test may damage."""
    return Made(shutil.copytree(original.root, tmp_path / "root"), original.digest)


async def made(service: TrainingService) -> Made:
    async with service:
        for job_id, spec in (("done", SPEC), ("whole", LONG), ("paused", LONG)):
            await service.submit(spec, job_id=job_id)
        await service.wait("done")
        await service.set_alias("best", "done")
        digest = (await service.wait("whole")).weights_digest
        await trained_to(service, "paused", 2)
        await service.pause("paused")
        async for event in service.watch("paused"):
            if getattr(event, "status", None) == "PAUSED":
                break
    return Made(service.layout.root, digest)


async def trained_to(service: TrainingService, job_id: str, epoch: int) -> int:
    """Wait until a job has ended that epoch; return the event that said so."""
    async for event in service.watch(job_id):
        if getattr(event, "epoch", 0) >= epoch:
            return event.seq
    raise AssertionError("the job is over")


@pytest.mark.timeout(120)
async def test_damage_in_a_large_database_costs_no_job(
    copy: Made, caplog: pytest.LogCaptureFixture, tally: Tally, open_root: Callable[..., TrainingService]
) -> None:
    grow(copy.root / "artifacts/traind.db", "done")
    break_events(copy.root / "artifacts/traind.db", at_root=True)
    jobs_dir = copy.root / "artifacts/jobs"
    (jobs_dir / "done.json").unlink()
    stale = msgspec.json.decode((jobs_dir / "whole.json").read_bytes()) | {"seq": 9, "status": "RUNNING"}
    (jobs_dir / "whole.json").write_bytes(msgspec.json.encode(stale))  # as if killed before it was written
    with tally.case("damaged database", 1) as case:
        case.asked = 1
        async with open_root(root=copy.root, slots=1) as service:
            assert not service.engine.journal.store.is_checked
            while not service.engine.journal.store.is_new:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
            assert {job.job_id: job.status for job in (await service.jobs()).jobs} == {
                "done": "COMPLETED",
                "whole": "COMPLETED",
                "paused": "PAUSED",
            }
            assert "it is set aside" in caplog.text
            assert (await service.aliases())["best"]["job_id"] == "done"
            assert (await service.status("whole")).attempt == 1
            await service.resume("paused")
            assert (await service.wait("paused")).weights_digest == copy.digest
    assert list((copy.root / "artifacts").glob("traind.db.damaged-*"))


@pytest.mark.timeout(120)
async def test_a_job_goes_on_while_the_database_is_rebuilt(
    copy: Made, tally: Tally, open_root: Callable[..., TrainingService]
) -> None:
    with tally.case("damaged database", 2) as case:
        case.asked = 1
        async with open_root(root=copy.root, slots=1) as service:
            await service.resume("paused")
            seq = await trained_to(service, "paused", 5)
            assert await rebuild(service.engine.journal, "as if it were damaged") == []
            seen = [event async for event in service.watch("paused", seq + 1)]
            assert [event.seq for event in seen] == list(range(seen[0].seq, seen[-1].seq + 1))
            job = await service.status("paused")
            assert (job.status, job.weights_digest, job.seq) == ("COMPLETED", copy.digest, seen[-1].seq)
            kept = [decode_event(body) for body in (await service.events("paused")).events]
            assert "was lost" in getattr(kept[0], "message", "")
            assert [event.seq for event in kept] == list(range(kept[0].seq, job.seq + 1))


@pytest.mark.timeout(120)
async def test_who_comes_while_the_database_is_rebuilt_is_told_the_rest(
    copy: Made, open_root: Callable[..., TrainingService]
) -> None:
    async with open_root(root=copy.root, slots=1) as service:
        await service.resume("paused")
        await trained_to(service, "paused", 5)
        rebuilding = asyncio.create_task(rebuild(service.engine.journal, "as if it were damaged"))
        watchers = []
        while not rebuilding.done():
            watchers += [asyncio.create_task(told(service, job_id)) for job_id in ("done", "paused")]
            await asyncio.sleep(0.001)
        await rebuilding
        ends = await asyncio.gather(*watchers)
        for job_id, ended in zip(("done", "paused") * len(ends), ends, strict=False):
            assert ended[-1] >= (await service.status(job_id)).seq - (job_id == "done")
            assert ended == sorted(set(ended))


async def told(service: TrainingService, job_id: str) -> list[int]:
    return [event.seq async for event in service.watch(job_id)]


@pytest.mark.timeout(120)
async def test_a_job_that_is_lost_keeps_no_other_from_being_mended(
    copy: Made, open_root: Callable[..., TrainingService]
) -> None:
    for job_id in ("done", "whole"):
        (copy.root / f"artifacts/jobs/{job_id}.json").write_bytes(b"{")
    database = sqlite3.connect(copy.root / "artifacts/traind.db")
    with database:
        database.execute(
            "UPDATE records SET record = x'7b' WHERE number = (SELECT number FROM jobs WHERE job_id = 'whole')"
        )
    database.close()
    async with open_root(root=copy.root, slots=1):
        while not mended(copy.root / "artifacts/jobs/done.json"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def mended(path: Path) -> bool:
    """Tell whether a status file is whole again; in between there is none."""
    try:
        return path.read_bytes().endswith(b"}")
    except FileNotFoundError:
        return False
