"""The studies' tables: the study's record, its trials and its events. Called by `journal` on the store's thread."""

import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from traind.service.studies.events import StudyLog, encode_study_event
from traind.service.studies.study import OVER, Study, Trial

TABLES = (
    """CREATE TABLE IF NOT EXISTS studies (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    study_id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    record BLOB NOT NULL,
    crc INTEGER
)""",
    """CREATE TABLE IF NOT EXISTS trials (
    number INTEGER NOT NULL REFERENCES studies (number) ON DELETE CASCADE,
    trial INTEGER NOT NULL,
    record BLOB NOT NULL,
    crc INTEGER,
    PRIMARY KEY (number, trial)
) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS study_events (
    number INTEGER NOT NULL REFERENCES studies (number) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    body BLOB NOT NULL,
    crc INTEGER,
    PRIMARY KEY (number, seq)
) WITHOUT ROWID""",
)
SALVAGED = {  # copied from a damaged database as far as it can be read
    "studies": "number, study_id, status, record, crc",
    "trials": "number, trial, record, crc",
    "study_events": "number, seq, body, crc",
}
_OVER_SQL = ", ".join(f"'{status}'" for status in sorted(OVER))
OPEN_JOBS = f"""SELECT labels.number FROM labels JOIN studies ON studies.study_id = labels.study
    WHERE studies.status NOT IN ({_OVER_SQL})"""  # noqa: S608 - constants
_PUT = """INSERT INTO studies (study_id, status, record, crc) VALUES (?, ?, ?, ?)
    ON CONFLICT (study_id) DO UPDATE SET status = excluded.status, record = excluded.record, crc = excluded.crc
    RETURNING number"""
_OF = "number = (SELECT number FROM studies WHERE study_id = ?)"
_encoder = msgspec.json.Encoder()
_studies = msgspec.json.Decoder(Study)
_trials = msgspec.json.Decoder(Trial)


@dataclass(frozen=True, slots=True)
class StudyChange:
    """A study after new events, its changed trials, and all of its trials."""

    study: Study
    changed: Sequence[Trial]
    events: Sequence[tuple[int, bytes]]
    all_trials: Sequence[Trial]


def put(change: StudyChange, db: sqlite3.Connection) -> None:
    """Write a change, with trials that are missing after a lost database."""
    study, record = change.study, _encoder.encode(change.study)
    (number,) = db.execute(_PUT, (study.study_id, study.status, record, zlib.crc32(record))).fetchone()
    _put_trials(db, number, change.changed)
    (count,) = db.execute("SELECT count(*) FROM trials WHERE number = ?", (number,)).fetchone()
    if count < len(change.all_trials):
        _put_trials(db, number, change.all_trials)
    rows = [(number, seq, body, zlib.crc32(body)) for seq, body in change.events]
    db.executemany("INSERT OR REPLACE INTO study_events VALUES (?, ?, ?, ?)", rows)


def delete(study_id: str, db: sqlite3.Connection) -> None:
    """Forget a study."""
    db.execute("DELETE FROM studies WHERE study_id = ?", (study_id,))


def one(study_id: str, db: sqlite3.Connection) -> Study | None:
    """Return a study; None where there is none, or its record is damaged."""
    found = page(db, 1, None, (), study_id)
    return found[0][1] if found else None


def page(
    db: sqlite3.Connection, limit: int, before: int | None, statuses: Sequence[str], study_id: str | None = None
) -> list[tuple[int, Study]]:
    """Return up to `limit` studies with their numbers, newest first."""
    wheres, args = ["number < ?"], [before or 2**62]
    more: list[Any] = []
    if statuses:
        wheres.append(f"status IN ({', '.join('?' * len(statuses))})")
        more += statuses
    if study_id is not None:
        wheres.append("study_id = ?")
        more.append(study_id)
    sql = f"SELECT number, record, crc FROM studies WHERE {' AND '.join(wheres)} ORDER BY number DESC LIMIT ?"  # noqa: S608
    rows = db.execute(sql, (*args, *more, limit)).fetchall()
    found = ((number, _read(record, crc, _studies)) for number, record, crc in rows)
    return [(number, study) for number, study in found if study is not None]


def unfinished(db: sqlite3.Connection) -> list[str]:
    """Return the studies that are not over, oldest first."""
    sql = f"SELECT study_id FROM studies WHERE status NOT IN ({_OVER_SQL}) ORDER BY number"  # noqa: S608 - constants
    return [study_id for (study_id,) in db.execute(sql)]


def trials(study_id: str, after: int, limit: int, db: sqlite3.Connection) -> list[Trial]:
    """Return up to `limit` trials from number `after` on, in order; damaged ones are left out."""
    sql = f"SELECT record, crc FROM trials WHERE {_OF} AND trial >= ? ORDER BY trial LIMIT ?"  # noqa: S608 - constants
    found = (_read(record, crc, _trials) for record, crc in db.execute(sql, (study_id, after, limit)))
    return [trial for trial in found if trial is not None]


def events(study_id: str, after: int, limit: int, db: sqlite3.Connection) -> list[tuple[int, bytes]]:
    """Return up to `limit` events with a seq above `after`, in order; damaged ones are replaced by a log event."""
    sql = f"SELECT seq, body, crc FROM study_events WHERE {_OF} AND seq > ? ORDER BY seq LIMIT ?"  # noqa: S608
    rows = db.execute(sql, (study_id, after, limit)).fetchall()
    return [(seq, body if zlib.crc32(body) == crc else _damaged(study_id, seq)) for seq, body, crc in rows]


def unknown(study_ids: Iterable[str], db: sqlite3.Connection) -> list[str]:
    """Return the ids without an undamaged record."""
    return [study_id for study_id in study_ids if one(study_id, db) is None]


def trial_jobs(study_id: str, db: sqlite3.Connection) -> list[str]:
    """Return the ids of the jobs of a study, its ensemble's too, oldest first."""
    sql = "SELECT job_id FROM jobs JOIN labels USING (number) WHERE labels.study = ? ORDER BY number"
    return [job_id for (job_id,) in db.execute(sql, (study_id,))]


def _put_trials(db: sqlite3.Connection, number: int, changed: Sequence[Trial]) -> None:
    rows = [(number, trial.trial, body, zlib.crc32(body)) for trial in changed for body in (_encoder.encode(trial),)]
    db.executemany("INSERT OR REPLACE INTO trials VALUES (?, ?, ?, ?)", rows)


def _read(record: bytes, crc: int | None, decoder: Any) -> Any:
    try:
        return decoder.decode(record) if zlib.crc32(record) == crc else None
    except (msgspec.DecodeError, TypeError):
        return None


def _damaged(study_id: str, seq: int) -> bytes:
    message = "This event is damaged on the disk and cannot be shown."
    return encode_study_event(StudyLog(seq=seq, study_id=study_id, message=message, level="error"))
