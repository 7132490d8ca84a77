"""Between writing down who carries a job out and telling him: a crash there must find him in the record.

The disk is made slow, so that the two are half a second apart: a worker that hears of its job too early would be
seen at work while nothing is known of it, and the next server would start the job beside it.
"""

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from fault_harness import Server, workload

SLOW_S = 0.5

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@pytest.mark.timeout(120)
def test_a_worker_at_work_stands_in_the_record(tmp_path: Path) -> None:
    server = Server(tmp_path / "root")
    server.start()
    assert server.wait_up(), server.tail()
    server.wait_ready()
    calls = "trace=fdatasync", f"inject=fdatasync:delay_enter={SLOW_S * 1e6:.0f}"
    tracer = server.trace(tmp_path / "trace", *calls)
    workload(1, seed=1).submit(server, "job")
    attempt_dir = server.root / "artifacts/checkpoints/job_0/attempt-1"
    accepted = time.monotonic()
    _wait_for(attempt_dir / "output.log")  # the first that a worker writes
    pids = recorded(server.root / "artifacts/traind.db", "job_0")
    took = time.monotonic() - accepted
    alive = server.pids()
    server.kill()
    tracer.wait(20)
    assert took > SLOW_S / 2, "the disk was not slow: the test tests nothing"
    assert len(pids) == 1
    assert set(pids) <= set(alive)
    assert server.left_behind() == []


def recorded(path: Path, job_id: str) -> list[int]:
    """Return who carries a job out, as the database says."""
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT identity FROM workers WHERE job_id = ?", (job_id,)).fetchall()
    return [msgspec.json.decode(identity)["pid"] for (identity,) in rows]


def _wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.001)
