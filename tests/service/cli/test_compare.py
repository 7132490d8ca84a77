"""`traind compare`: what jobs differ in, the best first; and what it needs of them, without a server."""

import json
from typing import Any

import msgspec
import pytest

from traind.service.cli.compare import _compared, _decisive, _table
from traind.service.cli.entry import run
from traind.service.client.synchronous import SyncClient
from traind.service.jobs.job import Job, scores
from traind.trainer.contract.spec import TrainSpec

SMALL = {"epochs": 1, "synthetic": {"rows": 200, "columns": 3}, "batch_size": 64}


def job(job_id: str, metrics: dict[str, float], **spec: Any) -> Job:
    made = msgspec.convert(spec, TrainSpec)
    return Job(job_id=job_id, created_at=1.0, spec=made, metrics={"validation": metrics})


def test_the_best_comes_first_whichever_direction_that_is_and_what_has_no_value_last() -> None:
    jobs = [job("poor", {"r2": 0.2}), job("other", {"rmse": 1.0}), job("good", {"r2": 0.9})]
    assert _decisive(jobs) == "r2"
    told = _compared(jobs, "r2", is_higher=True)
    assert [one["job_id"] for one in told["jobs"]] == ["good", "poor", "other"]
    assert _compared(jobs, "rmse", is_higher=False)["jobs"][0]["job_id"] == "other"
    heads, rows = _table(told)
    assert heads == ["job", "name", "status", "r2", "rmse"]
    assert rows[-1] == ["other", "", "QUEUED", "", "1"]


def test_a_trainer_that_names_no_best_epoch_is_compared_by_what_it_reported() -> None:
    own = msgspec.structs.replace(job("own", {}), metrics={"bleu": 3.0, "note": "good", "sizes": {"a": 1}})
    assert scores(own) == {"bleu": 3.0}
    assert scores(job("built in", {"rmse": 1.0})) == {"rmse": 1.0}


def test_a_long_name_leaves_room_for_what_is_compared() -> None:
    named = msgspec.structs.replace(job("a", {}, lr=0.1), name="n" * 200)
    _, rows = _table(_compared([named, job("b", {}, lr=0.2)], "rmse", is_higher=False))
    assert rows[0][1] == "n" * 59 + "…"


def test_only_what_differs_is_told_also_where_one_has_no_such_field() -> None:
    mlp = job("a", {}, lr=0.1, model={"kind": "mlp", "hidden": [8]})
    linear = job("b", {}, lr=0.1, model={"kind": "linear"})
    told = _compared([mlp, linear], "val_loss", is_higher=False)
    assert {"model", "model.hidden"} <= set(told["differ_in"])
    assert "lr" not in told["differ_in"]
    assert told["jobs"][1]["settings"]["model.hidden"] is None
    own = msgspec.structs.replace(mlp, report={"recipe": "of my own", "schema": 3})
    assert _compared([own, own], "val_loss", is_higher=False)["differ_in"] == []


def test_jobs_and_trials_of_a_real_server(server: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def printed(*arguments: str, code: int = 0) -> str:
        assert run(["compare", *arguments, "--server", server.url]) == code
        told = capsys.readouterr()
        return told.err if code else told.out

    client = SyncClient(server.url)
    for lr in (0.001, 0.1):
        client.wait(client.submit(**SMALL, lr=lr, job_id=f"compared-{lr}".replace(".", "-")).job_id)
    space = {"lr": {"low": 1e-3, "high": 1e-1, "log": True}}
    fields = {"spec": SMALL, "space": space, "trials": 2, "ensemble": False}
    for number in ("first", "second"):
        study = client.submit_study(**fields, name=f"compared {number}", study_id=f"compared-{number}")
        client.wait_study(study.study_id)
    assert "lr" in printed("compared-0-001", "compared-0-1").splitlines()[0]
    told = json.loads(printed("--study", "compared first", "--json"))
    assert {one["job_id"] for one in told["jobs"]} == {"compared-first_0", "compared-first_1"}
    assert told["differ_in"] == ["lr"]
    values = [one["metrics"]["val_loss"] for one in told["jobs"]]
    assert values == sorted(values)
    assert "two jobs" in printed("compared-0-1", code=1)
    assert "no study 'unknown'" in printed("--study", "unknown", code=1)
