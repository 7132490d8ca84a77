"""A database made anew beside a lost one: what is taken from where, and what changes meanwhile."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from stores import opened

from traind.service.errors import StoreFailed
from traind.service.jobs.job import Job
from traind.service.record.feed import Feed
from traind.service.record.journal import Journal
from traind.service.record.status_files import StatusFiles
from traind.service.recovery.rebuild import rebuild
from traind.trainer.contract.events import Log, State, Status, decode_event
from traind.trainer.contract.spec import TrainSpec

Until = Callable[[Callable[[], object]], Awaitable[None]]


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    store, status_files = await opened(tmp_path / "traind.db"), StatusFiles(tmp_path / "jobs")
    yield Journal(store, Feed(), status_files)
    await status_files.close()
    await store.close()


async def written(journal: Journal, job_id: str, *states: Status) -> Job:
    """Record a new job with these states; return it once its status file stands."""
    job = Job(job_id=job_id, created_at=journal.clock.now(), spec=TrainSpec())
    job = await journal.record(job, *(State(status=status) for status in (Status.QUEUED, *states)))
    await journal.status_files.settled()
    return job


async def shown(journal: Journal) -> dict[str, Status]:
    jobs, _ = await journal.store.page([], 100, None)
    return {job.job_id: job.status for job in reversed(jobs)}


async def seen(journal: Journal, job_id: str) -> list[str]:
    """Return what the events of a job say, whose numbers are without a gap up to its newest."""
    rows = await journal.store.events(job_id, 0, 100)
    job = await journal.job(job_id)
    assert [seq for seq, _ in rows] == list(range(job.seq - len(rows) + 1, job.seq + 1))
    return [getattr(decode_event(body), "message", "") for _, body in rows]


async def test_each_job_is_as_its_file_or_its_record_knows_it_whichever_is_later(
    journal: Journal, tmp_path: Path
) -> None:
    names = ["both", "old-file", "no-file", "bad-file", "other-file", "bad-record", "lost"]
    for name in names:
        await written(journal, name, Status.COMPLETED)
    path = {name: tmp_path / f"jobs/{name}.json" for name in names}
    whole = {name: path[name].read_bytes() for name in names}
    old = msgspec.json.decode(whole["old-file"], type=Job)
    path["old-file"].write_bytes(msgspec.json.encode(msgspec.structs.replace(old, status=Status.QUEUED, seq=1)))
    path["no-file"].unlink()
    path["bad-file"].write_bytes(whole["bad-file"][:-9])
    path["other-file"].write_bytes(whole["both"])
    path["lost"].unlink()
    with contextlib.closing(sqlite3.connect(tmp_path / "traind.db")) as database, database:
        bad = "(SELECT number FROM jobs WHERE job_id IN ('bad-record', 'lost'))"
        database.execute(f"UPDATE records SET record = x'7b' WHERE number IN {bad}")
    assert await rebuild(journal, "as if") == []
    assert list((await shown(journal)).items()) == [(name, Status.COMPLETED) for name in names if name != "lost"]
    with contextlib.closing(sqlite3.connect(tmp_path / "traind.db")) as database:
        records = dict(database.execute("SELECT job_id, record FROM jobs JOIN records USING (number)"))
    assert records == {name: whole[name] for name in names if name != "lost"}
    assert "was lost" in (await seen(journal, "both"))[0]
    assert {found.name for found in (tmp_path / "jobs").glob("*.damaged")} == {
        *("bad-file.damaged", "other-file.damaged"),
    }


async def test_what_changes_while_a_database_is_filled_is_as_it_was_changed(journal: Journal, until: Until) -> None:
    for name, ended in (("runs", ()), ("ends", ()), ("again", (Status.FAILED,)), ("goes", (Status.COMPLETED,))):
        await written(journal, name, *ended)
    async with journal.turn:
        rebuilding = asyncio.create_task(rebuild(journal, "as if"))
        await until(lambda: getattr(journal.turn, "_waiters", None))  # all is filled
        await journal.record(journal.live["runs"], State(status=Status.STARTING, attempt=1))
        await journal.record(journal.live["ends"], State(status=Status.CANCELLED))
        await journal.record(await journal.job("again"), State(status=Status.QUEUED))
        await journal.forget("goes")
        await written(journal, "comes")
        await written(journal, "comes-and-ends", Status.FAILED)
    assert await rebuilding == []
    assert list((await shown(journal)).items()) == [
        ("runs", Status.STARTING),
        ("ends", Status.CANCELLED),
        ("again", Status.QUEUED),
        ("comes", Status.QUEUED),
        ("comes-and-ends", Status.FAILED),
    ]
    for name in await shown(journal):
        assert ["was lost" in message for message in await seen(journal, name)] == [True], name
    await journal.record(journal.live["runs"], Log(message="on"))
    assert (await seen(journal, "runs"))[1:] == ["on"]


async def test_a_filling_that_is_given_up_leaves_no_trace(journal: Journal, tmp_path: Path) -> None:
    for number in range(120):
        await written(journal, f"job-{number}", Status.CANCELLED)
    rebuilding = asyncio.create_task(rebuild(journal, "as if"))
    while not (tmp_path / "traind.db.new").exists():  # noqa: ASYNC110
        await asyncio.sleep(0)  # and no longer: it is soon full
    rebuilding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rebuilding
    assert [path.name for path in tmp_path.glob("traind.db.*")] == []
    await written(journal, "next")
    assert len(await seen(journal, "job-0")) == 2
    assert len(await shown(journal)) == 100


async def test_the_status_file_of_a_job_goes_before_its_record(journal: Journal, tmp_path: Path) -> None:
    await written(journal, "goes", Status.COMPLETED)
    files: list[bool] = []

    def look(statement: str) -> None:
        if statement.startswith("DELETE FROM jobs"):
            files.append((tmp_path / "jobs/goes.json").exists())

    await journal.store._run(lambda: journal.store._database._db.set_trace_callback(look))
    await journal.forget("goes")
    assert files
    assert not any(files)
    assert await shown(journal) == {}


async def test_a_job_that_cannot_be_deleted_keeps_its_status_file(journal: Journal, tmp_path: Path) -> None:
    await written(journal, "stays", Status.COMPLETED)
    content = (tmp_path / "jobs/stays.json").read_bytes()
    with contextlib.closing(sqlite3.connect(tmp_path / "traind.db")) as database, database:
        database.execute("CREATE TRIGGER no BEFORE DELETE ON jobs BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(StoreFailed):
        await journal.forget("stays")
    await journal.status_files.settled()
    assert (tmp_path / "jobs/stays.json").read_bytes() == content
    assert await shown(journal) == {"stays": Status.COMPLETED}
