"""What people call a job, and the lists that find it by that."""

import asyncio

import pytest

from traind.service.errors import InvalidSpec, NotWaiting


async def test_name_tags_and_notes_change_at_any_time_and_are_found(call, done):
    changes = {"name": "Houses, second", "tags": ["night", "kept"], "notes": "after the cleaning"}
    answered = await call("PATCH", f"/api/train/jobs/{done}", json=changes)
    assert answered.status == 200
    job = answered.json["status"]
    assert (job["name"], job["spec"]["tags"], job["notes"]) == tuple(changes.values())
    for query in ("tag=kept", "name=HOUSES,%20sec", "tag=night&trainer=tabular"):
        found = (await call.get(f"/api/train/jobs?{query}")).json["jobs"]
        assert [one["job_id"] for one in found] == [done]
    assert (await call.get("/api/train/jobs?tag=never")).json["jobs"] == []
    last = (await call.get(f"/api/train/events?job_id={done}")).json["events"][-1]
    assert {name: last[name] for name in ("type", *changes)} == {"type": "edit", **changes}


async def test_what_is_left_out_stays_and_the_same_again_is_no_event(call):
    job_id = await call.trained(name="first", tags=["a"])
    before = (await call("PATCH", f"/api/train/jobs/{job_id}", json={"notes": "n"})).json["status"]
    assert (before["name"], before["spec"]["tags"], before["notes"]) == ("first", ["a"], "n")
    again = (await call("PATCH", f"/api/train/jobs/{job_id}", json={"notes": "n"})).json["status"]
    assert again["seq"] == before["seq"]
    gone = (await call("PATCH", f"/api/train/jobs/{job_id}", json={"name": None, "notes": None})).json["status"]
    assert (gone["name"], gone["notes"], gone["spec"]["name"]) == (None, None, None)


async def test_the_same_submit_is_still_the_same_job(call):
    spec = {"epochs": 1, "synthetic": {"rows": 50}, "tags": ["a"], "job_id": "edited_one"}
    await call.post("/api/train", spec)
    await call.service.wait("edited_one")
    await call("PATCH", "/api/train/jobs/edited_one", json={"tags": ["b"], "name": "other"})
    again = await call.post("/api/train", spec)
    assert (again.status, again.json["job_id"]) == (202, "edited_one")
    assert (await call.post("/api/train", {**spec, "tags": ["b"]})).error["code"] == "job_id_taken"


async def test_priority_changes_the_line_while_a_job_waits(calling_on, tmp_path, endless):
    async with calling_on(tmp_path, slots=1) as call:
        busy = await call.train(**endless)
        async with asyncio.timeout(60):
            while (await call.service.status(busy)).step == 0:
                async for _ in call.service.watch(busy, 0):
                    break
        low, high = await call.train(priority=1), await call.train(priority=0)
        assert (await call.service.status(high)).queue_position == 2
        assert (await call("PATCH", f"/api/train/jobs/{high}", json={"priority": 5})).status == 200
        assert (await call.service.status(high)).queue_position == 1
        refused = await call("PATCH", f"/api/train/jobs/{busy}", json={"priority": 5, "name": "kept out too"})
        assert (refused.status, refused.error["code"]) == (409, "job_not_waiting")
        assert refused.error["details"][0]["loc"] == "priority"
        assert (await call.service.status(busy)).name is None
        await call.service.cancel(busy)
        assert (await call.service.wait(low)).finished_at > (await call.service.wait(high)).started_at


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({"name": ""}, "name"),
        ({"tags": "night"}, "tags"),
        ({"tags": [""]}, "tags.0"),
        ({"priority": 101}, "priority"),
        ({"priority": None}, "priority"),
        ({"status": "COMPLETED"}, "status"),
        ({"notes": "x" * 10_001}, "notes"),
    ],
)
async def test_a_wrong_change_is_named_by_field(call, done, body, loc):
    refused = await call("PATCH", f"/api/train/jobs/{done}", json=body)
    assert (refused.status, refused.error["code"]) == (422, "validation_failed")
    assert [detail["loc"] for detail in refused.error["details"]] == [loc]


async def test_jobs_are_sorted_by_a_metric_best_first(call):
    quick = await call.trained(tags=["sorted"], epochs=1)
    longer = await call.trained(tags=["sorted"], epochs=6)
    for sort, better in (("metric:rmse", min), ("metric:r2", max)):
        name = sort.partition(":")[2]
        found = (await call.get(f"/api/train/jobs?tag=sorted&sort={sort}")).json["jobs"]
        assert {one["job_id"] for one in found} == {quick, longer}
        values = [one["metrics"]["validation"][name] for one in found]
        assert values[0] == better(values)
    page = (await call.get("/api/train/jobs?tag=sorted&sort=metric:rmse&limit=1")).json
    rest = (await call.get(f"/api/train/jobs?tag=sorted&sort=metric:rmse&limit=1&after={page['next']}")).json
    assert {page["jobs"][0]["job_id"], rest["jobs"][0]["job_id"]} == {quick, longer}
    assert rest["next"] is None


@pytest.mark.parametrize("query", ["sort=loss", "sort=metric:", "after=0.5:3", "sort=metric:r2&after=17", "tag="])
async def test_a_wrong_list_is_refused(call, query):
    refused = await call.get(f"/api/train/jobs?{query}")
    assert (refused.status, refused.error["code"]) == (422, "validation_failed")


async def test_the_service_takes_and_refuses_the_same(call, done):
    assert (await call.service.edit(done, notes="by hand")).notes == "by hand"
    with pytest.raises(NotWaiting):
        await call.service.edit(done, priority=3)
    with pytest.raises(InvalidSpec):
        await call.service.edit(done, colour="red")
    with pytest.raises(InvalidSpec):
        await call.service.jobs(sort="best")
