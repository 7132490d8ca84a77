"""What is looked at while the server answers, since no job's fate hangs on it.

That is the rest of a large database, the status files of finished jobs, and folders that belong to no job. One task
of the engine, which ends by itself. A database that turns out to be damaged is rebuilt from the status files, as at
the start, and from the jobs that run, while others go on with what is left of it.
"""

import asyncio
import contextlib
import logging
import os
import shutil
from collections.abc import Callable

from traind.service.errors import DiskLow, StoreFailed
from traind.service.jobs.job import TERMINAL
from traind.service.record.journal import Journal
from traind.service.recovery.startup import mend, rebuild, settle
from traind.service.settings import Layout

LOG = logging.getLogger(__name__)
AGAIN_S = 60.0  # until a database is looked at again that could not be
AT_ONCE, PAUSE_S = 100, 0.05  # status files looked at in some milliseconds, and the pause after


async def inspect(journal: Journal, layout: Layout, wake: Callable[[], None]) -> None:
    """Look at everything once, and put right what is found; `wake` is called where jobs came to light."""
    while not journal.store.is_checked:
        try:
            await _look_through(journal, layout)
        except (DiskLow, StoreFailed) as error:
            LOG.error("the database could not be checked, or not be rebuilt; it is tried again: %s", error.message)  # noqa: TRY400 - its words will do
            await asyncio.sleep(AGAIN_S)
        else:
            wake()
            break
    await _sweep(journal, layout)
    await _mend_status_files(journal)


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
    folders = await asyncio.to_thread(os.listdir, layout.checkpoints_dir)
    for name in await journal.store.unknown(folders):
        async with journal.turn:  # lest a job gets this name now
            if await journal.store.unknown([name]):
                await asyncio.to_thread(shutil.rmtree, layout.job_dir(name), ignore_errors=True)


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
