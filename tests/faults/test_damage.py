"""Damaged, foreign and missing files of every kind: a clear word, the rest untouched, the same model if it can be.

A root is made with a victim for each kind of file, damaged in a way that goes round; the long run has one for every
kind and every way. Each case damages a copy of it in all of these ways at once, starts a service on it, and looks at
every victim.
"""

import asyncio
import random
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tally import Case, Tally, seeds

from traind.data.errors import DatasetNotFound
from traind.service.errors import ModelNotReady, NotResumable
from traind.service.jobs.job import Job
from traind.service.service import TrainingService
from traind.trainer.contract.errors import ModelDamaged

SPEC = {"epochs": 6, "batch_size": 32, "seed": 4, "checkpoint_every": 0.0}
ROWS = [{"rooms": n % 7, "age": n % 13, "price": (n % 7) * 3.0 + n % 13} for n in range(1_000)]
OPTIONS: dict[str, Any] = {"slots": 2}


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
FINISHED: dict[str, Callable[[Path, str], Path]] = {
    "status": lambda root, job: root / f"artifacts/jobs/{job}.json",
    "model": lambda root, job: root / f"models/{job}.pt",
}
PAUSED: dict[str, Callable[[Path, str], Path]] = {
    "status": lambda root, job: root / f"artifacts/jobs/{job}.json",
    "checkpoint": lambda root, job: max(root.glob(f"artifacts/checkpoints/{job}/attempt-1/checkpoint-*.pt")),
    "manifest": lambda root, job: max(root.glob(f"artifacts/checkpoints/{job}/attempt-1/checkpoint-*.json")),
}
DATASET: dict[str, Callable[[Path, str], Path]] = {
    "record": lambda root, name: next(root.glob(f"artifacts/datasets/{name}/*/meta.json")),
    "data": lambda root, name: next(root.glob(f"artifacts/datasets/{name}/*/data.*")),
    "versions": lambda root, name: root / f"artifacts/datasets/{name}/versions.json",
    "encoding": lambda root, name: max(root.glob(f"artifacts/datasets/{name}/*/encoded/*/train_numeric.npy")),
}


KINDS = (
    [("done", kind) for kind in FINISHED]
    + [("paused", kind) for kind in PAUSED]
    + [("set", kind) for kind in DATASET]
)
EACH = [(prefix, kind, WAYS[place % len(WAYS)]) for place, (prefix, kind) in enumerate(KINDS)]
ALL = [(prefix, kind, way) for prefix, kind in KINDS for way in WAYS]
Open = Callable[..., TrainingService]


@dataclass(frozen=True)
class Whole:
    """The root as it was, what is to be damaged in it, and the digests that its jobs must have."""

    root: Path
    chosen: list[tuple[str, str, Callable[..., None]]]
    digests: dict[str, str] = field(default_factory=dict)

    def victims(self, prefix: str) -> list[tuple[str, str, Callable[..., None]]]:
        """Return name, kind of file and way of damage for each that is `done`, `paused` or a data `set`."""
        return [(f"{prefix}-{kind}-{way.__name__}", kind, way) for of, kind, way in self.chosen if of == prefix]


async def made(service: TrainingService, whole: Whole) -> Whole:
    """Make the root: finished jobs, paused ones, data sets, and undisturbed runs to compare with."""
    async with service:
        await service.put_dataset("houses", ROWS)
        for name, _, _ in whole.victims("set"):
            await service.put_dataset(name, [*ROWS, {"rooms": len(name), "age": sum(map(ord, name)), "price": 1.0}])
        wanted = {name: SPEC | {"synthetic": {"rows": 1_000, "columns": 3}} for name, _, _ in whole.victims("done")}
        wanted |= {name: SPEC | {"dataset": name} for name, _, _ in whole.victims("set")}
        wanted["whole"] = SPEC | {"dataset": "houses", "epochs": 20}
        for job_id, spec in wanted.items():
            await service.submit(spec, job_id=job_id)
        for job_id, _, _ in whole.victims("paused"):
            await paused_in_training(service, job_id)
        whole.digests.update({job_id: (await service.wait(job_id)).weights_digest or "" for job_id in wanted})
        assert all(whole.digests.values())
    return whole


