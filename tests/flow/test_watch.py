"""Watchers that come at any moment, the job's last one above all."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from traind import TrainingService

pytestmark = pytest.mark.anywhere
TINY = {"epochs": 2, "batch_size": 16, "synthetic": {"rows": 200}, "report_every": 1}


async def test_whoever_comes_at_whatever_moment_sees_each_event_once_and_the_end(
    tmp_path: Path, open_root: Callable[..., TrainingService]
) -> None:
    """What is written but not told yet is shown to nobody: neither on a page nor to a watcher."""
    async with open_root(root=tmp_path, slots=2) as service:
        for _ in range(5):
            job = await service.submit(TINY)
            watchers: list[asyncio.Task[list[int]]] = []
            while (await service.status(job.job_id)).finished_at is None:
                page = await service.events(job.job_id)
                assert json.loads(page.events[-1])["seq"] == page.last_seq
                if len(watchers) < page.last_seq:
                    watchers.append(asyncio.create_task(_seen(service, job.job_id)))
            last = (await service.status(job.job_id)).seq
            async with asyncio.timeout(30):
                for seen in await asyncio.gather(*watchers):
                    assert seen == list(range(1, last + 1))


async def _seen(service: TrainingService, job_id: str) -> list[int]:
    return [event.seq async for event in service.watch(job_id)]
