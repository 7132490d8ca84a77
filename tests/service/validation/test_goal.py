"""A metric of the wrong task is refused where it is asked for, as surely as the trainer would refuse it later."""

import asyncio
import json
from pathlib import Path

import pytest

from traind.data.columns.infer_schema import infer_schema
from traind.data.columns.profile import profile
from traind.data.columns.request import Request
from traind.data.describe import describe_request
from traind.data.errors import BadTable
from traind.data.reading.formats import parse_format
from traind.data.reading.raw_table import read_table
from traind.service.errors import InvalidSpec
from traind.service.service import TrainingService
from traind.service.validation.goal import check_monitor, goal_of
from traind.service.validation.memory_budget import Known
from traind.trainer.contract.spec import TrainSpec

COLUMNS = {
    "number": lambda n: f"{n * 0.37 % 11:.2f}",
    "few whole numbers": lambda n: str(n % 7),
    "few fractions": lambda n: f"{n % 7}.5",
    "two numbers": lambda n: f"{n % 2}.5",
    "with gaps": lambda n: "" if n % 3 else str(n * 1.5),
    "with a word": lambda n: "none" if n == 5 else str(n * 1.5),
    "money": lambda n: f"${n * 13 % 997}.00",
    "zip": lambda n: f"{98000 + n % 90:05d}",
    "id": str,
    "yes or no": lambda n: "yes" if n % 3 else "no",
    "words": lambda n: "abcdefg"[n % 7],
    "day": lambda n: f"2024-01-{n % 28 + 1:02d}",
    "free text": lambda n: f"the {n} brown foxes jump over {n * 7} dogs",
    "constant": lambda _: "x",
    "empty": lambda _: "",
}


def test_the_goal_is_what_the_trainer_infers(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [",".join(make(n) for make in COLUMNS.values()) for n in range(400)]
    path.write_text("\n".join([",".join(COLUMNS), *rows]))
    described = describe_request({"path": str(path), "format": None})
    known = Known(described["n_rows"], described["columns"])
    form = parse_format(described["format"])
    found, inferred = {}, {}
    for name in COLUMNS:
        found[name] = goal_of(TrainSpec(dataset="t", target=name), known)
        profiles = profile(read_table(path, form, 1), lambda one, name=name: one == name, 1)
        try:
            task = infer_schema(profiles, Request(target=name), form.options).task
            inferred[name] = "regression" if task == "regression" else "classes"
        except BadTable:
            inferred[name] = None
    wrong = {name: (goal, inferred[name]) for name, goal in found.items() if inferred[name] not in (None, goal)}
    assert not wrong
    assert set(found.values()) == {"regression", "classes", None}


@pytest.mark.parametrize(
    ("fields", "monitor", "is_refused"),
    [
        ({}, "accuracy", True),
        ({}, "rmse", False),
        ({"dataset": "d", "target": "y"}, "accuracy", True),
        ({"dataset": "d"}, "accuracy", True),
        ({"dataset": "d", "target": "c"}, "r2", True),
        ({"dataset": "d", "target": "c"}, "auc", False),
        ({"dataset": "d", "target": "old"}, "auc", False),
        ({"dataset": "d", "target": "y", "columns": {"y": "categorical"}}, "auc", False),
        ({"dataset": "d", "target": "c", "columns": {"c": "numeric"}}, "auc", True),
        ({"dataset": "d", "target": "y", "task": "multiclass"}, "rmse", True),
        ({"trainer": "mine"}, "accuracy", False),
    ],
)
def test_a_metric_of_the_other_task_is_refused_by_field(fields: dict, monitor: str, is_refused: bool) -> None:
    columns = [{"name": "old"}, {"name": "c", "as_target": "classes"}, {"name": "y", "as_target": "regression"}]
    spec = TrainSpec(monitor=monitor, **fields)
    if not is_refused:
        check_monitor(spec, Known(9, columns))
        return
    with pytest.raises(InvalidSpec) as refused:
        check_monitor(spec, Known(9, columns))
    (detail,) = refused.value.details
    assert detail["loc"] == "monitor"
    assert monitor in detail["msg"]


async def test_a_data_set_of_an_older_version_is_looked_at_once_its_goal_decides(tmp_path: Path) -> None:
    """Its summary says nothing of targets: what a job asks for by another metric than the loss depends on that."""
    async with TrainingService(root=tmp_path, slots=1) as service:
        await service.put_dataset("old", [{"a": n % 7, "c": "xy"[n % 2], "y": n * 1.5} for n in range(60)])
        (meta,) = tmp_path.rglob("meta.json")
        kept = json.loads(meta.read_bytes())
        now = [column.pop("as_target") for column in kept["summary"]["columns"]]
        meta.write_text(json.dumps(kept))
        spec = {"dataset": "old", "target": "y"}
        await service.cancel((await service.submit(spec)).job_id)
        assert meta.read_text() == json.dumps(kept)
        refused = await asyncio.gather(
            service.submit({**spec, "monitor": "f1"}),
            service.submit({**spec, "target": "c", "monitor": "rmse"}),
            service.submit_study(spec=spec, metric="accuracy", trials=2),
            return_exceptions=True,
        )
        assert [error.details[0]["loc"] for error in refused] == ["monitor", "monitor", "metric"]
        described = (await service.dataset("old")).summary["columns"]
        assert [column["as_target"] for column in described] == now == ["regression", "classes", "regression"]
        for column in kept["summary"]["columns"]:
            column.pop("as_target", None)
        meta.write_text(json.dumps(kept))
        next(meta.parent.glob("data.*")).unlink()
        job = await service.submit({**spec, "monitor": "f1"})  # the file is gone: the job says so
        assert (await service.wait(job.job_id)).error.code == "data_error"


async def test_a_job_and_a_study_with_such_a_metric_are_not_accepted(tmp_path: Path) -> None:
    async with TrainingService(root=tmp_path, slots=1) as service:
        rows = [{"a": n % 7, "y": n * 1.5} for n in range(60)]
        await service.put_dataset("numbers", rows)
        spec = {"dataset": "numbers", "target": "y"}
        with pytest.raises(InvalidSpec) as job:
            await service.submit({**spec, "monitor": "f1"})
        with pytest.raises(InvalidSpec) as study:
            await service.submit_study(spec=spec, metric="accuracy", trials=2)
        assert [error.value.details[0]["loc"] for error in (job, study)] == ["monitor", "metric"]
