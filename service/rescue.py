"""Start-up: settle what the last server left, before anything runs.

In this order: processes that outlived it are killed, a lost database is rebuilt from the status files, jobs that a
worker had go back to the queue (or to what was asked of them), and folders that belong to no job are swept.
"""

import asyncio
import logging
import shutil

import msgspec

from traind.data.files import sweep_temporaries
from traind.service.endings import after_restart
from traind.service.identity import Identity, kill_leftover
from traind.service.jobs import ACTIVE, TERMINAL
from traind.service.journal import Journal
from traind.service.settings import Layout
from traind.trainer.contract import Log

LOG = logging.getLogger(__name__)


async def rescue(journal: Journal, layout: Layout) -> None:
    """Bring every job into a state that is true; safe to be killed in and run again."""
    for job_id, attempt, identity in await journal.store.workers():
        if await asyncio.to_thread(kill_leftover, msgspec.json.decode(identity, type=Identity)):
            LOG.warning("a worker of job %s outlived its server and was killed", job_id)
        await journal.store.worker_ended(job_id, attempt)
    if journal.store.was_damaged:
        await _rebuild(journal)
    async with journal.turn:
        for job in await journal.store.unfinished():
            journal.live[job.job_id] = job
            if job.status in ACTIVE:
                has_place = job.checkpoint is not None and (layout.root / job.checkpoint).exists()
                await journal.record(job, after_restart(job, has_place=has_place))
            else:
                journal.snapshots.entered(job)
    await asyncio.to_thread(_sweep, layout, set(journal.live))


async def _rebuild(journal: Journal) -> None:
    """Fill an empty database from the status files; the events before are gone, and the first new one says so."""
    lost = Log(message="The database was damaged; this job was rebuilt from its status file.", level="warning")
    async with journal.turn:
        for job in await journal.snapshots.read_all():
            await journal.record(job, lost)
            if job.status in TERMINAL:
                journal.live.pop(job.job_id, None)
    LOG.warning("the jobs were rebuilt from the status files")


def _sweep(layout: Layout, live: set[str]) -> None:
    """Remove half-made files, and the checkpoints of jobs whose record says that nothing is kept."""
    layout.models_dir.mkdir(parents=True, exist_ok=True)
    layout.checkpoints_dir.mkdir(parents=True, exist_ok=True)
    sweep_temporaries(layout.models_dir)
    for folder in layout.checkpoints_dir.iterdir():
        if folder.name not in live and not (layout.jobs_dir / f"{folder.name}.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
