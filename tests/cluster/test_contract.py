"""What a job may count on holds on a cluster as on one machine, for jobs of every kind side by side."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from traind import Progress, Status, TrainingService
from traind.service.jobs.job import Job

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
HERE = Path(__file__).parent
TRAINERS = {"odd": f"{HERE / 'odd_trainers.py'}:train", "absent": f"{HERE / 'absent_trainer.py'}:train"}
SMALL: dict[str, Any] = {"synthetic": {"rows": 500}, "batch_size": 32, "epochs": 2, "checkpoint_every": 0}
UNENDING = SMALL | {"epochs": 100_000, "patience": None}
TOGETHER = SMALL | {"workers": 2, "model": {"kind": "mlp", "hidden": [16]}}
ODD: dict[str, Any] = {"trainer": "odd", "max_attempts": 1}
SPECS: dict[str, dict[str, Any]] = {
    "plain": SMALL,
    "file": ODD | {"options": {"how": "file"}},
    "error": ODD | {"options": {"how": "raise"}},
    "absent": {"trainer": "absent"},
    "late": UNENDING | {"max_seconds": 1.0},
    "together": TOGETHER,
    "memory": ODD | {"options": {"how": "memory"}, "memory": 256 * 2**20},
}
ERRORS = {"error": "trainer_error", "absent": "trainer_error", "late": "timed_out", "memory": "out_of_memory"}


async def test_jobs_of_every_kind_end_as_on_one_machine(tmp_path: Path, ray_address: str) -> None:
    local = tmp_path / "local"
    async with TrainingService(local, slots=2) as service:
        alone = await service.wait((await service.submit(TOGETHER)).job_id)
    cluster = TrainingService(
        tmp_path / "cluster", executor="ray", ray_address=ray_address, slots=4, trainers=TRAINERS
    )
    async with cluster as service:
        impossible = await service.submit(SMALL | {"memory": 2**50})
        jobs = {name: await service.submit(spec) for name, spec in SPECS.items()}
        ends = await asyncio.gather(*[service.wait(job.job_id) for job in jobs.values()])
        done = dict(zip(jobs, ends, strict=True))
        assert {name: job.error.code for name, job in done.items() if job.error is not None} == ERRORS
        assert all(job.crashes == job.node_losses == 0 for job in done.values())
        assert done["together"].weights_digest == alone.weights_digest is not None
        assert (service.layout.files_dir(done["file"].job_id) / "notes.txt").read_text() == "kept"
        assert done["absent"].error is not None
        assert "a_package" in done["absent"].error.message
        waiting = await service.status(impossible.job_id)
        assert waiting.status is Status.QUEUED
        assert "no node with 1048576.0 GiB of memory; largest" in waiting.message
        await service.cancel(waiting.job_id)
        await makes_an_ensemble(service, done["plain"])
        await takes_changes(service)


async def makes_an_ensemble(service: TrainingService, member: Job) -> None:
    spec = SMALL | {"model": {"kind": "ensemble", "jobs": [member.job_id]}}
    made = await service.wait((await service.submit(spec)).job_id)
    assert made.status is Status.COMPLETED, made.error


async def takes_changes(service: TrainingService) -> None:
    job = await service.submit(UNENDING)
    async for event in service.watch(job.job_id):
        if isinstance(event, Progress):
            break
    assert (await service.control(job.job_id, lr=0.005)).step is not None
    await service.stop(job.job_id)
    done = await service.wait(job.job_id)
    assert (done.status, done.model is not None) == (Status.STOPPED, True)
