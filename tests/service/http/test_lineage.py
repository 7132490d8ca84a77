"""New jobs from any checkpoint of another: what they inherit, what is refused, and that each outlives the other."""

import pytest


@pytest.fixture
def small():
    return {"epochs": 4, "synthetic": {"rows": 300, "columns": 3}, "checkpoint_every": 0, "batch_size": 32}


async def test_a_child_inherits_and_makes_the_same_model(call, small):
    parent = await call.trained(**small, tags=["theirs"], name="parent")
    child = await call.train(epochs="auto", synthetic=None, start_from={"job_id": parent})
    job = await call.service.wait(child)
    made = await call.service.status(parent)
    assert (job.status, job.weights_digest) == ("COMPLETED", made.weights_digest)
    assert (job.parent.job_id, job.parent.step, job.parent.keep) == (parent, made.step, "all")
    assert (job.spec.epochs, job.spec.batch_size, job.spec.tags, job.name) == (4, 32, (), None)
    assert made.children == [child]
    assert (await call.get(f"/api/train/status?job_id={parent}")).json["status"]["children"] == [child]
    again = await call.train(epochs="auto", synthetic=None, start_from={"job_id": parent}, job_id=child)
    assert again == child


async def test_deleting_a_parent_never_harms_a_child(call, small, endless):
    parent = await call.trained(**small)
    busy = [await call.train(**endless) for _ in range(2)]  # so that the child waits
    child = await call.train(epochs=6, synthetic=None, start_from={"job_id": parent})
    assert (await call("DELETE", f"/api/train/jobs/{parent}")).status == 200
    for one in busy:
        await call.service.cancel(one)
    job = await call.service.wait(child)
    assert (job.status, job.epoch, job.resumed_from_step) == ("COMPLETED", 6, 32)


async def test_an_id_that_its_lineage_has_already_is_refused(call, small):
    await call.trained(**small, job_id="round-a")
    await call.service.wait(
        await call.train(epochs=6, synthetic=None, start_from={"job_id": "round-a"}, job_id="round-b")
    )
    await call.service.wait(
        await call.train(epochs=7, synthetic=None, start_from={"job_id": "round-b"}, job_id="round-c")
    )
    assert (await call("DELETE", "/api/train/jobs/round-a")).status == 200
    refused = await call.post("/api/train", {"epochs": 8, "start_from": {"job_id": "round-c"}, "job_id": "round-a"})
    assert (refused.status, refused.error["details"][0]["loc"]) == (422, "start_from.job_id")
    await call.service.wait(await call.train(epochs=8, synthetic=None, start_from={"job_id": "round-c"}))


async def test_every_checkpoint_that_is_kept_can_be_named_by_its_step(call, small):
    parent = await call.trained(**small)
    steps = {event["step"] for event in await events(call, parent) if event["type"] == "checkpoint"}
    assert len(steps) == 4
    answers = {}
    for step in sorted(steps):
        start = {"job_id": parent, "checkpoint": step}
        answers[step] = await call.post("/api/train", {"start_from": start})
    kept = {step for step, answered in answers.items() if answered.status == 202}
    assert len(kept) in {2, 3}
    for step, answered in answers.items():
        if step in kept:
            job = await call.service.wait(answered.json["job_id"])
            assert (job.parent.step, job.status) == (step, "COMPLETED")
        else:
            assert answered.error["details"][0]["loc"] == "start_from.checkpoint"


@pytest.mark.parametrize(
    ("changes", "loc"),
    [
        ({"model": {"kind": "linear"}}, "model"),
        ({"optimizer": "sgd"}, "optimizer"),
        ({"ignore": ["x1"]}, "ignore"),
        ({"synthetic": {"rows": 400}}, "synthetic"),
        ({"start_from": {"job_id": "no_such_job"}}, "start_from.job_id"),
        ({"start_from": {"job_id": "itself"}, "job_id": "itself"}, "start_from.job_id"),
        ({"start_from": {"job_id": "PARENT", "checkpoint": 7}}, "start_from.checkpoint"),
        ({"start_from": {"job_id": "PARENT", "checkpoint": "first"}}, "start_from.checkpoint"),
        ({"start_from": {"job_id": "PARENT", "keep": "bias"}}, "start_from.keep"),
        ({"lr": 0}, "lr"),
    ],
)
async def test_what_cannot_be_is_refused_by_field(call, done, changes, loc):
    body = {"start_from": {"job_id": done}} | changes
    if body["start_from"].get("job_id") == "PARENT":
        body["start_from"] = body["start_from"] | {"job_id": done}
    refused = await call.post("/api/train", body)
    assert (refused.status, loc in [detail["loc"] for detail in refused.error["details"]]) == (422, True), (
        refused.json
    )


async def test_epochs_that_have_passed_are_refused_by_a_start_and_by_a_resume(call, small, endless, until):
    parent = await call.trained(**small)
    refused = await call.post("/api/train", {"epochs": 2, "start_from": {"job_id": parent}})
    assert (refused.status, refused.error["details"][0]["loc"]) == (422, "epochs")
    anew = await call.post("/api/train", {"epochs": 2, "start_from": {"job_id": parent, "keep": "weights"}})
    assert anew.status == 202
    job_id = await call.train(**endless)
    await until(job_id, type="epoch", epoch=3)
    await call.service.stop(job_id)
    reached = (await call.service.wait(job_id)).epoch
    answered = await call.post("/api/train/resume", {"job_id": job_id, "epochs": reached - 1})
    assert (answered.status, answered.error["code"]) == (409, "not_resumable")
    assert (await call.service.status(job_id)).status == "STOPPED"


async def events(call, job_id):
    return (await call.get(f"/api/train/events?job_id={job_id}&limit=10000")).json["events"]
