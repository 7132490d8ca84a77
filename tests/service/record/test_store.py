"""The database: pages, order, damage, formats."""

import contextlib
import random
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from stores import filled, opened

from traind.service.errors import RootTooNew, StoreFailed
from traind.service.jobs.job import Job
from traind.service.record.database import is_damage
from traind.service.record.store import Change, Store
from traind.service.record.tables import FORMAT
from traind.service.webhooks.outbox import Entry
from traind.trainer.contract.events import Log, Status, decode_event
from traind.trainer.contract.spec import TrainSpec


def job(job_id: str, status: Status = Status.QUEUED, **fields: object) -> Job:
    return Job(job_id=job_id, created_at=1.0, status=status, spec=TrainSpec(), **fields)  # type: ignore[arg-type]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await opened(tmp_path / "artifacts" / "traind.db")
    yield store
    await store.close()


async def test_a_job_and_its_events_come_back_as_they_were(store: Store) -> None:
    first = job("a", seq=2)
    await store.commit([Change(first, [(1, b"{1}"), (2, b"{2}")])], is_synced=True)
    await store.commit([Change(job("a", Status.RUNNING, seq=3), [(3, b"{3}")])], is_synced=False)
    found = await store.job("a")
    assert found is not None
    assert (found.status, found.seq) == (Status.RUNNING, 3)
    assert await store.events("a", 1, 10) == [(2, b"{2}"), (3, b"{3}")]
    assert await store.events("a", 0, 1) == [(1, b"{1}")]
    assert await store.job("b") is None


async def test_a_transaction_is_written_whole_or_not_at_all(store: Store) -> None:
    await store.commit([Change(job("a", seq=1), [(1, b"{}")])], is_synced=True)
    with pytest.raises(StoreFailed):
        await store.commit(
            [Change(job("b"), [(1, b"{}")]), Change(job("a", Status.FAILED), [(1, b"again")])], is_synced=True
        )
    assert await store.job("b") is None
    assert (await store.job("a")) == job("a", seq=1)


async def test_pages_go_from_the_newest_to_the_oldest_and_filter_by_state(store: Store) -> None:
    for number in range(7):
        status = Status.COMPLETED if number % 2 else Status.QUEUED
        await store.commit([Change(job(f"j{number}", status), [])], is_synced=False)
    page, cursor = await store.page([], 3, None)
    assert [one.job_id for one in page] == ["j6", "j5", "j4"]
    page, cursor = await store.page([], 3, cursor)
    assert [one.job_id for one in page] == ["j3", "j2", "j1"]
    page, cursor = await store.page([], 3, cursor)
    assert ([one.job_id for one in page], cursor) == (["j0"], None)
    page, _ = await store.page(["COMPLETED"], 10, None)
    assert [one.job_id for one in page] == ["j5", "j3", "j1"]
    assert [one.job_id for one in await store.unfinished()] == ["j0", "j2", "j4", "j6"]
    assert await store.counts() == {"COMPLETED": 3, "QUEUED": 4}


async def test_a_deleted_job_takes_its_events_along(store: Store) -> None:
    await store.commit([Change(job("a"), [(1, b"{}")])], is_synced=True)
    await store.delete("a")
    assert await store.events("a", 0, 10) == []
    await store.commit([Change(job("a"), [(1, b"{new}")])], is_synced=True)
    assert await store.events("a", 0, 10) == [(1, b"{new}")]


async def test_retention_names_what_is_over_its_count_or_age(store: Store) -> None:
    for number in range(4):
        await store.commit(
            [Change(job(f"j{number}", Status.COMPLETED, finished_at=float(number)), [])], is_synced=False
        )
    await store.commit([Change(job("live"), [])], is_synced=False)
    assert await store.finished_before(None, 2) == ["j1", "j0"]
    assert await store.finished_before(1.5, None) == ["j1", "j0"]


