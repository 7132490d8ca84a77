"""The index of jobs: labels and scores in small tables beside the records.

A list of jobs is one query over these; only the records of the page are read. Called by `store` on its thread.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from traind.service.jobs.job import Job, scores
from traind.service.jobs.listing import Listing
from traind.trainer.contract.metrics import is_higher_better

_LABELS = """CREATE TABLE labels (
    number INTEGER PRIMARY KEY REFERENCES jobs (number) ON DELETE CASCADE,
    name TEXT,
    dataset TEXT,
    trainer TEXT NOT NULL,
    study TEXT,
    tags TEXT NOT NULL{more}
)"""
_SCORES = """CREATE TABLE scores (
    number INTEGER NOT NULL REFERENCES jobs (number) ON DELETE CASCADE,
    metric TEXT NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (number, metric)
) WITHOUT ROWID"""
TABLES = (_LABELS.format(more=",\n    parent TEXT"), _SCORES)
FIRST_TABLES = (_LABELS.format(more=""), _SCORES)  # of format 4
ADD_PARENT = "ALTER TABLE labels ADD COLUMN parent TEXT"
_KEPT = """(SELECT number, CASE WHEN json_valid(CAST(record AS TEXT)) THEN CAST(record AS TEXT) ELSE '{}' END AS text
    FROM records)"""
Only = Callable[..., None]
FILL = (  # fills them from the records of a database without these tables
    f"""INSERT INTO labels SELECT number, lower(json_extract(text, '$.name')), json_extract(text, '$.spec.dataset'),
    ifnull(json_extract(text, '$.spec.trainer'), 'tabular'), NULL, ifnull(json_extract(text, '$.spec.tags'), '[]')
    FROM {_KEPT}""",  # noqa: S608 - constants
    f"""INSERT INTO scores SELECT number, score.key, score.value
    FROM {_KEPT} AS kept, json_each(text, '$.metrics.validation') AS score
    WHERE score.type IN ('real', 'integer')""",  # noqa: S608 - constants
)


def write(db: sqlite3.Connection, number: int, job: Job) -> None:
    """Write a job's labels and scores."""
    spec = job.spec
    tags = msgspec.json.encode(spec.tags).decode()
    parent = job.parent.job_id if job.parent else None
    labels = (number, (job.name or "").lower() or None, spec.dataset, spec.trainer, job.study_id, tags, parent)
    db.execute("INSERT OR REPLACE INTO labels VALUES (?, ?, ?, ?, ?, ?, ?)", labels)
    db.execute("DELETE FROM scores WHERE number = ?", (number,))
    rows = [(number, metric, value) for metric, value in scores(job).items()]
    db.executemany("INSERT INTO scores VALUES (?, ?, ?)", rows)


def page_query(
    statuses: Sequence[str], listing: Listing, limit: int, after: tuple[float | None, int] | None
) -> tuple[str, tuple[Any, ...]]:
    """Return the query for `limit` rows of `(number, value, job_id, record, crc)`, and its arguments.

    `after` is the last row of the page before: its metric's value, if any, and its number.
    """
    wheres: list[str] = []
    args: list[Any] = []

    def only(condition: str, *values: Any) -> None:
        wheres.append(condition)
        args.extend(values)

    if statuses:
        only(f"status IN ({', '.join('?' * len(statuses))})", *statuses)
    _labelled(listing, only)
    value, order = "NULL", "jobs.number" if listing.sort == "created" else "jobs.number DESC"
    joined, metric = "", listing.metric
    if metric is not None:
        value, better, way = ("score.value", ">", "DESC") if is_higher_better(metric) else ("score.value", "<", "ASC")
        joined = "LEFT JOIN scores score ON score.number = jobs.number AND score.metric = ?"
        order = f"score.value IS NULL, score.value {way}, {order}"
        _beyond_score(after, better, only)
    elif after is not None:
        only("jobs.number > ?" if listing.sort == "created" else "jobs.number < ?", after[1])
    sql = f"""SELECT jobs.number, {value}, job_id, record, crc FROM jobs LEFT JOIN labels USING (number)
        LEFT JOIN records USING (number) {joined} WHERE {" AND ".join(wheres) or "true"} ORDER BY {order} LIMIT ?"""  # noqa: S608 - constants and placeholders
    return sql, (*([metric] if metric is not None else []), *args, limit)


def _labelled(listing: Listing, only: Only) -> None:
    """Add the conditions on labels; trials of studies are listed only where their study is named."""
    for column, wanted in (("dataset", listing.dataset), ("trainer", listing.trainer), ("study", listing.study)):
        if wanted is not None:
            only(f"labels.{column} = ?", wanted)
    if listing.study is None:
        only("labels.study IS NULL")
    if listing.name is not None:
        only("instr(labels.name, ?) > 0", listing.name.lower())
    if listing.tag is not None:
        only("EXISTS (SELECT 1 FROM json_each(labels.tags) WHERE value = ?)", listing.tag)


def _beyond_score(after: tuple[float | None, int] | None, better: str, only: Only) -> None:
    """Add the condition for what comes after a row, best scores first; those without one come last."""
    if after is None:
        return
    value, number = after
    if value is None:
        only("(score.value IS NULL AND jobs.number < ?)", number)
        return
    worse = "<" if better == ">" else ">"
    only(
        f"(score.value {worse} ? OR (score.value = ? AND jobs.number < ?) OR score.value IS NULL)",
        value,
        value,
        number,
    )


def cursor_of(listing: Listing, number: int, value: float | None) -> int | str:
    """Return the cursor of a row: the next page begins after it."""
    return number if listing.metric is None else f"{'none' if value is None else repr(value)}:{number}"


def parse_cursor(listing: Listing, cursor: int | str) -> tuple[float | None, int]:
    """Return the value and number in a cursor; raises `ValueError` for a cursor of another sort order."""
    value, _, number = str(cursor).rpartition(":")
    if bool(value) != (listing.metric is not None):
        raise ValueError("is the cursor of another order")
    return (None if value in {"", "none"} else float(value)), int(number)
