"""Data sets over HTTP: streamed in, looked at, used, refused."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

CSV = b"a,b,y\n" + b"".join(b"%d,%d,%d\n" % (row, row % 7, 3 * row) for row in range(200))


async def test_an_upload_is_registered_listed_previewed_and_deleted(call):
    put = await call("PUT", "/api/datasets/small", data=CSV, headers={"Content-Type": "text/csv"})
    assert put.status == 200, put.body
    assert put.json["dataset"]["name"] == "small"
    assert put.json["dataset"]["size_bytes"] == len(CSV)
    assert (await call.get("/api/datasets/small")).json["dataset"]["digest"] == put.json["dataset"]["digest"]
    assert "small" in [one["name"] for one in (await call.get("/api/datasets")).json["datasets"]]
    preview = await call.get("/api/datasets/small/preview?rows=3")
    assert (preview.status, len(preview.json["rows"])) == (200, 3)
    assert (await call("DELETE", "/api/datasets/small")).json == {"ok": True}
    assert (await call.get("/api/datasets/small")).error["code"] == "dataset_not_found"


async def test_real_house_prices_upload_train_and_predict(call, houses):
    put = await call("PUT", "/api/datasets/houses", data=houses.read_bytes())
    assert put.status == 200, put.body
    planned = await call.post("/api/train?dry_run=true", {"dataset": "houses", "target": "price"})
    assert planned.status == 200, planned.body
    job_id = await call.trained(dataset="houses", target="price", synthetic=None)
    rows = (await call.get("/api/datasets/houses/preview?rows=2")).json["rows"]
    names = [one["name"] for one in (await call.get("/api/datasets/houses/preview")).json["columns"]]
    asked = [dict(zip(names, row, strict=True)) if isinstance(row, list) else row for row in rows]
    answered = await call.post(f"/api/models/{job_id}/predict", {"rows": asked})
    assert answered.status == 200, answered.body
    assert all(price > 0 for price in answered.json["predictions"])


async def test_a_bad_cell_is_named_by_line_and_column(call):
    answered = await call("PUT", "/api/datasets/ragged", data=b"a,b\n1,2\n3\n", headers={"Content-Type": "text/csv"})
    assert (answered.status, answered.error["code"]) == (422, "data_error")
    assert "3" in answered.error["message"] or answered.error["details"][0]["line"] == 3


async def test_an_upload_is_cut_off_at_the_limit(calling_on, tmp_path):
    async with calling_on(tmp_path, max_upload_bytes=1_000) as small:
        said = await small("PUT", "/api/datasets/big", data=b"x" * 1_001)
        assert (said.status, said.error["code"]) == (413, "dataset_too_large")

        async def drip() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield b"x" * 100
                await asyncio.sleep(0)

        unsaid = await small("PUT", "/api/datasets/big", data=drip())
        assert (unsaid.status, unsaid.error["code"]) == (413, "dataset_too_large")
        assert not [path for path in small.service.layout.datasets_dir.rglob("*") if path.is_file()]


async def test_forms_empty_bodies_and_bad_names_are_refused(call):
    form = await call(
        "PUT", "/api/datasets/form", data=CSV, headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert (form.status, form.error["code"]) == (415, "unsupported_media_type")
    empty = await call("PUT", "/api/datasets/none")
    assert (empty.status, empty.error["message"]) == (422, "The file is empty.")
    for name in ("..", "%2e%2e", ".hidden", "a%2fb", "x" * 65, "a%00b"):
        answered = await call("PUT", f"/api/datasets/{name}", data=CSV)
        assert answered.status in (404, 405, 422), name


async def test_what_says_that_it_is_no_table_is_not_looked_at(call):
    for kind in ("image/png", "application/json", "application/zip", "text/html; charset=utf-8"):
        answered = await call("PUT", "/api/datasets/picture", data=CSV, headers={"Content-Type": kind})
        assert (answered.status, answered.error["code"]) == (415, "unsupported_media_type"), kind
    for kind in ("text/plain; charset=UTF-8", "application/vnd.ms-excel", "application/x-www-form-urlencoded"):
        answered = await call("PUT", "/api/datasets/kinds", data=CSV, headers={"Content-Type": kind})
        assert answered.status == 200, kind


async def test_the_encoding_of_a_content_type_is_honoured_or_refused(call):
    table = "name,y\n" + "\n".join(f"Köln{row},{row}" for row in range(50))
    for kind, asked in (("text/csv; charset=iso-8859-1", ""), ("text/plain", "?format=csv;charset=latin-1")):
        headers = {"Content-Type": kind}
        put = await call("PUT", f"/api/datasets/cities{asked}", data=table.encode("latin-1"), headers=headers)
        assert put.status == 200, put.body
        assert (await call.get("/api/datasets/cities/preview?rows=1")).json["rows"][0][0] == "Köln0"
    wide = await call("PUT", "/api/datasets/cities?format=csv;charset=utf-16", data=table.encode("utf-16"))
    assert wide.status == 200, wide.body
    for body in (b"00", table.encode("utf-16-le"), table.encode("utf-16") + b"\x00\xd8a\x00"):
        broken = await call("PUT", "/api/datasets/cities?format=csv;charset=utf-16", data=body)
        assert (broken.status, broken.error["code"]) == (422, "data_error"), broken.body
    for kind, status in (("text/csv; charset=klingon", 422), ("text/plain; charset=latin-1", 415)):
        answered = await call("PUT", "/api/datasets/cities", data=b"a,b\n1,2\n", headers={"Content-Type": kind})
        assert answered.status == status, kind
        assert answered.error["hint"]


@pytest.fixture
def narrow(tmp_path):
    """Settings under which a megabyte is left above the floor, give or take what others write meanwhile."""
    disk = os.statvfs(tmp_path)
    return {"disk_floor_bytes": disk.f_bavail * disk.f_frsize - 64 * 2**20, "slots": 1}


async def test_an_upload_that_does_not_fit_is_refused_before_its_body(calling_on, narrow, tmp_path):
    async with calling_on(tmp_path, **narrow) as call:
        assert (await call.get("/api/health")).json["problems"] == []
        host, port = call.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"PUT /api/datasets/big HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n")
        async with asyncio.timeout(30):
            answered = await reader.read(4_096)
        assert b" 507 " in answered
        assert b"disk_full" in answered
        writer.close()
        assert list(call.service.layout.datasets_dir.iterdir()) == []


async def test_an_upload_of_unknown_length_ends_where_the_floor_begins_and_leaves_nothing(
    calling_on, narrow, tmp_path
):
    async def endless():
        yield b"x,y\n"
        for _ in range(2_000):
            yield b"1,2\n" * 65_536

    async with calling_on(tmp_path, **narrow) as call:
        answered = await call("PUT", "/api/datasets/endless", data=endless())
        assert (answered.status, answered.error["code"]) == (507, "disk_full")
        assert int(answered.headers["Retry-After"]) > 0
        assert list(call.service.layout.datasets_dir.iterdir()) == []


async def test_a_disk_below_the_floor_is_no_readiness(calling_on, tmp_path):
    async with calling_on(tmp_path, disk_floor_bytes=2**60, slots=1) as call:
        ready = await call.get("/api/health?ready")
        assert (ready.status, ready.error["code"]) == (503, "not_ready")
        assert "disk space" in ready.error["message"]


async def test_data_sets_and_aliases_are_as_many_as_the_settings_say(calling_on, tmp_path):
    async with calling_on(tmp_path, max_datasets=1, max_aliases=1, slots=1) as call:
        for name, status in (("one", 200), ("two", 429), ("one", 200)):
            answered = await call("PUT", f"/api/datasets/{name}", data=b"x,y\n1,2\n3,4\n")
            assert answered.status == status, answered.body
        job_id = await call.trained()
        for name, status in (("one", 200), ("two", 429), ("one", 200)):
            answered = await call("PUT", f"/api/models/aliases/{name}", json={"job_id": job_id})
            assert answered.status == status, answered.body
            assert status == 200 or answered.error["code"] == "too_many"


async def test_ids_and_aliases_are_one_namespace(call, done):
    assert (await call("PUT", "/api/models/aliases/taken", json={"job_id": done})).status == 200
    submitted = await call.post("/api/train", {"epochs": 1, "job_id": "taken"})
    assert (submitted.status, submitted.error["code"]) == (409, "job_id_taken")
    alias = await call("PUT", f"/api/models/aliases/{done}", json={"job_id": done})
    assert (alias.status, alias.error["code"]) == (409, "job_id_taken")
    assert (await call("DELETE", "/api/models/aliases/taken")).status == 200


@pytest.mark.parametrize("name", ["quote", "quotechar"])
async def test_the_quote_goes_by_the_name_in_a_spec_and_by_that_of_generated_clients(call, name):
    table = b"a,y\n" + b"".join(b"'one, and %d',%d\n" % (row, row) for row in range(20))
    put = await call("PUT", f"/api/datasets/quoted?format=csv&{name}=%27", data=table)
    assert put.status == 200, put.body
    assert (await call.get("/api/datasets/quoted/preview?rows=1")).json["rows"][0][0] == "one, and 0"
