"""A host that forks: it opens a service, starts a job, and has processes of its own that outlive it.

Says their pids and the worker's as JSON, and waits to be killed.
"""

import asyncio
import json
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from traind import Progress, TrainingService


async def main(root: str) -> None:
    async with TrainingService(root=root, slots=1) as service:
        job = await service.submit(epochs=100_000, job_id="long", checkpoint_every=0.2)
        fork = multiprocessing.get_context("fork")
        child = fork.Process(target=time.sleep, args=(600,))
        child.start()
        pool = ProcessPoolExecutor(1, mp_context=fork)
        pool.submit(time.sleep, 600)
        async for event in service.watch(job.job_id):
            if isinstance(event, Progress):
                break
        late = fork.Process(target=time.sleep, args=(600,))
        late.start()
        own = [child.pid, late.pid, *(pool._processes or {})]
        pid = (await service.status(job.job_id)).pid
        sys.stdout.write(json.dumps({"own": own, "worker": pid}) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


asyncio.run(main(sys.argv[1]))
