"""Checks that can wait until the server answers: no unfinished job depends on them.

They cover the rest of a large database, the status files of finished jobs, and folders that belong to no job. One
task of the engine, which ends by itself. A database found damaged here is rebuilt from the status files and the jobs
in memory, while calls go on with what can still be read.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from traind.service.errors import DiskLow, StoreFailed
from traind.service.jobs.job import TERMINAL
from traind.service.record.journal import Journal
from traind.service.record.problems import RETRY_S, Problems
from traind.service.recovery.rebuild import rebuild
from traind.service.recovery.startup import mend, settle
from traind.service.settings import Layout

LOG = logging.getLogger(__name__)
AGAIN_S = 4.0  # the longest pause before a failed check is tried again
AT_ONCE, PAUSE_S = 100, 0.05  # status files checked in a row, and the pause after them


async def inspect(journal: Journal, layout: Layout, problems: Problems, wake: Callable[[], None]) -> None:
    """Check everything once and repair what is found; `wake` is called after jobs may have been queued again."""

    async def look() -> None:
        await _look_through(journal, layout)
        wake()

    if not journal.store.is_checked:
        await _until_done("the database cannot be checked, or not be rebuilt", look, problems)
    await _until_done("checkpoints of no job cannot be removed", lambda: _sweep(journal, layout), problems)
    await _until_done("status files cannot be looked at", lambda: _mend_status_files(journal), problems)


async def _until_done(what: str, look: Callable[[], Awaitable[None]], problems: Problems) -> None:
    """Call `look` until it succeeds, with growing pauses; meanwhile `what` is a problem."""
    pause_s = RETRY_S
    while True:
        try:
            await look()
        except (DiskLow, StoreFailed, OSError) as error:
            problems.arose(what, error)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, AGAIN_S)
        else:
            problems.passed(what)
            return


async def _look_through(journal: Journal, layout: Layout) -> None:
    found = await journal.store.examine()
    if found.problem is not None:
        hidden = await rebuild(journal, found.problem)
    else:
        hidden = await mend(journal, {name: seq for name, seq in found.damaged.items() if name not in journal.live})
    await settle(journal, layout, hidden)


async def _sweep(journal: Journal, layout: Layout) -> None:
    """Remove the checkpoints that belong to no job, unless the database is new: then it may not know all jobs."""
    if journal.store.is_new:
        return
    folders = await asyncio.to_thread(layout.disk.names, layout.checkpoints_dir)
    for name in await journal.store.unknown(folders):
        async with journal.turn:  # so that no job gets this id meanwhile
            if await journal.store.unknown([name]):
                await asyncio.to_thread(layout.disk.remove_tree, layout.job_dir(name))


async def _mend_status_files(journal: Journal) -> None:
    """Write missing and damaged status files of finished jobs anew."""
    number: int | None = None
    while rows := await journal.store.finished(AT_ONCE, number):
        number = rows[-1][0]
        for job_id in await journal.status_files.changed({job_id: crc for _, job_id, crc in rows}):
            with contextlib.suppress(StoreFailed):  # its record is damaged too, and that was logged
                await _mend_status_file(journal, job_id)
        await asyncio.sleep(PAUSE_S)


async def _mend_status_file(journal: Journal, job_id: str) -> None:
    async with journal.turn:
        job = await journal.store.job(job_id)
        if job is not None and job.status in TERMINAL and await journal.status_files.unlike([job]):
            LOG.warning("the status file of job %s was not whole and is written anew", job_id)
            await journal.status_files.entered(job)
