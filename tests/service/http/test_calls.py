"""The calls that were promised since the first day, to the letter, and those beside them."""

import asyncio
import re

import pytest


async def test_submit_answers_202_with_id_pid_and_status(call):
    answered = await call.post("/api/train", {"epochs": 3, "batch_size": 16, "lr": 0.01})
    assert answered.status == 202
    assert set(answered.json) == {"ok", "job_id", "pid", "status"}
    assert answered.json["ok"] is True
    assert answered.json["pid"] is None or answered.json["pid"] > 0
    assert answered.json["status"] == "QUEUED"
    assert re.fullmatch(r"job_[0-9]{13}_[0-9a-f]{6}", answered.json["job_id"])
    job = await call.service.wait(answered.json["job_id"])
    assert (job.status, job.progress, job.epoch) == ("COMPLETED", 100, 3)


async def test_status_wraps_the_job(call, done):
    answered = await call.get(f"/api/train/status?job_id={done}")
    assert answered.status == 200
    assert set(answered.json) == {"ok", "status"}
    job = answered.json["status"]
    assert {"job_id", "status", "progress", "epoch", "step", "total_steps", "loss", "message"} <= set(job)
    assert (job["job_id"], job["status"], job["progress"]) == (done, "COMPLETED", 100)


async def test_stop_ends_a_running_job_and_again_changes_nothing(call, until, endless):
    job_id = await call.train(**endless)
    await until(job_id, type="progress")
    first = await call.post("/api/train/stop", {"job_id": job_id})
    assert (first.status, first.json["ok"], first.json["job_id"]) == (200, True, job_id)
    assert set(first.json) == {"ok", "job_id", "status"}
    assert (await call.service.wait(job_id)).status == "STOPPED"
    again = await call.post("/api/train/stop", {"job_id": job_id})
    assert (again.status, again.json["status"]) == (200, "STOPPED")


async def test_jobs_come_newest_first_in_pages(call):
    made = [await call.trained(name=f"page {place}") for place in range(3)]
    first = (await call.get("/api/train/jobs?limit=2")).json
    assert set(first) == {"ok", "jobs", "next"}
    assert [job["job_id"] for job in first["jobs"]] == made[:0:-1]
    second = (await call.get(f"/api/train/jobs?limit=2&after={first['next']}")).json
    assert second["jobs"][0]["job_id"] == made[0]


async def test_jobs_are_filtered_by_states(call, done):
    found = (await call.get("/api/train/jobs?status=COMPLETED,STOPPED&limit=1000")).json["jobs"]
    assert done in [job["job_id"] for job in found]
    assert {job["status"] for job in found} <= {"COMPLETED", "STOPPED"}
    found = (await call.get("/api/train/jobs?status=CANCELLED&limit=1000")).json["jobs"]
    assert {job["status"] for job in found} <= {"CANCELLED"}


@pytest.mark.parametrize("path", ["/health", "/api/health", "/api/health?ready"])
async def test_health_says_version_slots_queue_and_uptime(call, path):
    async with asyncio.timeout(60):
        while (answered := await call.get(path)).status == 503:  # noqa: ASYNC110 - its workers are starting
            await asyncio.sleep(0.02)
    assert answered.status == 200
    assert answered.json["ok"] is True
    assert answered.json["slots"]["total"] == 2
    assert {"version", "queued", "uptime_s"} <= set(answered.json)
    assert answered.headers["traind-version"] == answered.json["version"]


async def test_the_same_id_and_spec_is_the_same_job(call):
    first = await call.train(job_id="mine-1", seed=1)
    again = await call.train(job_id="mine-1", seed=1)
    assert first == again == "mine-1"
    other = await call.post("/api/train", {"epochs": 1, "job_id": "mine-1", "seed": 2})
    assert (other.status, other.error["code"]) == (409, "job_id_taken")


async def test_pause_and_resume_go_on_where_the_job_was(call, until, endless):
    job_id = await call.train(**endless)
    await until(job_id, type="progress")
    assert (await call.post("/api/train/pause", {"job_id": job_id})).status == 200
    await until(job_id, status="PAUSED")
    resumed = await call.post("/api/train/resume", {"job_id": job_id})
    assert (resumed.status, resumed.json["status"]) == (200, "QUEUED")
    cancelled = await call.post("/api/train/cancel", {"job_id": job_id})
    assert cancelled.status == 200
    assert (await call.service.wait(job_id)).status == "CANCELLED"