async def paused_in_training(service: TrainingService, job_id: str) -> None:
    await service.submit(SPEC | {"dataset": "houses", "epochs": 20}, job_id=job_id)
    async for event in service.watch(job_id):
        if type(event).__name__ == "Checkpoint" and (event.epoch or 0) >= 2:
            break
    await service.pause(job_id)
    async for event in service.watch(job_id):
        if getattr(event, "status", None) == "PAUSED":
            return


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, open_root: Open) -> Whole:
    """A root with something of everything."""
    root = tmp_path_factory.mktemp("whole") / "root"
    return asyncio.run(made(open_root(root, **OPTIONS), Whole(root, EACH)))


@pytest.fixture(scope="module")
def whole_in_all_ways(tmp_path_factory: pytest.TempPathFactory, open_root: Open) -> Whole:
    """A root with something of everything, for each way to damage it."""
    root = tmp_path_factory.mktemp("whole") / "root"
    return asyncio.run(made(open_root(root, **OPTIONS), Whole(root, ALL)))


def damaged(root: Path, whole: Whole, case: Case) -> None:
    """Damage one file of every victim."""
    chance = random.Random(case.seed)
    for kinds, prefix in ((FINISHED, "done"), (PAUSED, "paused"), (DATASET, "set")):
        for name, kind, way in whole.victims(prefix):
            way(kinds[kind](root, name), chance)
            case.asked += 1
    with sqlite3.connect(root / "artifacts/traind.db") as database:  # rows inside whole pages
        number = "(SELECT number FROM jobs WHERE job_id = 'whole')"
        database.execute(f"UPDATE events SET body = substr(body, 1, 20) WHERE seq = 3 AND number = {number}")
        changed = "CAST(replace(record, 'COMPLETED', 'CANCELLED') AS BLOB)"
        database.execute(f"UPDATE records SET record = {changed} WHERE number = {number}")
        case.asked += 2
    database.close()


async def judged(service: TrainingService, whole: Whole) -> None:
    """Start a service on the damaged root: what is not damaged is as it was, what is has a clear word."""
    async with service:
        jobs = {job.job_id: job for job in (await service.jobs(limit=500)).jobs}
        assert set(jobs) == {*whole.digests, *(name for name, _, _ in whole.victims("paused"))}
        for job_id, digest in whole.digests.items():
            assert (jobs[job_id].status, jobs[job_id].weights_digest) == ("COMPLETED", digest)
        events = [msgspec.json.decode(event) for event in (await service.engine.events("whole")).events]
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        assert [event["seq"] for event in events if "damaged" in event.get("message", "")] == [3, len(events)]
        await finished_are_whole(service, whole)
        await paused_go_on(service, whole)
        await datasets_are_refused_or_right(service, whole)
    for name, job in jobs.items():  # a damaged status file is written anew
        kept = msgspec.json.decode((service.layout.jobs_dir / f"{name}.json").read_bytes(), type=Job)
        assert kept.weights_digest == (job.weights_digest or whole.digests["whole"])


async def finished_are_whole(service: TrainingService, whole: Whole) -> None:
    """A finished job predicts; where its model is damaged that is said, and `resume` makes it again."""
    row = {"x1": 1.0, "x2": 0.0, "x3": 0.0}
    for name, kind, _ in whole.victims("done"):
        if kind == "model":
            with pytest.raises((ModelDamaged, ModelNotReady)):
                await service.predict(name, [row])
            await service.resume(name)
            job = await service.wait(name)
            assert (job.status, job.weights_digest) == ("COMPLETED", whole.digests[name])
        assert (await service.predict(name, [row])).predictions
        with pytest.raises(NotResumable):
            await service.resume(name)


