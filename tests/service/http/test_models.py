"""Finished models over HTTP: download, predictions, exports, aliases."""

import asyncio
import hashlib
import json

import pytest

from traind.service.http.models import NAMED_BYTES


async def test_a_model_downloads_whole_and_in_ranges(call, done):
    path = call.service.layout.model_path(done)
    whole = await call.get(f"/api/models/{done}")
    assert whole.status == 200
    assert hashlib.sha256(whole.body).digest() == hashlib.sha256(path.read_bytes()).digest()
    assert whole.headers["Content-Disposition"] == f'attachment; filename="{done}.pt"'
    assert whole.headers["Content-Type"] == "application/octet-stream"
    part = await call.get(f"/api/models/{done}", headers={"Range": "bytes=2-5"})
    assert (part.status, part.body) == (206, whole.body[2:6])
    known = await call.get(f"/api/models/{done}", headers={"If-None-Match": whole.headers["ETag"]})
    assert known.status == 304


async def test_a_link_in_place_of_a_model_is_not_followed(call, tmp_path):
    job_id = await call.trained()
    secret = tmp_path / "secret"
    secret.write_text("canary")
    path = call.service.layout.model_path(job_id)
    path.unlink()
    path.symlink_to(secret)
    answered = await call.get(f"/api/models/{job_id}")
    assert b"canary" not in answered.body
    assert answered.status == 409


async def test_rows_and_columns_are_predicted_alike(call, done):
    rows = [{"x1": 0.5, "x2": -1.0, "x3": 0.0}, {"x1": 1.5, "x2": "2", "x3": 1.0}]
    by_rows = await call.post(f"/api/models/{done}/predict", {"rows": rows})
    assert by_rows.status == 200, by_rows.body
    assert len(by_rows.json["predictions"]) == 2
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    by_columns = await call.post(f"/api/models/{done}/predict", {"columns": columns})
    assert by_columns.json == by_rows.json


async def test_rows_that_do_not_fit_are_named(call, done):
    answered = await call.post(f"/api/models/{done}/predict", {"rows": [{"x1": 1, "x2": 1}]})
    assert answered.status == 422
    assert "x3" in answered.body.decode()


async def test_a_list_is_passed_over_with_a_column_that_is_not_read_and_named_in_one_that_is(call, done):
    row = {"x1": 0.5, "x2": -1.0, "x3": 0.0, "tags": ["a", {"b": 1}]}
    path = f"/api/models/{done}/predict"
    assert (await call.post(path, {"rows": [row]})).status == 200
    answered = await call.post(path, {"rows": [row, {**row, "x2": [1]}]})
    assert answered.status == 422
    assert (answered.error["details"][0]["loc"], answered.error["details"][0]["line"]) == ("x2", 2)


async def test_predict_wants_rows_or_columns(call, done):
    for body in ({}, {"rows": [], "columns": {}}):
        answered = await call.post(f"/api/models/{done}/predict", body)
        assert (answered.status, answered.error["code"]) == (422, "validation_failed")


async def test_a_job_without_a_model_says_so(call, endless):
    job_id = await call.train(**endless | {"checkpoint_every": 3_600.0})
    answered = await call.get(f"/api/models/{job_id}")
    assert (answered.status, answered.error["code"]) == (409, "model_not_ready")
    assert answered.error["hint"] == "Wait until it is completed."
    answered = await call.post(f"/api/models/{job_id}/predict", {"rows": [{"x1": 1.0}]})
    assert (answered.status, answered.error["code"]) == (409, "model_not_ready")
    assert "checkpoint_every" in answered.error["hint"]
    await call.post("/api/train/cancel", {"job_id": job_id})


async def test_an_export_is_sent_and_leaves_no_file(call, done):
    answered = await call.get(f"/api/models/{done}/export?format=safetensors")
    assert answered.status == 200, answered.body
    assert len(answered.body) > 100
    async with asyncio.timeout(30):
        while list(call.service.layout.side_dir.rglob("export-*")):
            await call.get("/health")
    wrong = await call.get(f"/api/models/{done}/export?format=pickle")
    assert (wrong.status, wrong.error["details"][0]["loc"]) == (422, "format")


async def test_an_alias_points_at_a_model_and_moves(call, done):
    other = await call.trained(seed=5)
    for job_id in (done, other):
        assert (await call("PUT", "/api/models/aliases/live", json={"job_id": job_id})).status == 200
        assert (await call.get("/api/models/aliases")).json["aliases"]["live"]["job_id"] == job_id
    row = {"x1": 0.5, "x2": -1.0, "x3": 0.0}
    by_alias = await call.post("/api/models/live/predict", {"rows": [row]})
    assert by_alias.json == (await call.post(f"/api/models/{other}/predict", {"rows": [row]})).json
    assert (await call("DELETE", "/api/models/aliases/live")).status == 200
    assert (await call.post("/api/models/live/predict", {"rows": [row]})).status == 404


async def test_many_rows_are_predicted_and_refused_without_being_unpacked(call, done):
    row = '{"x1": 0.5, "x2": "-1", "x3": null}'
    path = f"/api/models/{done}/predict"
    rows = [row] * 3_000
    headers = {"Content-Type": "application/json"}

    async def sent(body):
        assert len(body) > NAMED_BYTES
        return await call("POST", path, data=body.encode(), headers=headers)

    answered = await sent(f'{{"rows": [{",".join(rows)}]}}')
    assert answered.status == 200, answered.body
    few = (await call.post(path, {"rows": [json.loads(row)]})).json
    assert answered.json["predictions"] == pytest.approx(few["predictions"] * 3_000, rel=1e-4)
    bad = await sent(f'{{"rows": [{",".join([*rows, "[1]"])}]}}')
    assert (bad.status, bad.error["code"]) == (422, "data_error")
    assert "3000" in bad.error["message"]
    for body, status in (('{"row": []}', 422), ("[]", 422), ('{"rows": [}', 400), ('{"rows": []', 400)):
        assert (await sent(body + " " * NAMED_BYTES)).status == status, body


async def test_exports_are_made_one_at_a_time_where_the_setting_says_one(calling_on, tmp_path):
    """The second is refused while the first is fetched, and taken once that is done or its client has left."""
    async with calling_on(tmp_path, max_exports=1, slots=1) as call:
        path = f"/api/models/{await call.trained()}/export?format=safetensors"
        refused, fetched = [], []
        for answered in await asyncio.gather(*(call.get(path) for _ in range(6))):
            (fetched if answered.status == 200 else refused).append(answered)
        assert fetched
        assert {(one.status, one.error["code"]) for one in refused} == {(429, "too_many")}
        leaving = asyncio.create_task(call.get(path))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        async with asyncio.timeout(30):
            while (await call.get(path)).status != 200:  # noqa: ASYNC110 - over HTTP
                await asyncio.sleep(0.05)
            while list(call.service.layout.side_dir.glob("export-*")):  # noqa: ASYNC110 - removed once it is sent
                await asyncio.sleep(0.02)
