"""Start-up: settle what the last server left, before anything runs or is answered.

In this order: a lost database is rebuilt (`rebuild`), damaged records are rebuilt, workers that outlived the last
server are adopted or ended, jobs whose worker is gone go back to the queue (or to the state that was requested).
Checks that can wait are in `integrity`.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping

import msgspec

from traind.service.errors import StoreFailed
from traind.service.executor.base import Executor, Worker
from traind.service.jobs.job import ACTIVE, TERMINAL, Job
from traind.service.jobs.outcomes import after_restart
from traind.service.record.database import is_damage
from traind.service.record.journal import Journal
from traind.service.recovery.checkpoint_files import last_checkpoint, unreported_checkpoint
from traind.service.recovery.rebuild import rebuild
from traind.service.recovery.root_identity import Root
from traind.service.settings import Layout
from traind.trainer.contract.events import Log

LOG = logging.getLogger(__name__)


async def rescue(journal: Journal, layout: Layout, executor: Executor) -> list[tuple[Job, Worker]]:
    """Bring every job into its true state, and return the jobs that go on with the worker they had.

    It may be killed at any point and run again.
    """
    await asyncio.to_thread(layout.disk.sweep, layout.models_dir)
    await asyncio.to_thread(layout.disk.make_dir, layout.checkpoints_dir)
    root = await asyncio.to_thread(Root, layout.root, layout.identity_path)
    if (story := root.story()) is not None:
        LOG.warning("%s", story)
    if journal.store.is_lost or (journal.store.is_new and await journal.status_files.names()):
        await rebuild(journal)
    elif journal.store.is_new:  # a fresh root
        await journal.store.make()
    try:
        adopted = await _take_over(journal, layout, executor if root.is_own else None)
    except StoreFailed as error:
        if not is_damage(error.__cause__):
            raise
        await rebuild(journal, error.message)  # damage that the quick check did not see
        adopted = await _take_over(journal, layout, executor if root.is_own else None)
    await asyncio.to_thread(root.note)
    return adopted


async def mend(journal: Journal, damaged: Mapping[str, int]) -> list[Job]:
    """Replace damaged records by status files, and return those of these jobs that are unfinished."""
    warning = Log(message="The record of this job was damaged; it is rebuilt from its status file.", level="warning")
    mended = []
    for job_id, seq in damaged.items():
        async with journal.turn:
            job = await journal.status_files.read(job_id)
            if job is None:
                LOG.error("the record of job %s is damaged, and so is its status file: it cannot be shown", job_id)
                continue
            LOG.warning("the record of job %s is damaged; it is rebuilt from its status file", job_id)
            mended.append(await journal.record(msgspec.structs.replace(job, seq=max(seq, job.seq)), warning))
    return [job for job in mended if job.status not in TERMINAL]


async def settle(journal: Journal, layout: Layout, jobs: Iterable[Job]) -> None:
    """Settle jobs that were unfinished when the last server ended; those in `ACTIVE` have no worker any more."""
    async with journal.turn:
        for was in jobs:
            job = journal.live.get(was.job_id)
            if job is None:  # it was queued and has been cancelled since
                continue
            if was.status in ACTIVE:
                # a worker without a server may have written it
                found = await asyncio.to_thread(last_checkpoint, layout, job.job_id)
                unreported = unreported_checkpoint(job, found)
                await journal.record(job, *unreported, after_restart(job, has_checkpoint=found is not None))
            else:
                journal.status_files.entered(job)


async def _take_over(journal: Journal, layout: Layout, executor: Executor | None) -> list[tuple[Job, Worker]]:
    """Mend, adopt and settle what the last server left; without an executor its workers belong to another root."""
    await mend(journal, await journal.store.damaged(of_all=journal.store.is_checked))
    unfinished = await journal.store.unfinished()
    journal.live |= {job.job_id: job for job in unfinished}
    adopted: dict[str, Worker] = {}
    for leftover in await journal.store.workers():
        job = journal.live.get(leftover.job_id)
        attempt_dir = layout.attempt_dir(leftover.job_id, leftover.attempt)
        is_at_work = job is not None and job.status in ACTIVE and job.attempt == leftover.attempt
        if executor is not None:
            if is_at_work and (worker := await executor.adopt(leftover, attempt_dir)) is not None:
                adopted[leftover.job_id] = worker
                continue
            if await executor.end_leftover(leftover):
                LOG.warning("a worker of job %s outlived its server and was killed", leftover.job_id)
        await journal.store.worker_ended(leftover.job_id, leftover.attempt)
    await settle(journal, layout, [job for job in unfinished if job.job_id not in adopted])
    return [(journal.live[job_id], worker) for job_id, worker in adopted.items()]
