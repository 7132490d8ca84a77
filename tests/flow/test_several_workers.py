"""Jobs of several workers: the model is that of one, and whatever happens to one of them happens to the job."""

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from traind import Checkpoint, Epoch, InvalidSpec, Log, Progress, State, Status, TrainingService, load_model
from traind.service.jobs.job import Job

HERE = Path(__file__).parent
NETWORK = {"kind": "mlp", "hidden": [16], "dropout": 0.1}
SPEC: dict[str, Any] = {"synthetic": {"rows": 500}, "batch_size": 33, "model": NETWORK, "checkpoint_every": 0}
MANY = 3 if os.environ.get("TRAIND_EXECUTOR") == "ray" else 2  # there on several nodes, which have two cores each
UNENDING = SPEC | {"workers": MANY, "epochs": 100_000, "patience": None}


@pytest.fixture
def service(tmp_path: Path, open_root: Callable[..., TrainingService]) -> TrainingService:
    """A service for two workers at a time."""
    trainer = f"{HERE / 'parallel_trainers.py'}:train"
    return open_root(tmp_path, slots=3, hang_s=5.0, trainers={"parallel": trainer})


async def trained(service: TrainingService, **fields: Any) -> Job:
    return await service.wait((await service.submit(**fields)).job_id)


async def until(service: TrainingService, job_id: str, kind: type[Any]) -> Any:
    async for event in service.watch(job_id):
        if isinstance(event, kind):
            return event
    raise AssertionError("the job ended first")


async def losses(service: TrainingService, job: Job) -> list[float | None]:
    events = [event async for event in service.watch(job.job_id)]
    return [loss for event in events if isinstance(event, Epoch) for loss in (event.train_loss, event.val_loss)]


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(NETWORK, marks=pytest.mark.anywhere_long),
        {"kind": "auto"},
        {"kind": "tabm", "hidden": [8], "k": 2},
    ],
)
async def test_the_loss_is_that_of_one_worker(model: dict[str, Any], service: TrainingService) -> None:
    """With dropout, members, batches that do not divide by the workers, and a last one shorter than they are many."""
    async with service as running:
        one, three, again = [
            await trained(running, **SPEC | {"model": model, "workers": workers, "epochs": 2})
            for workers in (1, 3, 3)
        ]
        assert (one.status, three.status) == (Status.COMPLETED, Status.COMPLETED), three.error
        assert await losses(running, three) == pytest.approx(await losses(running, one), abs=1e-5)
        assert three.weights_digest == again.weights_digest
        assert three.model is not None


@pytest.mark.parametrize(
    "which", [pytest.param(0, marks=pytest.mark.anywhere_long), pytest.param(1, marks=pytest.mark.anywhere)]
)
async def test_the_death_of_any_ends_and_resumes_the_attempt(
    which: int, service: TrainingService, workers_of: Callable[[str], list[int]]
) -> None:
    async with service as running:
        undisturbed = await trained(running, **SPEC, workers=MANY, epochs=30, patience=None)
        job = await running.submit(**SPEC, workers=MANY, epochs=30, patience=None)
        await until(running, job.job_id, Checkpoint)
        os.kill(workers_of(job.job_id)[which], signal.SIGKILL)
        done = await running.wait(job.job_id)
        events = [event async for event in running.watch(job.job_id)]
    assert (done.status, done.attempt, done.crashes) == (Status.COMPLETED, 2, 1), done.error
    assert done.weights_digest == undisturbed.weights_digest
    words = [event.message for event in events if isinstance(event, State)]
    assert any(re.search(f"(rank [12] of {MANY}|worker) was killed by SIGKILL", message) for message in words), words


