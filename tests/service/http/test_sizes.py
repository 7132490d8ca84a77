"""What an answer may have: no more than a megabyte, whatever was asked, however long the names and cells are."""

import asyncio
import gzip
import io
import json

import msgspec
import pytest
import pytest_asyncio

from traind.data.limits import ANSWER_BYTES, COLUMNS, DETAILS, NAME_CHARS
from traind.service.errors import ServiceError, described

LONG = "n" * NAME_CHARS


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sizes(calling_on, tmp_path_factory):
    """A server with a wide table of long names, a table of long cells, and a hundred more tables."""
    async with calling_on(tmp_path_factory.mktemp("sizes"), slots=1) as call:
        names = [f"{LONG[:-4]}{place:04}" for place in range(900)]
        wide = "\n".join([",".join(names), *(",".join(["7"] * 900) for _ in range(3))])
        assert (await call("PUT", "/api/datasets/wide", data=wide.encode())).status == 200
        tall = "\n".join(["a,b", *('"' + "c" * 1_000_000 + '",1' for _ in range(8))]).encode()
        assert (await call("PUT", "/api/datasets/cells", data=gzip.compress(tall))).status == 200
        yield call


async def test_a_name_beyond_the_limit_is_refused_at_the_door_and_shown_cut(call):
    table = f"{LONG}x,b\n1,2\n3,4\n".encode()
    answered = await call("PUT", "/api/datasets/long", data=table)
    assert (answered.status, answered.error["code"]) == (422, "data_error")
    assert str(NAME_CHARS) in answered.error["message"].replace(",", "")
    assert len(answered.body) < 1_000
    many = ",".join(f"c{place}" for place in range(COLUMNS + 1))
    assert (await call("PUT", "/api/datasets/many", data=f"{many}\n".encode())).status == 422


async def test_every_way_to_see_a_wide_table_stays_below_a_megabyte(sizes):
    for path in ("", "/wide", "/wide?columns_after=100", "/wide/preview?rows=1000", "/cells/preview?rows=1000"):
        answered = await sizes.get(f"/api/datasets{path}")
        assert answered.status == 200, answered.body[:500]
        assert len(answered.body) < ANSWER_BYTES
    whole, place = [], 0
    while True:
        summary = (await sizes.get(f"/api/datasets/wide?columns_after={place}")).json["dataset"]["summary"]
        whole += [column["name"] for column in summary["columns"]]
        if not summary["columns_left_out"]:
            break
        place = len(whole)
    assert whole == [f"{LONG[:-4]}{number:04}" for number in range(900)]
    cells = (await sizes.get("/api/datasets/cells/preview?rows=8")).json["rows"]
    assert {len(row[0]) for row in cells} == {203}


async def test_a_spec_that_names_what_is_not_there_is_answered_in_short(sizes):
    spec = {"dataset": "wide", "features": [f"{place}{'x' * 300}" for place in range(150)]}
    answered = await sizes.post("/api/train", spec)
    assert (answered.status, answered.error["code"]) == (422, "validation_failed")
    assert len(answered.error["details"]) == DETAILS
    assert len(answered.body) < 100_000
    assert (await sizes.post("/api/train?dry_run=true", {"dataset": "wide"})).status in (200, 422)


@pytest.mark.parametrize("key", ["a" * 32_000, "b"])
async def test_numbers_that_are_none_are_named_a_hundred_times(call, key):
    body = json.dumps({key: [float("nan")] * 6_000})
    answered = await call("POST", "/api/train", data=body, headers={"Content-Type": "application/json"})
    assert (answered.status, answered.error["code"]) == (400, "invalid_json")
    assert len(answered.error["details"]) == DETAILS
    assert len(answered.body) < 50_000


