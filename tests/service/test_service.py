"""The service as a program meets it: what is refused, what is the same job, what a deletion does to a watcher."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from traind.data.errors import DatasetNotFound
from traind.service.errors import IdTaken, InvalidSpec, JobNotFound
from traind.service.service import TrainingService

SMALL = {"epochs": 1, "synthetic": {"rows": 200, "columns": 2}}


@pytest.fixture
async def service(tmp_path: Path, open_root: Callable[..., TrainingService]) -> AsyncIterator[TrainingService]:
    async with open_root(root=tmp_path / "root", slots=1) as service:
        yield service


async def test_columns_that_made_data_does_not_have_are_refused(service: TrainingService) -> None:
    with pytest.raises(InvalidSpec) as refused:
        await service.submit({**SMALL, "target": "nope", "features": ["x1", "x3"]})
    assert [problem["loc"] for problem in refused.value.details] == ["target", "features.1"]
    assert (await service.jobs()).jobs == []


async def test_the_same_submit_is_the_same_job_whatever_happened_since(service: TrainingService) -> None:
    await service.put_dataset("t", [{"a": n % 5, "y": 2.0 * n} for n in range(60)])
    spec = {"dataset": "t", "target": "y", "epochs": 1}
    first = await service.submit(spec, job_id="one")
    await service.wait("one")
    await service.resume("one", epochs=2)
    await service.wait("one")
    await service.delete_dataset("t")
    again = await service.submit(spec, job_id="one")
    assert (again.job_id, again.created_at, again.epoch) == ("one", first.created_at, 2)
    with pytest.raises(IdTaken):
        await service.submit({**spec, "epochs": 3}, job_id="one")
    with pytest.raises(DatasetNotFound):
        await service.submit(spec, job_id="two")


async def test_a_watcher_of_a_job_that_is_deleted_is_told(service: TrainingService) -> None:
    spec = {"epochs": 150, "batch_size": 4, "synthetic": {"rows": 20, "columns": 1}}
    job = await service.submit(spec)
    done = await service.wait(job.job_id)
    assert done.seq > 110
    watched = service.watch_bytes(job.job_id)
    assert (await anext(watched))[0] == 1
    await service.delete(job.job_id)
    with pytest.raises(JobNotFound, match="deleted"):
        async for _ in watched:
            pass
    assert (await service.jobs()).jobs == []


async def test_files_are_put_where_they_are_wanted_and_uploads_say_how_far_they_are(
    service: TrainingService, tmp_path: Path
) -> None:
    heard: list[tuple[int, int | None]] = []
    table = "a,y\n" + "".join(f"{n % 5},{2 * n}\n" for n in range(60))
    await service.put_dataset("t", table.encode(), "csv", on_progress=lambda *now: heard.append(now))
    assert heard[-1] == (len(table), len(table))
    done = await service.wait((await service.submit(dataset="t", epochs=1)).job_id)
    model = await service.model_path(done.job_id, to=tmp_path / "mine.pt")
    assert model == tmp_path / "mine.pt"
    assert model.read_bytes() == (await service.model_path(done.job_id)).read_bytes()
    exported = await service.export(done.job_id, "safetensors", to=tmp_path / "mine.safetensors")
    assert exported == tmp_path / "mine.safetensors"
    assert exported.stat().st_size > 1_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.pt", "mine.safetensors", "root"]
    assert list(service.layout.side_dir.glob("export-*")) == []
