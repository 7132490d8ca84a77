"""Bad requests: each a sentence that names what is wrong, in the one shape; hostile JSON is never a 500."""

import pytest

JSON = {"Content-Type": "application/json"}


async def test_every_wrong_field_is_named_at_once(call):
    spec = {
        "epochs": 0,
        "lr": "fast",
        "batchsize": 16,
        "model": {"kind": "mlp", "hidden": [64, 0], "droput": 0.1},
        "validation": {"fraction": 2},
        "job_id": "a/b",
    }
    answered = await call.post("/api/train", spec)
    assert (answered.status, answered.error["code"]) == (422, "validation_failed")
    details = {detail["loc"]: detail["msg"] for detail in answered.error["details"]}
    assert set(details) == {
        "epochs", "lr", "batchsize", "model.hidden.1", "model.droput", "validation.fraction", "job_id",
    }  # fmt: skip
    assert "did you mean batch_size" in details["batchsize"]
    assert "from 1 to 100000" in details["epochs"]


@pytest.mark.parametrize(
    ("spec", "loc"),
    [
        ({"epochs": 0}, "epochs"),
        ({"epochs": 10**9}, "epochs"),
        ({"epochs": 1.5}, "epochs"),
        ({"epochs": True}, "epochs"),
        ({"epochs": "3"}, "epochs"),
        ({"lr": -1}, "lr"),
        ({"lr": None}, "lr"),
        ({"model": {"kind": "mlp", "hidden": [10**6]}}, "model.hidden.0"),
        ({"model": {"kind": "giant"}}, "model"),
        ({"dataset": "../../etc/passwd"}, "dataset"),
        ({"trainer": "os.system"}, "trainer"),
        ({"synthetic": {"rows": 10**12}}, "synthetic.rows"),
        ({"target": "y", "features": ["y"]}, "features"),
        ({"dataset": "a", "synthetic": {}}, "synthetic"),
    ],
)
async def test_a_wrong_spec_is_422_and_names_the_field(call, spec, loc):
    answered = await call.post("/api/train", spec)
    assert answered.status == 422, answered.body
    assert loc in [detail["loc"] for detail in answered.error["details"]]


async def test_an_unknown_data_set_is_404(call):
    answered = await call.post("/api/train", {"dataset": "no-such-set"})
    assert (answered.status, answered.error["code"]) == (404, "dataset_not_found")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nul",
        b'{"lr": NaN}',
        b'{"lr": Infinity}',
        b'{"lr": 1e999}',
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b'{"name": "\xed\xa0\x80"}',
        b'{"name": "\\ud800"}',
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b'{"seed": ' + b"9" * 5_000 + b"}",
        b"{}{}",
    ],
)
async def test_what_is_not_json_is_400(call, body):
    answered = await call("POST", "/api/train", data=body, headers=JSON)
    assert (answered.status, answered.error["code"]) == (400, "invalid_json")


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"[]",
        b'"text"',
        b"1e5",
        b'{"epochs": 1, "epochs": "x"}',
        b'{"options": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"seed": ' + b"9" * 4_000 + b"}",
        b'{"name": ""}',
        b'{"tags": [' + b'"t",' * 60 + b'"t"]}',
    ],
)
async def test_json_that_is_no_spec_is_422(call, body):
    answered = await call("POST", "/api/train", data=body, headers=JSON)
    assert (answered.status, answered.error["code"]) == (422, "validation_failed")
    assert len(answered.body) < 20_000


async def test_wrong_methods_say_which_are_right(call):
    answered = await call("PATCH", "/api/train")
    assert (answered.status, answered.error["code"], answered.headers["Allow"]) == (405, "method_not_allowed", "POST")


async def test_paths_that_do_not_exist_are_404(call):
    for path in ("/nope", "/api", "/api/train/", "/api/models/a/b/c", "/page/", "/page/../app.js", "//health"):
        answered = await call.get(path)
        assert (answered.status, answered.error["code"]) == (404, "not_found"), path


@pytest.mark.parametrize(
    ("path", "loc"),
    [
        ("/api/train/status", "job_id"),
        ("/api/train/status?job_id=", "job_id"),
        ("/api/train/events?job_id=x&after=-1", "after"),
        ("/api/train/events?job_id=x&limit=10001", "limit"),
        ("/api/train/jobs?limit=0", "limit"),
        ("/api/train/jobs?status=DONE", "status"),
        ("/api/train/jobs?page=2", "page"),
        ("/api/train/logs?job_id=x&limit_bytes=1e9", "limit_bytes"),
        ("/api/models/x/export", "format"),
        ("/api/datasets/x/preview?rows=no", "rows"),
    ],
)
async def test_wrong_parameters_are_named(call, path, loc):
    answered = await call.get(path)
    assert (answered.status, answered.error["code"]) == (422, "validation_failed")
    assert [detail["loc"] for detail in answered.error["details"]] == [loc]


async def test_a_parameter_twice_is_refused(call):
    answered = await call.get("/api/train/status?job_id=a&job_id=b")
    assert (answered.status, answered.error["code"]) == (400, "bad_request")


async def test_bodies_where_none_is_taken_are_refused(call):
    answered = await call("DELETE", "/api/train/jobs/x", data=b"{}")
    assert (answered.status, answered.error["code"]) == (400, "bad_request")


async def test_verbs_want_a_job(call):
    for body in ({}, {"job_id": 7}, {"job_id": "x", "epochs": 3}, {"jobid": "x"}):
        answered = await call.post("/api/train/stop", body)
        assert (answered.status, answered.error["code"]) == (422, "validation_failed")


async def test_more_workers_than_slots_are_refused_in_a_sentence(call):
    refused = await call.post("/api/train", {"workers": 3})
    assert (refused.status, refused.error["details"][0]["loc"]) == (422, "workers")
    assert refused.error["message"].endswith("this server has 2.")
