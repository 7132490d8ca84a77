"""Lists of jobs: which ones, in which order, and pages that stand still while jobs come."""

import contextlib
import random
import sqlite3
from pathlib import Path

import pytest
from stores import opened

from traind.service.jobs.job import Best, Job, scores
from traind.service.jobs.listing import Listing
from traind.service.record.store import Change, Store
from traind.trainer.contract.events import Status
from traind.trainer.contract.metrics import is_higher_better
from traind.trainer.contract.spec import TrainSpec

METRICS = ("rmse", "r2", "auc")


def random_job(draw: random.Random, number: int) -> Job:
    spec = TrainSpec(
        dataset=draw.choice(["houses", "adult", None]),
        tags=tuple(draw.sample(["night", "day", "x"], draw.randrange(3))),
        trainer=draw.choice(["tabular", "mine"]),
    )
    measured = {name: round(draw.random(), 1) for name in METRICS if draw.random() < 0.7}
    is_over = draw.random() < 0.5
    return Job(
        job_id=f"j{number}",
        created_at=float(number),
        status=Status.COMPLETED if is_over else Status.RUNNING,
        name=draw.choice([None, "Houses, second", "adult ÄÖ"]),
        study_id=draw.choice([None, None, "study_1"]),
        metrics={"validation": measured} if is_over else {},
        best=Best() if is_over else Best(epoch=1, metrics=measured),
        spec=spec,
    )


def expected(jobs: list[Job], listing: Listing) -> list[str]:
    """Filter and sort in plain Python."""
    kept = [
        job
        for job in jobs
        if (listing.tag is None or listing.tag in job.spec.tags)
        and (listing.dataset is None or job.spec.dataset == listing.dataset)
        and (listing.trainer is None or job.spec.trainer == listing.trainer)
        and (job.study_id == listing.study)
        and (listing.name is None or listing.name.lower() in (job.name or "").lower())
    ]
    newest = sorted(kept, key=lambda job: -job.created_at)
    if (metric := listing.metric) is not None:
        sign = -1.0 if is_higher_better(metric) else 1.0
        newest.sort(key=lambda job: (metric not in scores(job), sign * scores(job).get(metric, 0.0)))
    elif listing.sort == "created":
        newest.reverse()
    return [job.job_id for job in newest]


@pytest.mark.parametrize("seed", range(4))
async def test_every_list_is_the_one_that_plain_python_makes(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    store = await opened(tmp_path / "artifacts/traind.db")
    jobs = [random_job(draw, number) for number in range(60)]
    for job in jobs:
        await store.commit([Change(job, [])], is_synced=False)
    for _ in range(30):
        listing = Listing(
            tag=draw.choice([None, "night"]),
            dataset=draw.choice([None, "houses"]),
            name=draw.choice([None, "houses", "SECOND"]),
            trainer=draw.choice([None, "mine"]),
            study=draw.choice([None, None, "study_1"]),
            sort=draw.choice(["created", "-created", *(f"metric:{name}" for name in METRICS), "metric:none_has_it"]),
        )
        assert await _pages(store, listing, draw.randrange(1, 9)) == expected(jobs, listing), listing
    await store.close()


async def test_pages_neither_repeat_nor_skip_while_jobs_come(tmp_path: Path) -> None:
    draw = random.Random(9)
    for sort in ("-created", "metric:r2"):
        store = await opened(tmp_path / sort.replace(":", "") / "artifacts/traind.db")
        jobs = [random_job(draw, number) for number in range(40)]
        for job in jobs:
            await store.commit([Change(job, [])], is_synced=False)
        seen, cursor, number = [], None, 40
        while True:
            page, cursor = await store.page([], 5, cursor, Listing(sort=sort))
            seen += [job.job_id for job in page]
            if cursor is None:
                break
            for _ in range(3):
                await store.commit([Change(random_job(draw, number), [])], is_synced=False)
                number += 1
        assert [one for one in seen if int(one[1:]) < 40] == expected(jobs, Listing(sort=sort))
        assert len(set(seen)) == len(seen)
        await store.close()


async def test_a_cursor_of_another_order_is_refused(tmp_path: Path) -> None:
    store = await opened(tmp_path / "artifacts/traind.db")
    for cursor, listing in (("0.5:3", Listing()), (3, Listing(sort="metric:r2"))):
        with pytest.raises(ValueError, match="another order"):
            await store.page([], 3, cursor, listing)
    await store.close()


async def test_a_root_without_the_tables_gets_them_filled(tmp_path: Path) -> None:
    path = tmp_path / "artifacts/traind.db"
    draw = random.Random(5)
    jobs = [random_job(draw, number) for number in range(30)]
    store = await opened(path)
    for job in jobs:
        await store.commit([Change(job, [])], is_synced=True)
    await store.close()
    as_of_format_3(path)
    store = await opened(path)
    for listing in (Listing(tag="night"), Listing(name="houses"), Listing(sort="metric:rmse")):
        told = [one for one in await _pages(store, listing, 7) if jobs[int(one[1:])].study_id is None]
        wanted = [one for one in expected(jobs, listing) if "validation" in jobs[int(one[1:])].metrics]
        assert [one for one in told if "validation" in jobs[int(one[1:])].metrics] == wanted
    await store.close()


def as_of_format_3(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(
            "DROP TABLE labels; DROP TABLE scores; DROP TABLE alias_reasons;"
            "ALTER TABLE workers DROP COLUMN cursor; PRAGMA user_version = 3;"
        )


async def _pages(store: Store, listing: Listing, size: int) -> list[str]:
    found: list[str] = []
    cursor = None
    while True:
        page, cursor = await store.page([], size, cursor, listing)
        found += [job.job_id for job in page]
        if cursor is None:
            return found
