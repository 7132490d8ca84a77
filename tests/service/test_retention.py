"""What is kept of jobs that are over, and what of their checkpoints."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import torch

from traind.service.service import TrainingService
from traind.trainer.contract.events import State, Status
from traind.trainer.run.run import Run

SMALL = {"epochs": 1, "batch_size": 64, "synthetic": {"rows": 200, "columns": 2}}
PINS = {"pins": f"{Path(__file__).stem}:pin"}


def pin(run: Run[dict[str, int]]) -> None:
    """Save each step, pin the second; leave early in the first attempt."""
    state = run.restore()
    for step in range(1 if state is None else state["step"] + 1, 9):
        run.report(step=step, total=8, loss=1.0)
        run.save({"step": step}, is_pinned=step == 2)
        if run.should_stop() or (step == 5 and run.place.attempt == 1):
            raise ValueError("once")
    run.finish({"weights": {"w": torch.zeros(1)}})


async def test_finished_jobs_over_the_count_go_but_not_those_that_an_alias_names(
    tmp_path: Path, open_root: Callable[..., TrainingService]
) -> None:
    async with open_root(root=tmp_path, slots=1) as service:
        for name in ("oldest", "named", "older", "newest"):
            await service.submit(SMALL, job_id=name)
            await service.wait(name)
        await service.set_alias("live", "named")
    async with open_root(root=tmp_path, slots=1, keep_finished=1) as service:
        while len((await service.jobs()).jobs) > 2:  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # the first sweep is at the start
        assert [job.job_id for job in (await service.jobs()).jobs] == ["newest", "named"]
        assert (await service.predict("live", [{"x1": 1.0, "x2": 0.0}])).predictions
    assert sorted(path.stem for path in (tmp_path / "models").iterdir()) == ["named", "newest"]
    assert sorted(path.name for path in (tmp_path / "artifacts/checkpoints").iterdir()) == ["named", "newest"]


async def test_a_pinned_checkpoint_outlives_its_attempt(
    tmp_path: Path, monkeypatch, open_root: Callable[..., TrainingService]
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    async with open_root(root=tmp_path, slots=1, trainers=PINS, keep_checkpoints=1) as service:
        await service.submit({"trainer": "pins"}, job_id="a")
        assert (await service.wait("a")).status is Status.FAILED
        await service.resume("a")
        job = await service.wait("a")
        assert (job.status, job.resumed_from_step) == (Status.COMPLETED, 5)
        states = [event async for event in service.watch("a") if isinstance(event, State)]
        assert [state.attempt for state in states if state.status is Status.STARTING] == [1, 2]
    kept = (tmp_path / "artifacts/checkpoints/a").glob("attempt-*/checkpoint-*.pt")
    assert sorted(f"{path.parent.name} {path.stem[-1]}" for path in kept) == [
        "attempt-1 2",
        "attempt-1 5",
        "attempt-2 3",
    ]


async def test_a_job_can_be_deleted_as_soon_as_it_is_over(
    tmp_path: Path, open_root: Callable[..., TrainingService]
) -> None:
    async with open_root(root=tmp_path, slots=1) as service:
        job = await service.submit(SMALL | {"epochs": 100_000})
        async for event in service.watch(job.job_id):
            if isinstance(event, State) and event.status is Status.RUNNING:
                await service.cancel(job.job_id)
        await service.delete(job.job_id)
        assert (await service.jobs()).jobs == []
