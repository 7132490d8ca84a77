"""A running job's settings over HTTP: changed at a step that is said, refused by field, and handed on to children."""

import contextlib

import pytest


@pytest.fixture
def running(call, until, endless):
    @contextlib.asynccontextmanager
    async def run():
        job_id = await call.train(**endless, schedule="cosine")
        await until(job_id, type="progress")
        try:
            yield job_id
        finally:
            await call.service.cancel(job_id)

    return run


async def test_the_answer_says_at_which_step_and_so_does_the_status(call, running):
    async with running() as job_id:
        answered = await call.post("/api/train/control", {"job_id": job_id, "lr": 0.0003, "patience": None})
        assert answered.status == 200
        assert (answered.json["number"], answered.json["status"]) == (1, "RUNNING")
        (change,) = (await call.get(f"/api/train/status?job_id={job_id}")).json["status"]["changes"]
        assert {name: change[name] for name in ("lr", "patience", "step")} == {
            "lr": 0.0003,
            "patience": None,
            "step": answered.json["step"],
        }
        assert answered.json["step"] > 0
        done = await call.service.control(job_id, epochs=50_000)
        assert (done.number, (await call.service.status(job_id)).epochs) == (2, 50_000)


@pytest.mark.parametrize(
    ("change", "field"),
    [({"lr": 0}, "lr"), ({"lr": "auto"}, "lr"), ({"epochs": 0}, "epochs"), ({"batch_size": 4}, "batch_size")],
)
async def test_what_makes_no_sense_is_refused_by_field(call, running, change, field):
    async with running() as job_id:
        refused = await call.post("/api/train/control", {"job_id": job_id, **change})
        assert (refused.status, refused.error["code"]) == (422, "validation_failed")
        assert [one["loc"] for one in refused.error["details"]] == [field]


async def test_a_job_that_does_not_run_takes_no_changes(call, done, running):
    async with running() as job_id:
        over = await call.post("/api/train/control", {"job_id": done, "lr": 0.1})
        assert (over.status, over.error["code"], over.error["details"][0]["loc"]) == (409, "job_finished", "lr")
        absent = await call.post("/api/train/control", {"job_id": "nobody", "lr": 0.1})
        assert absent.status == 404
        await call.service.pause(job_id)
        async for event in call.service.watch(job_id):
            if getattr(event, "status", None) == "PAUSED":
                break
        paused = await call.post("/api/train/control", {"job_id": job_id, "lr": 0.1})
        assert (paused.status, paused.error["code"]) == (409, "job_not_running")
        passed = await call.post("/api/train/resume", {"job_id": job_id, "epochs": 1})
        if (await call.service.status(job_id)).epoch > 1:
            assert passed.error["details"][0]["loc"] == "epochs"


async def test_a_child_repeats_the_changes_or_takes_over_what_they_led_to(call, until):
    spec = {"epochs": 400, "synthetic": {"rows": 2_000, "columns": 3}, "batch_size": 16, "checkpoint_every": 0.05}
    parent = await call.train(**spec, schedule="cosine")
    await until(parent, type="checkpoint")
    await call.service.control(parent, lr=0.0002, epochs=3 + (await call.service.status(parent)).epoch)
    made = await call.service.wait(parent)
    same = await call.train(epochs="auto", synthetic=None, start_from={"job_id": parent})
    job = await call.service.wait(same)
    assert (job.status, job.weights_digest) == ("COMPLETED", made.weights_digest)
    assert job.changes == made.changes
    start = {"job_id": parent, "keep": "weights"}
    other = await call.train(epochs=2, synthetic=None, start_from=start)
    job = await call.service.wait(other)
    assert (job.spec.lr, job.spec.epochs, job.changes) == (0.0002, 2, [])


@pytest.mark.parametrize("kind", ["trees", "blend"])
async def test_a_job_of_trees_cannot_be_started_from(call, kind):
    fields = {"epochs": 1, "synthetic": {"rows": 60, "columns": 2}, "model": {"kind": kind}}
    parent = await call.trained(**fields)
    refused = await call.post("/api/train", {"start_from": {"job_id": parent}})
    assert refused.status == 422
    assert refused.error["details"][0]["loc"] == "start_from.job_id"
    assert "trees" in refused.error["details"][0]["msg"]