async def paused_go_on(service: TrainingService, whole: Whole) -> None:
    names = [name for name, _, _ in whole.victims("paused")]
    for name in names:
        await service.resume(name)
    for name in names:
        resumed = await service.wait(name)
        assert (resumed.status, resumed.weights_digest) == ("COMPLETED", whole.digests["whole"]), resumed.error


async def datasets_are_refused_or_right(service: TrainingService, whole: Whole) -> None:
    """A job on a damaged data set is refused, fails with a code, or makes the model that it always made."""
    for name, kind, _ in whole.victims("set"):
        try:
            await service.submit(SPEC | {"dataset": name}, job_id=f"again-{name}")
        except DatasetNotFound:
            assert kind == "record"  # the data is there, and what is known of it is not
            continue
        job = await service.wait(f"again-{name}")
        if kind == "data":
            assert (job.status, job.error and job.error.code) == ("FAILED", "data_error"), name
        else:
            assert (job.status, job.weights_digest) == ("COMPLETED", whole.digests[name]), (name, job.error)


def everything_damaged(case: Case, whole: Whole, copy: TrainingService) -> None:
    shutil.copytree(whole.root, copy.layout.root)
    damaged(copy.layout.root, whole, case)
    asyncio.run(judged(copy, whole))
    shutil.rmtree(copy.layout.root)


@pytest.mark.timeout(120)
def test_damaged_files_cost_no_others(whole: Whole, tmp_path: Path, open_root: Open, tally: Tally) -> None:
    with tally.case("damaged file", 1) as case:
        everything_damaged(case, whole, open_root(tmp_path / "copy", **OPTIONS))


@pytest.mark.faults
@pytest.mark.timeout(1_800)
def test_three_hundred_damaged_files(whole_in_all_ways: Whole, tmp_path: Path, open_root: Open, tally: Tally) -> None:
    for seed in seeds(range(2, 8)):
        with tally.case("damaged file", seed) as case:
            everything_damaged(case, whole_in_all_ways, open_root(tmp_path / str(seed), **OPTIONS))


async def judged_without_database(service: TrainingService, whole: Whole, caplog: pytest.LogCaptureFixture) -> None:
    """Start a service on the root whose database is damaged: jobs, states, digests are there, the paused go on."""
    async with service:
        if service.engine.journal.store.is_new:
            assert "no whole database" in caplog.text
        jobs = {job.job_id: job for job in (await service.jobs(limit=500)).jobs}
        assert {name: jobs[name].weights_digest for name in whole.digests} == whole.digests
        await service.resume("paused-status-flipped")
        resumed = await service.wait("paused-status-flipped")
        assert (resumed.status, resumed.weights_digest) == ("COMPLETED", whole.digests["whole"])


def database_damaged(
    case: Case, whole: Whole, copy: TrainingService, way: Callable[..., None], log: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(whole.root, copy.layout.root)
    way(copy.layout.database_path, random.Random(case.seed))
    case.asked = 1
    asyncio.run(judged_without_database(copy, whole, log))
    shutil.rmtree(copy.layout.root)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("way", [truncated, emptied, flipped, absent])
def test_a_damaged_database_costs_no_job(
    whole: Whole,
    tmp_path: Path,
    open_root: Open,
    caplog: pytest.LogCaptureFixture,
    tally: Tally,
    way: Callable[..., None],
) -> None:
    with tally.case("damaged database", 1) as case:
        database_damaged(case, whole, open_root(tmp_path / "copy", **OPTIONS), way, caplog)


@pytest.mark.faults
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("way", [truncated, flipped, foreign, oversized])
def test_forty_damaged_databases(
    whole: Whole,
    tmp_path: Path,
    open_root: Open,
    caplog: pytest.LogCaptureFixture,
    tally: Tally,
    way: Callable[..., None],
) -> None:
    for seed in seeds(range(2, 12)):
        with tally.case("damaged database", seed) as case:
            database_damaged(case, whole, open_root(tmp_path / f"{seed}", **OPTIONS), way, caplog)