async def test_moves_of_an_alias_are_recorded(store: Store) -> None:
    await store.set_alias("live", "a")
    await store.set_alias("live", "b")
    assert {name: to for name, (to, _) in (await store.aliases()).items()} == {"live": "b"}
    await store.set_alias("live", None)
    assert await store.aliases() == {}
    assert [to for to, *_ in await store.alias_moves("live")] == ["a", "b", None]


async def test_a_damaged_database_is_set_aside_and_an_empty_one_made(tmp_path: Path) -> None:
    path = tmp_path / "traind.db"
    path.write_bytes(b"SQLite format 3\0" + b"\x07" * 8000)
    store = await opened(path)
    assert store.is_new
    assert await store.unfinished() == []
    await store.close()
    assert [found.read_bytes()[:6] for found in tmp_path.glob("traind.db.damaged-*")] == [b"SQLite"]


async def test_aliases_and_what_is_to_be_told_are_taken_out_of_a_damaged_database(tmp_path: Path) -> None:
    path = tmp_path / "traind.db"
    store = await opened(path)
    await store.set_alias("live", "a")
    await store.set_alias("live", "b")
    await store.put_deliveries([Entry("ops", "a", seq, b"{}", 1.0) for seq in (3, 5)])
    await store.settle_delivery(1, "delivered", 1.0, now=2.0, status=204, problem=None)
    await store.commit([Change(job("a", seq=9), [(seq, b"x" * 5_000) for seq in range(9)])], is_synced=True)
    await store.close()
    content = bytearray(path.read_bytes())
    content[-9_000:] = b"\x07" * 9_000
    path.write_bytes(content)
    store = await opened(path)
    assert store.is_new
    assert {name: to for name, (to, _) in (await store.aliases()).items()} == {"live": "b"}
    assert [to for to, *_ in await store.alias_moves("live")] == ["a", "b"]
    due, _ = await store.due_deliveries("ops", 9.0, 9)
    assert [(one.job_id, one.seq) for one in due] == [("a", 5)]
    assert [(one.seq, one.state) for one in await store.deliveries("ops", 9)] == [(5, "waiting"), (3, "delivered")]
    await store.close()


async def test_a_root_of_a_newer_traind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "traind.db"
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {FORMAT + 1}")
    db.close()
    with pytest.raises(RootTooNew, match=f"format {FORMAT + 1}"):
        await Store.open(path)


_EIGHTH = "DROP TABLE study_events; DROP TABLE trials; DROP TABLE studies; PRAGMA user_version = 8;"
_SEVENTH = f"{_EIGHTH} DROP TABLE deliveries; PRAGMA user_version = 7;"
_SIXTH = f"{_SEVENTH} ALTER TABLE labels DROP COLUMN parent; PRAGMA user_version = 6;"
_FIFTH = f"{_SIXTH} DROP TABLE alias_reasons; PRAGMA user_version = 5;"
_FOURTH = f"{_FIFTH} ALTER TABLE workers DROP COLUMN cursor; PRAGMA user_version = 4;"
_THIRD = f"{_FOURTH} DROP TABLE labels; DROP TABLE scores; PRAGMA user_version = 3;"
_SECOND = f"""{_THIRD} ALTER TABLE jobs ADD COLUMN record BLOB; ALTER TABLE jobs ADD COLUMN crc INTEGER;
    UPDATE jobs SET (record, crc) = (SELECT record, crc FROM records WHERE records.number = jobs.number);
    DROP TABLE records; PRAGMA user_version = 2;"""
_FIRST = "ALTER TABLE jobs DROP COLUMN crc; ALTER TABLE events DROP COLUMN crc; PRAGMA user_version = 1;"


