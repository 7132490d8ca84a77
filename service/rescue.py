"""Start-up: settle what the last server left, before anything runs.

In this order: processes that outlived it are killed, a lost database or record is rebuilt from the status files,
jobs that a worker had go back to the queue (or to what was asked of them), and folders that belong to no job are
swept.
"""

import asyncio
import contextlib
import logging
import os
import shutil

import msgspec

from traind.data.files import sweep_temporaries
from traind.service.endings import after_restart
from traind.service.identity import Identity, kill_leftover
from traind.service.jobs import ACTIVE, TERMINAL
from traind.service.journal import Journal
from traind.service.places import last_checkpoint, untold_checkpoint
from traind.service.settings import Layout
from traind.trainer.contract import Log

LOG = logging.getLogger(__name__)
AT_ONCE, PAUSE_S = 20, 0.05  # jobs looked at in some milliseconds, and the pause after: others wait for them


async def rescue(journal: Journal, layout: Layout) -> None:
    """Bring every job into a state that is true; safe to be killed in and run again."""
    for job_id, attempt, identity in await journal.store.workers():
        with contextlib.suppress(msgspec.DecodeError):  # a damaged row
            if await asyncio.to_thread(kill_leftover, msgspec.json.decode(identity, type=Identity)):
                LOG.warning("a worker of job %s outlived its server and was killed", job_id)
        await journal.store.worker_ended(job_id, attempt)
    if journal.store.is_new:
        await _rebuild(journal)
    await _mend(journal)
    async with journal.turn:
        for job in await journal.store.unfinished():
            journal.live[job.job_id] = job
            if job.status in ACTIVE:
                found = await asyncio.to_thread(
                    last_checkpoint, layout, job.job_id
                )  # of a worker that was left alone
                untold = untold_checkpoint(job, found)
                await journal.record(job, *untold, after_restart(job, has_place=found is not None))
            else:
                journal.snapshots.entered(job)
    layout.models_dir.mkdir(parents=True, exist_ok=True)
    layout.checkpoints_dir.mkdir(parents=True, exist_ok=True)
    folders = await asyncio.to_thread(os.listdir, layout.checkpoints_dir)
    nobodys = set() if journal.store.is_new else await journal.store.unknown(folders)
    await asyncio.to_thread(_sweep, layout, nobodys)


async def mend_status_files(journal: Journal) -> None:
    """Write the status files of finished jobs anew that are missing or damaged."""
    jobs, cursor = await journal.store.page(TERMINAL, AT_ONCE, None)
    while jobs:
        for job in await journal.snapshots.unlike(jobs):
            async with journal.turn:
                known = await journal.store.job(job.job_id)
                if known is not None and known.status in TERMINAL:
                    LOG.warning("the status file of job %s was not whole and is written anew", job.job_id)
                    await journal.snapshots.entered(known)
        if cursor is None:
            return
        await asyncio.sleep(PAUSE_S)
        jobs, cursor = await journal.store.page(TERMINAL, AT_ONCE, cursor)


async def _rebuild(journal: Journal) -> None:
    """Fill an empty database from the status files there are; the events are gone, and the next one says so."""
    lost = Log(message="The database was lost; this job was rebuilt from its status file.", level="warning")
    jobs = await journal.snapshots.read_all()
    async with journal.turn:
        for job in jobs:
            await journal.record(job, lost)
            if job.status in TERMINAL:
                journal.live.pop(job.job_id, None)
    if jobs:
        LOG.warning("there was no whole database; %d jobs were rebuilt from their status files", len(jobs))


async def _mend(journal: Journal) -> None:
    """Put status files in the place of damaged records: the other jobs, and all events, are as they were."""
    said = Log(message="The record of this job was damaged; it is rebuilt from its status file.", level="warning")
    for job_id, seq in (await journal.store.damaged()).items():
        job = await journal.snapshots.read(job_id)
        if job is None:
            LOG.error("the record of job %s is damaged, and so is its status file: it cannot be shown", job_id)
            continue
        LOG.warning("the record of job %s is damaged; it is rebuilt from its status file", job_id)
        async with journal.turn:
            await journal.record(msgspec.structs.replace(job, seq=max(seq, job.seq)), said)
            journal.live.pop(job_id, None)


def _sweep(layout: Layout, nobodys: set[str]) -> None:
    """Remove half-made models, and the checkpoints that belong to no job."""
    sweep_temporaries(layout.models_dir)
    for name in nobodys:
        shutil.rmtree(layout.job_dir(name), ignore_errors=True)