async def test_data_sets_are_listed_in_pages_and_in_short(sizes):
    for number in range(5):
        assert (await sizes("PUT", f"/api/datasets/page-{number}", data=b"a,b\n1,2\n3,4\n")).status == 200
    seen, after = [], None
    while True:
        query = "?limit=2" if after is None else f"?limit=2&after={after}"
        page = (await sizes.get(f"/api/datasets{query}")).json
        seen += page["datasets"]
        if (after := page["next"]) is None:
            break
    assert [one["name"] for one in seen] == ["cells", *(f"page-{number}" for number in range(5)), "wide"]
    assert seen[-1]["summary"] == {"n_rows": 3, "n_columns": 900, "n_warnings": seen[-1]["summary"]["n_warnings"]}


async def test_jobs_are_listed_in_pages_by_their_size(sizes):
    tags = [f"{number:02}{'t' * 98}" for number in range(50)]
    for _ in range(150):
        accepted = await sizes.post("/api/train", {"epochs": 1, "tags": tags, "synthetic": {"rows": 10}})
        assert accepted.status == 202
        await sizes.post("/api/train/cancel", {"job_id": accepted.json["job_id"]})
    seen, after = 0, None
    while True:
        query = "?limit=1000" if after is None else f"?limit=1000&after={after}"
        answered = await sizes.get(f"/api/train/jobs{query}")
        assert len(answered.body) < ANSWER_BYTES
        seen += len(answered.json["jobs"])
        if (after := answered.json["next"]) is None:
            break
    assert seen == 150


def test_an_error_says_no_more_than_can_be_read():
    problem = {"loc": "x" * 10_000, "msg": "y" * 10**6, "line": 3}
    told = described(ServiceError("z" * 10**6, hint="h" * 10**6, details=[problem] * 1_000))
    assert len(told["details"]) == DETAILS
    assert told["details"][0]["line"] == 3
    assert len(msgspec.json.encode(told)) < 250_000


async def test_predictions_of_many_rows_are_sent_as_a_download_and_nothing_of_them_stays(call, done):
    """A large body's answer may have more than a megabyte: it comes from a file, and is the same as in parts."""
    numbers = [place / 1_000 for place in range(60_000)]
    columns = {"x1": numbers, "x2": numbers, "x3": numbers}
    path, kind = f"/api/models/{done}/predict", {"Content-Type": "application/json"}
    whole = await call("POST", path, data=io.BytesIO(msgspec.json.encode({"columns": columns})), headers=kind)
    assert whole.status == 200, whole.body[:500]
    assert len(whole.body) > ANSWER_BYTES
    assert whole.headers["Content-Type"] == "application/json"
    assert whole.headers["Content-Disposition"] == 'attachment; filename="predictions.json"'
    part = {name: values[-3:] for name, values in columns.items()}
    few = await call.post(path, {"columns": part})
    assert few.headers.get("Content-Disposition") is None
    assert whole.json["predictions"][-3:] == pytest.approx(few.json["predictions"])
    async with asyncio.timeout(30):
        while list(call.service.layout.side_dir.glob("predict-*")):  # noqa: ASYNC110 - removed once it is sent
            await asyncio.sleep(0.02)


async def test_a_small_body_that_asks_for_much_is_told_how_many_rows_it_may_have(sizes):
    labels = [f"{place:02}{'k' * 98}" for place in range(40)]
    rows = "\n".join(["x,y", *(f"{place % 9},{labels[place % 40]}" for place in range(800))])
    assert (await sizes("PUT", "/api/datasets/labels", data=rows.encode())).status == 200
    model = {"kind": "linear"}
    job_id = await sizes.trained(dataset="labels", target="y", model=model, synthetic=None)
    path = f"/api/models/{job_id}/predict"
    refused = await sizes.post(path, {"columns": {"x": [1] * 20_000}})
    assert (refused.status, refused.error["code"]) == (422, "data_error")
    assert "20,000 rows would have about" in refused.error["message"]
    allowed = int(refused.error["hint"].split(" rows")[0].split()[-1].replace(",", ""))
    answered = await sizes.post(path, {"columns": {"x": [1] * allowed}})
    assert answered.status == 200
    assert ANSWER_BYTES / 4 < len(answered.body) <= ANSWER_BYTES