@pytest.mark.parametrize("older", [_EIGHTH, _SEVENTH, _SIXTH, _FIFTH, _FOURTH, _THIRD, _SECOND, _SECOND + _FIRST])
async def test_a_root_of_an_older_traind_is_brought_up_and_reads_as_it_was(tmp_path: Path, older: str) -> None:
    path = tmp_path / "traind.db"
    store = await opened(path)
    await store.commit([Change(job("old", seq=1), [(1, b"{1}")])], is_synced=True)
    await store.close()
    db = sqlite3.connect(path)
    db.executescript(older)
    db.close()
    for _ in range(2):
        store = await opened(path)
        assert not store.is_new
        assert await store.unfinished() == [job("old", seq=1)]
        assert await store.events("old", 0, 10) == [(1, b"{1}")]
        await store.close()


async def test_the_table_of_fates_of_an_older_traind_gets_small(tmp_path: Path) -> None:
    path = tmp_path / "traind.db"
    store = await opened(path)
    changes = [Change(job(f"j{number}", name="n" * 2_000), []) for number in range(100)]
    await store.commit(changes, is_synced=True)
    await store.delete("j99")
    await store.close()
    db = sqlite3.connect(path)
    db.executescript(_SECOND)
    db.execute("VACUUM")
    db.close()
    store = await opened(path)
    ((unused,),) = await store._run(store._database.rows, "PRAGMA freelist_count")
    assert unused > 40  # of 2 kB in each row: the pages of the old table, whole
    await store.commit([Change(job("next"), [])], is_synced=True)
    ((number,),) = await store._run(store._database.rows, "SELECT max(number) FROM jobs")
    assert number == 101  # that of a deleted job is not given again
    await store.close()


@pytest.mark.parametrize("damage", [b"{2", b"{3}", b"", "{2}"])
async def test_a_damaged_event_is_replaced_by_a_word_about_it(store: Store, damage: object) -> None:
    await store.commit([Change(job("a", seq=3), [(1, b"{1}"), (2, b"{2}"), (3, b"{3}")])], is_synced=True)
    await store._run(store._database.change, "UPDATE events SET body = ? WHERE seq = 2", (damage,))
    first, second, third = await store.events("a", 0, 10)
    assert (first, third) == ((1, b"{1}"), (3, b"{3}"))
    told = decode_event(second[1])
    assert isinstance(told, Log)
    assert (told.seq, told.level, "damaged" in told.message) == (2, "error", True)


async def test_a_database_without_its_format_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "traind.db"
    store = await opened(path)
    await store.close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 0")
    db.close()
    store = await opened(path)
    assert store.is_new
    assert list(tmp_path.glob("traind.db.damaged-*[0-9]"))
    await store.close()


@pytest.mark.parametrize(
    ("words", "others"),
    [
        (b"CREATE TABLE jobs", b"CREATE TABLE jobr"),
        (b"finished_at REAL", b"finished_au REAL"),
        (b"sqlite_sequence", b"sqlite_seqtence"),
        (b"'COMPLETED'", b"'COMPLETEE'"),
        (b"REFERENCES jobs", b"REFERENCES jobr"),
    ],
)
async def test_a_database_with_other_tables_is_damaged(tmp_path: Path, words: bytes, others: bytes) -> None:
    path = tmp_path / "traind.db"
    await (await opened(path)).close()
    content = path.read_bytes()
    assert words in content
    path.write_bytes(content.replace(words, others))
    store = await Store.open(path)
    assert store.is_new
    await store.close()


@pytest.mark.parametrize("version", [1, 2, 3, 4])
async def test_a_database_that_says_it_is_older_than_it_is_is_damaged(tmp_path: Path, version: int) -> None:
    path = tmp_path / "traind.db"
    await (await opened(path)).close()
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {version}")
    db.close()
    store = await Store.open(path)
    assert store.is_new
    await store.close()