async def test_a_completed_job_goes_on_for_more_epochs(call):
    job_id = await call.trained(batch_size=16)
    assert (await call.post("/api/train/resume", {"job_id": job_id})).error["code"] == "not_resumable"
    assert (await call.post("/api/train/resume", {"job_id": job_id, "epochs": 2})).status == 200
    assert (await call.service.wait(job_id)).epoch == 2


async def test_verbs_that_no_longer_apply_answer_409(call, done):
    for verb in ("stop", "pause", "cancel"):
        answered = await call.post(f"/api/train/{verb}", {"job_id": done})
        assert (answered.status, answered.error["code"]) == (409, "job_finished")


async def test_delete_takes_a_finished_job_and_its_files_along(call, endless):
    job_id = await call.trained()
    model = call.service.layout.model_path(job_id)
    assert model.exists()
    assert (await call("DELETE", f"/api/train/jobs/{job_id}")).json == {"ok": True}
    assert not model.exists()
    assert (await call.get(f"/api/train/status?job_id={job_id}")).status == 404
    running = await call.train(**endless)
    refused = await call("DELETE", f"/api/train/jobs/{running}")
    assert (refused.status, refused.error["code"]) == (409, "job_not_finished")
    await call.post("/api/train/cancel", {"job_id": running})


async def test_logs_and_curve_of_a_job(call, done):
    logs = await call.get(f"/api/train/logs?job_id={done}")
    assert (logs.status, logs.json["job_id"]) == (200, done)
    assert isinstance(logs.json["logs"], str)
    curve = await call.get(f"/api/train/curve?job_id={done}&points=10")
    assert curve.json["series"]["loss"]["step"]
    assert "status" not in curve.json
    both = await call.get(f"/api/train/curve?job_id={done}&points=10&status=true")
    status = await call.get(f"/api/train/status?job_id={done}")
    assert both.json == curve.json | {"status": status.json["status"]}


async def test_the_log_is_asked_for_from_where_it_ended(call, done):
    asked = f"/api/train/logs?job_id={done}"
    first = await call.get(asked)
    again = await call.get(f"{asked}&after={first.json['next']}")
    assert (again.json["logs"], again.json["next"]) == ("", first.json["next"])
    assert (await call.get(f"{asked}&after=x")).error["code"] == "validation_failed"


async def test_files_of_a_job_are_sent_as_bytes_to_be_saved(call, done):
    folder = call.service.layout.files_dir(done)
    folder.mkdir()
    (folder / "page.html").write_text("<script>alert(1)</script>")
    (listed,) = (await call.get(f"/api/train/files?job_id={done}")).json["files"]
    assert (listed["name"], listed["size_bytes"]) == ("files/page.html", 25)
    sent = await call.get(f"/api/train/file?job_id={done}&name=files/page.html")
    assert (sent.status, sent.body) == (200, b"<script>alert(1)</script>")
    assert sent.headers["Content-Type"] == "application/octet-stream"
    assert sent.headers["Content-Disposition"] == 'attachment; filename="page.html"'
    assert sent.headers["X-Content-Type-Options"] == "nosniff"
    missing = await call.get(f"/api/train/file?job_id={done}&name=files/other.html")
    assert (missing.status, missing.error["code"]) == (404, "file_not_found")
    (folder / "page.html").unlink()


async def test_unknown_jobs_answer_404_everywhere(call):
    gets = ("status", "events", "logs", "files", "curve")
    answers = [await call.get(f"/api/train/{path}?job_id=job_0000000000000_000000") for path in gets]
    answers += [
        await call.post(f"/api/train/{verb}", {"job_id": "no"}) for verb in ("stop", "pause", "resume", "cancel")
    ]
    answers += [await call("DELETE", "/api/train/jobs/no"), await call.get("/api/models/no")]
    answers += [
        await call.get("/api/models/no/export?format=onnx"),
        await call.get("/api/train/file?job_id=no&name=x"),
    ]
    answers += [await call.post("/api/models/no/predict", {"rows": [{"a": 1}]})]
    assert {(answered.status, answered.error["code"]) for answered in answers} == {(404, "job_not_found")}
