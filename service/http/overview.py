"""What somebody who watches all jobs is shown first: the server, who waits, and the jobs in short, page by page.

Messages of the websocket, encoded; made of what the service says. Called by `http.ws`.
"""

import msgspec

from traind.service.http.context import VERSION
from traind.service.http.telemetry import ROLE
from traind.service.jobs.summary import summary
from traind.service.service import TrainingService

FIRST_JOBS = 200
MORE_JOBS = 500
_encode = msgspec.json.Encoder().encode


async def snapshot(service: TrainingService) -> bytes:
    """Return the server, the queue, the newest jobs and all that a worker has; `next` is where the others begin."""
    page = await service.jobs(limit=FIRST_JOBS)
    shown = {job.job_id for job in page.jobs}
    active = [job for job in service.active() if job.job_id not in shown and job.study_id is None]
    queue = service.queue()
    return _encode(
        {
            "type": "snapshot",
            "server": {
                "version": VERSION,
                "role": ROLE.get(),
                "started_at": service.started_at,
                "slots": queue["slots"],
                "has_cluster": service.health()["cluster"] is not None,
            },
            "queue": queue,
            "jobs": [summary(job) for job in [*page.jobs, *active]],
            "next": page.next,
        }
    )


async def older(service: TrainingService, after: int) -> bytes:
    """Return the jobs in short after `next` of the message before."""
    page = await service.jobs(limit=MORE_JOBS, after=after)
    return _encode({"type": "older", "jobs": [summary(job) for job in page.jobs], "next": page.next})