@pytest.mark.anywhere_long
async def test_all_heed_what_is_asked_at_the_same_step(service: TrainingService) -> None:
    async with service as running:
        job = await running.submit(**UNENDING)
        await until(running, job.job_id, Progress)
        changed = await running.control(job.job_id, lr=0.002, epochs=50_000)
        assert changed.step is not None
        await running.pause(job.job_id)
        async for event in running.watch(job.job_id):
            if isinstance(event, State) and event.status is Status.PAUSED:
                paused = event.seq
                break
        await running.resume(job.job_id)
        async for event in running.watch(job.job_id, paused):
            if isinstance(event, Epoch):
                break
        await running.stop(job.job_id)
        stopped = await running.wait(job.job_id)
    assert (stopped.status, stopped.crashes, stopped.epochs) == (Status.STOPPED, 0, 50_000)
    assert stopped.bit_exact is not False
    assert stopped.model is not None


@pytest.mark.anywhere_long
async def test_a_trainer_of_ones_own_finds_a_world_that_is_ready(service: TrainingService) -> None:
    async with service as running:
        options = {"how": "wrapped"}
        one, two = [await trained(running, trainer="parallel", workers=each, options=options) for each in (1, 2)]
        logs = [event.message async for event in running.watch(two.job_id) if isinstance(event, Log)]
        weights = [load_model(running.layout.model_path(job.job_id)).content["weights"] for job in (one, two)]
    assert (one.status, two.status) == (Status.COMPLETED, Status.COMPLETED), two.error
    torch.testing.assert_close(weights[0], weights[1])
    assert {"rank 0 of 2 is through", "rank 1: rank 1 of 2 is through"} <= set(logs)


@pytest.mark.anywhere
async def test_what_one_raises_is_the_jobs_error(service: TrainingService) -> None:
    async with service as running:
        job = await trained(running, trainer="parallel", workers=MANY, options={"how": "raise"})
    assert (job.status, job.crashes) == (Status.FAILED, 0)
    assert job.error is not None
    assert job.error.message.startswith(f"Rank {MANY - 1} of {MANY}: The trainer raised ValueError: a bad row")


@pytest.mark.anywhere_long
async def test_all_may_end_as_scripts_do(service: TrainingService) -> None:
    async with service as running:
        job = await trained(running, trainer="parallel", workers=MANY, options={"how": "exit"})
    assert (job.status, job.attempt) == (Status.COMPLETED, 1), job.error


@pytest.mark.anywhere_long
async def test_one_that_leaves_has_the_attempt_tried_again(service: TrainingService) -> None:
    async with service as running:
        job = await trained(running, trainer="parallel", workers=MANY, options={"how": "leave"})
    assert (job.status, job.attempt, job.crashes) == (Status.COMPLETED, 2, 1), job.error


@pytest.mark.anywhere_long
@pytest.mark.faults
async def test_one_that_hangs_is_a_hang_of_the_job_and_its_stack_is_kept(service: TrainingService) -> None:
    async with service as running:
        job = await trained(running, trainer="parallel", workers=MANY, options={"how": "hang"}, max_attempts=1)
        stacks = (running.layout.attempt_dir(job.job_id, 1) / "stacks.txt").read_text()
    assert job.status is Status.FAILED
    assert "go_wrong" in stacks


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"workers": 4}, "workers"),
        ({"workers": 2, "model": {"kind": "trees"}}, "workers"),
        ({"workers": 2, "model": {"kind": "blend"}}, "workers"),
        ({"workers": 2, "model": {"kind": "ensemble", "jobs": ["job_1"]}}, "workers"),
        ({"workers": 3, "batch_size": 2}, "batch_size"),
        ({"workers": 2, "device": "cuda:1"}, "device"),
        ({"workers": 2, "gpus": 3}, "gpus"),
        ({"workers": 2, "cpus": 1}, "cpus"),
        ({"cpus": 4}, "cpus"),
        ({"gpus": 1, "device": "cpu"}, "gpus"),
        ({"memory": 2**49}, "memory"),
        ({"workers": 0}, "workers"),
        ({"workers": 65}, "workers"),
    ],
)
async def test_what_cannot_be_had_is_refused_by_its_field(
    fields: dict[str, Any], field: str, service: TrainingService
) -> None:
    async with service as running:
        with pytest.raises(InvalidSpec) as refused:
            await running.submit(**fields)
    assert field in {detail["loc"] for detail in refused.value.details}
