"""What stories of jobs have in common."""

import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from traind import Checkpoint, Client, Status
from traind.service.jobs.job import Job

Twice = Callable[[Client, dict[str, Any]], Awaitable[tuple[Job, Job]]]


@pytest.fixture
def twice() -> Twice:
    """Run a spec undisturbed, then with its worker killed after a checkpoint; both end well and make one model."""

    async def run(client: Client, spec: dict[str, Any]) -> tuple[Job, Job]:
        undisturbed = await client.wait((await client.submit(spec)).job_id)
        assert undisturbed.status is Status.COMPLETED, undisturbed.error
        job = await client.submit(spec)
        async for event in client.watch(job.job_id):
            if isinstance(event, Checkpoint):
                break
        pid = (await client.status(job.job_id)).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        done = await client.wait(job.job_id)
        assert (done.status, done.attempt) == (Status.COMPLETED, 2), done.error
        assert done.weights_digest == undisturbed.weights_digest is not None
        return undisturbed, done

    return run
