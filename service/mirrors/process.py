"""The process of one mirror: it reads what the server has committed and writes it to the target, at its own pace.

Started by `mirrors.Mirrors` as `python -m traind.service.mirrors.process KIND ROOT SINCE`. A target that is
away, slow or wrong therefore delays no job, and what it missed stands in the database until it is back. The lines
that it writes on stdout are the problem there is, as a sentence, empty when it is over. It leaves when its stdin is
closed: a server that is killed takes it along, once what was committed is mirrored or `ORPHANED_S` have passed.
"""

import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from traind.service.jobs.job import TERMINAL
from traind.service.mirrors.record import Candidate, Record, Told
from traind.service.mirrors.target import Away, Target
from traind.service.settings import Layout

LEAVE_S = 8.0  # for the rest of the events, when the server closes
ORPHANED_S = 3.0  # for the rest, when the server was killed
TARGET_VARIABLE = "TRAIND_MIRROR_TARGET"  # not an argument, which other users can see: an address may have a password
BYE = b"bye"  # sent when the server closes
MARGIN_S = 600.0  # clocks may differ by this much
AT_ONCE = 500  # events
LONGEST_LOOKS = 512  # most rounds between two tries of a job that the target refuses
SHORTEST_S, LONGEST_S = 1.0, 60.0  # pauses before a target that failed is tried again


@dataclass(slots=True)
class Failed:
    """A job that the target refused: why, and after how many rounds it is tried again."""

    problem: str
    looks: int
    pause: int


class Mirror:
    """Writes one root to one target."""

    def __init__(self, record: Record, told: Told, target: Target) -> None:
        self._record, self._told, self._target = record, told, target
        self._since = told.since
        self._cursors: dict[str, int] = {}
        self._failed: dict[str, Failed] = {}

    def look(self) -> list[str]:
        """Write what is new; return what failed, as sentences. Raises `Away`."""
        began = time.time()
        for one in self._record.candidates(self._since):
            if self._told.is_told(one) or self._cursors.get(one.job_id) == one.last_seq or self._waits(one.job_id):
                continue
            try:
                self._catch_up(one)
                self._failed.pop(one.job_id, None)
            except Away:
                self._cursors.pop(one.job_id, None)
                raise
            except Exception as error:  # noqa: BLE001 - what one job meets must not keep the others back
                self._cursors.pop(one.job_id, None)
                before = self._failed.get(one.job_id)
                pause = min(2 * before.pause, LONGEST_LOOKS) if before else 1
                self._failed[one.job_id] = Failed(
                    f"the job {one.job_id}: {type(error).__name__}: {error}"[:300], pause, pause
                )
        if not self._failed:  # jobs that ended before are written and need not be checked again
            self._since = max(self._since, began - MARGIN_S)
        return [failed.problem for failed in self._failed.values()]

    def _waits(self, job_id: str) -> bool:
        failed = self._failed.get(job_id)
        if failed is None:
            return False
        failed.looks -= 1
        return failed.looks >= 0

    def _catch_up(self, one: Candidate) -> None:
        """Write a job up to its newest event."""
        job = self._record.job(one.number)
        if job is None:
            return
        if one.job_id not in self._cursors:
            self._cursors[one.job_id] = self._target.begin(job)
        while events := self._record.events(one.number, self._cursors[one.job_id], AT_ONCE):
            self._target.write(job, events)
            self._cursors[one.job_id] = events[-1].seq
        job = self._record.job(one.number)
        if job is not None and job.status in TERMINAL and job.seq <= self._cursors[one.job_id]:
            self._target.end(job)
            self._told.note(job.job_id, self._cursors.pop(job.job_id))


def main() -> None:
    """Read, write and wait, until the server has ended."""
    kind, root, since = sys.argv[1:]
    address = os.environ[TARGET_VARIABLE]
    os.nice(19)  # jobs come first: where all processors train, this gets one and a half percent of one
    said_to_server = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # output of libraries goes to the log
    leaving = threading.Event()
    threading.Thread(target=_watch_server, args=(leaving,), daemon=True).start()
    layout = Layout(root)
    told = Told(layout.mirrors_dir / f"{kind}.db", address, float(since))
    target = _target(kind, layout, address)
    mirror = Mirror(Record(layout.database_path), told, target)
    said, pause_s = "", target.every_s
    while True:
        is_last = leaving.is_set()
        try:
            problem, pause_s = "; ".join(mirror.look()), target.every_s
        except Away as error:
            problem, pause_s = str(error), min(LONGEST_S, max(SHORTEST_S, 2 * pause_s))
        if problem != said and not is_last:
            said_to_server.write(" ".join(problem.split()) + "\n")
            said_to_server.flush()
            said = problem
        if is_last:
            return
        leaving.wait(pause_s)


def _target(kind: str, layout: Layout, address: str) -> Target:
    if kind == "tensorboard":
        from traind.service.mirrors.tensorboard_files import TensorBoardFiles

        return TensorBoardFiles(Path(address))
    from traind.service.mirrors.mlflow_runs import MlflowRuns

    return MlflowRuns(layout, address)


def _watch_server(leaving: threading.Event) -> None:
    """Wait until the server has closed stdin or is gone; then exit once the rest is written or time is up."""
    said = sys.stdin.buffer.read()
    leaving.set()
    threading.Event().wait(LEAVE_S if said == BYE else ORPHANED_S)
    os._exit(0)


if __name__ == "__main__":
    main()
