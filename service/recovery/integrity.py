"""What is looked at while the server answers, since no job's fate hangs on it.

That is the rest of a large database, the status files of finished jobs, and folders that belong to no job. One task
of the engine, which ends by itself. A database that turns out to be damaged is rebuilt from the status files, as at
the start, and from the jobs that run, while others go on with what is left of it.
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
AGAIN_S = 4.0  # at most until what could not be looked at is looked at again
AT_ONCE, PAUSE_S = 100, 0.05  # status files looked at in some milliseconds, and the pause after


async def inspect(journal: Journal, layout: Layout, problems: Problems, wake: Callable[[], None]) -> None:
    """Look at everything once, and put right what is found; `wake` is called where jobs came to light."""

    async def look() -> None:
        await _look_through(journal, layout)
        wake()

    if not journal.store.is_checked:
        await _until_done("the database cannot be checked, or not be rebuilt", look, problems)
    await _until_done("checkpoints of no job cannot be removed", lambda: _sweep(journal, layout), problems)
    await _until_done("status files cannot be looked at", lambda: _mend_status_files(journal), problems)


async def _until_done(what: str, look: Callable[[], Awaitable[None]], problems: Problems) -> None:
    """Look, and again ever later while that fails, which is shown."""
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
    """Remove the checkpoints that belong to no job; after a lost database nobody knows which these are."""
    if journal.store.is_new:
        return
    folders = await asyncio.to_thread(layout.disk.names, layout.checkpoints_dir)
    for name in await journal.store.unknown(folders):
        async with journal.turn:  # lest a job gets this name now
            if await journal.store.unknown([name]):
                await asyncio.to_thread(layout.disk.remove_tree, layout.job_dir(name))


async def _mend_status_files(journal: Journal) -> None:
    """Write the status files of finished jobs anew that are missing or damaged."""
    number: int | None = None
    while rows := await journal.store.finished(AT_ONCE, number):
        number = rows[-1][0]
        for job_id in await journal.status_files.changed({job_id: crc for _, job_id, crc in rows}):
            with contextlib.suppress(StoreFailed):  # its record is damaged too, and that was said
                await _mend_status_file(journal, job_id)
        await asyncio.sleep(PAUSE_S)


async def _mend_status_file(journal: Journal, job_id: str) -> None:
    async with journal.turn:
        job = await journal.store.job(job_id)
        if job is not None and job.status in TERMINAL and await journal.status_files.unlike([job]):
            LOG.warning("the status file of job %s was not whole and is written anew", job_id)
            await journal.status_files.entered(job)