def test_a_locked_database_is_not_damaged(tmp_path: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(tmp_path / "db", timeout=0)) as db,
        contextlib.closing(sqlite3.connect(tmp_path / "db", timeout=0)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked") as caught:
            db.execute("BEGIN IMMEDIATE")
        assert not is_damage(caught.value)
        with pytest.raises(sqlite3.OperationalError, match="no such table") as caught:
            db.execute("SELECT * FROM jobs")
        assert is_damage(caught.value)


async def test_a_database_that_cannot_be_replaced_stays(store: Store) -> None:
    await store.commit([Change(job("a"), [(1, b"{}")])], is_synced=True)
    await filled(store)
    with pytest.raises(StoreFailed):
        await store.renew("as if", [Change(job("b"), [(1, b"{}"), (1, b"again")])], [])
    assert await store.unfinished() == [job("a")]
    assert {path.name for path in store.path.parent.glob("traind.db*")} == {
        *("traind.db", "traind.db-wal", "traind.db-shm"),
    }


@pytest.mark.parametrize("is_aside", [False, True])
async def test_a_replacement_counts_once_the_damaged_database_is_aside(tmp_path: Path, *, is_aside: bool) -> None:
    path, beside = tmp_path / "traind.db", tmp_path / "traind.db.new"
    for one, name in ((path, "old"), (beside, "new")):
        store = await opened(one)
        await store.commit([Change(job(name), [])], is_synced=True)
        await store.close()
    if is_aside:
        path.rename(tmp_path / "traind.db.damaged-1")
    store = await Store.open(path)
    assert not store.is_new
    assert [found.job_id for found in await store.unfinished()] == ["new" if is_aside else "old"]
    assert not beside.exists()
    await store.close()


async def test_a_lost_database_whose_renewal_was_cut_off_is_lost_again(tmp_path: Path) -> None:
    path = tmp_path / "traind.db"
    store = await Store.open(path)
    await filled(store)
    with pytest.raises(StoreFailed):
        await store.renew(None, [Change(job("a"), [(1, b"{}")]), Change(job("b"), [(1, b"{}"), (1, b"again")])], [])
    await filled(store)
    await store.close()
    store = await Store.open(path)
    assert store.is_new
    assert not (tmp_path / "traind.db.new").exists()
    await filled(store)
    await store.renew(None, [Change(job("a"), [(1, b"{}")])], [])
    assert [found.job_id for found in await store.unfinished()] == ["a"]
    await store.close()


async def test_text_that_is_none_any_more_breaks_nothing(store: Store, tmp_path: Path) -> None:
    for name in ("a", "b"):
        await store.commit([Change(job(name), [(1, b"{}")], ref="{}")], is_synced=True)
    for table in ("jobs", "workers"):
        sql = f"UPDATE {table} SET job_id = CAST(x'ff61' AS TEXT) WHERE job_id = 'a'"
        await store._run(store._database.change, sql, ())
    assert {found.job_id for found in await store.unfinished()} == {"a", "b"}
    assert [leftover.job_id for leftover in await store.workers()] == ["b", "\ufffda"]


@pytest.mark.parametrize("seed", range(40))
async def test_whatever_bytes_of_it_change_the_database_opens(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "traind.db"
    store = await opened(path)
    await store.commit([Change(job("a"), [(seq, b"{}") for seq in range(5)], ref="{}")], is_synced=True)
    await store.close()
    chance, content = random.Random(seed), bytearray(path.read_bytes())
    for _ in range(1 + seed % 8 * 20):
        content[chance.randrange(4_000 if seed % 2 else len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    store = await opened(path)
    for read in (store.unfinished(), store.damaged(), store.workers(), store.aliases(), store.counts()):
        await read
    await store.close()


async def test_a_damaged_record_is_named_and_the_others_are_read(store: Store) -> None:
    for name in ("a", "b"):
        await store.commit([Change(job(name, seq=1), [(1, b"{}")])], is_synced=True)
    assert await store.damaged() == {}
    change = "UPDATE records SET record = CAST(replace(record, '1.0', '2.0') AS BLOB) WHERE number = 1"
    await store._run(store._database.change, change, ())
    assert await store.damaged() == {"a": 1}
    assert [found.job_id for found in await store.unfinished()] == ["b"]
    with pytest.raises(StoreFailed, match="damaged"):
        await store.job("a")
