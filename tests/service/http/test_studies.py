"""Studies as a client sees them: submitted, watched, asked, refused."""

import asyncio
from importlib.util import find_spec

import msgspec
import pytest

SMALL = {"epochs": 2, "synthetic": {"rows": 200, "columns": 3}, "batch_size": 64}
SPACE = {"lr": {"low": 1e-4, "high": 1e-1, "log": True}, "model.hidden": {"choices": [[8], [16, 16]]}}
ENDLESS = {"epochs": 100_000, "synthetic": {"rows": 2_000, "columns": 3}, "patience": None}


async def submitted(call, **fields):
    accepted = await call.post(
        "/api/studies", {"spec": SMALL, "space": SPACE, "trials": 3, "ensemble": False, **fields}
    )
    assert accepted.status == 202, accepted.body
    assert accepted.json["status"] == "RUNNING"
    return accepted.json["study_id"]


async def shown(call, study_id):
    answered = await call.get(f"/api/studies/{study_id}")
    assert answered.status == 200, answered.body
    return answered.json["study"]


async def trials_of(call, study_id):
    return (await call.get(f"/api/studies/{study_id}/trials")).json["trials"]


async def until_epochs(call, study_id, count=1):
    """Wait until as many trials of an endless study run steps."""
    seen = set()
    async with asyncio.timeout(60):
        while len(seen) < count:
            for trial in await trials_of(call, study_id):
                if trial["job_id"] in seen:
                    continue
                answered = await call.get(f"/api/train/status?job_id={trial['job_id']}")
                if answered.status == 200 and answered.json["status"]["best_epoch"]:  # it is on record before its job
                    seen.add(trial["job_id"])
            await asyncio.sleep(0.05)


async def test_a_study_makes_its_trials_and_says_which_is_best(call):
    study_id = await submitted(call, name="rates", seed=3)
    study = await call.service.wait_study(study_id)
    assert (study.status, study.suggested, study.completed, study.failed) == ("COMPLETED", 3, 3, 0)
    trials = await trials_of(call, study_id)
    assert [trial["trial"] for trial in trials] == [0, 1, 2]
    values = [trial["value"] for trial in trials]
    told = await shown(call, study_id)
    assert told["best"]["value"] == min(values)
    assert told["best"]["params"] == trials[values.index(min(values))]["params"]
    for trial in trials:
        job = (await call.get(f"/api/train/status?job_id={trial['job_id']}")).json["status"]
        assert (job["study_id"], job["trial"], job["status"]) == (study_id, trial["trial"], "COMPLETED")
        assert job["spec"]["lr"] == trial["params"]["lr"]
        assert job["spec"]["model"]["hidden"] == trial["params"]["model.hidden"]
        assert job["metrics"]["validation"]["val_loss"] == trial["value"]
        assert job["name"] == f"rates / {trial['trial']}"
    assert told["timings"]["running_s"] > 0


async def test_the_list_of_jobs_hides_trials_unless_they_are_asked_for(call):
    study_id = await submitted(call)
    await call.service.wait_study(study_id)
    listed = (await call.get("/api/train/jobs?limit=1000")).json["jobs"]
    assert all(job["study_id"] is None for job in listed)
    mine = (await call.get(f"/api/train/jobs?study={study_id}")).json["jobs"]
    assert {job["trial"] for job in mine} == {0, 1, 2}


async def test_the_same_id_and_request_is_the_same_study(call):
    first = await submitted(call, study_id="same-study", seed=5)
    assert await submitted(call, study_id="same-study", seed=5) == first == "same-study"
    other = await call.post("/api/studies", {"spec": SMALL, "space": SPACE, "study_id": "same-study"})
    assert (other.status, other.error["code"]) == (409, "study_id_taken")
    taken = await call.post("/api/studies", {"spec": SMALL, "space": SPACE, "study_id": await call.train()})
    assert (taken.status, taken.error["code"]) == (409, "study_id_taken")


async def test_two_studies_may_have_one_name(call):
    first, second = await submitted(call, name="twins"), await submitted(call, name="twins")
    assert first != second
    listed = (await call.get("/api/studies?limit=2")).json["studies"]
    assert [study["study_id"] for study in listed] == [second, first]


async def test_stop_keeps_the_best_so_far(call):
    study_id = await submitted(call, spec=ENDLESS, trials=50)
    await until_epochs(call, study_id)
    asked = await call.post(f"/api/studies/{study_id}/stop")
    assert asked.status == 200
    study = await call.service.wait_study(study_id)
    assert study.status == "STOPPED"
    assert study.best is not None
    best = await call.service.status(study.best.job_id)
    assert (best.status, best.model is not None) == ("STOPPED", True)
    assert (await call.post(f"/api/studies/{study_id}/stop")).status == 200
    assert (await call.post(f"/api/studies/{study_id}/pause")).error["code"] == "study_finished"


async def test_pause_keeps_the_place_and_resume_goes_on(call):
    study_id = await submitted(call, spec=ENDLESS, trials=2, parallel=1)
    await until_epochs(call, study_id)
    assert (await call.post(f"/api/studies/{study_id}/pause")).json["status"] == "PAUSED"
    (trial,) = await trials_of(call, study_id)
    assert (trial["status"], trial["value"]) == ("RUNNING", None), "said of every trial, over or not"
    job_id = trial["job_id"]
    async with asyncio.timeout(60):
        async for event in call.service.watch(job_id):
            if getattr(event, "status", None) == "PAUSED":
                break
    assert (await shown(call, study_id))["status"] == "PAUSED"
    assert (await call.post(f"/api/studies/{study_id}/resume")).json["status"] == "RUNNING"
    async with asyncio.timeout(60):
        async for event in call.service.watch(job_id):
            if getattr(event, "resumed_from_step", None):
                break
    await call.post(f"/api/studies/{study_id}/cancel")
    await call.service.wait_study(study_id)


async def test_cancel_keeps_nothing_but_the_record(call):
    study_id = await submitted(call, spec=ENDLESS, trials=9)
    await until_epochs(call, study_id)
    await call.post(f"/api/studies/{study_id}/cancel")
    study = await call.service.wait_study(study_id)
    assert study.status == "CANCELLED"
    trials = await trials_of(call, study_id)
    assert trials
    for trial in trials:
        assert (await call.get(f"/api/train/status?job_id={trial['job_id']}")).status == 404
    assert (await call.get(f"/api/train/jobs?study={study_id}")).json["jobs"] == []


async def test_a_study_that_is_over_is_deleted_with_its_trials(call):
    study_id = await submitted(call)
    assert (await call("DELETE", f"/api/studies/{study_id}")).error["code"] == "study_not_finished"
    await call.service.wait_study(study_id)
    assert (await call("DELETE", f"/api/studies/{study_id}")).status == 200
    for path in ("", "/trials", "/events"):
        assert (await call.get(f"/api/studies/{study_id}{path}")).error["code"] == "study_not_found"
    assert (await call.get(f"/api/train/jobs?study={study_id}")).json["jobs"] == []


async def test_time_that_is_over_ends_the_study_and_keeps_its_best(call):
    study_id = await submitted(call, spec=ENDLESS, trials=50, max_seconds=3)
    study = await call.service.wait_study(study_id)
    assert (study.status, study.reason) == ("COMPLETED", "max_seconds")
    assert study.suggested < 50
    assert study.ran_s < 30


async def test_events_come_once_and_in_order_on_every_transport(call):
    study_id = await submitted(call)
    async with call.socket("/api/train/ws") as socket:
        assert (await socket.receive_json())["type"] == "snapshot"
        await socket.send_json({"subscribe_study": study_id})
        told = []
        while not told or told[-1].get("status") != "COMPLETED" or told[-1]["type"] != "study":
            message = await socket.receive_json(timeout=60)
            if message.get("study_id") == study_id and "seq" in message:
                told.append(message)
    page = (await call.get(f"/api/studies/{study_id}/events")).json
    assert page["events"] == told
    assert [event["seq"] for event in told] == list(range(1, page["last_seq"] + 1))
    kinds = [event["type"] for event in told]
    assert kinds.count("suggested") == kinds.count("trial") == 3
    assert msgspec.json.decode(b"[%b]" % b",".join((await call.service.study_events(study_id, 3)).events)) == told[3:]
    ahead = await call.get(f"/api/studies/{study_id}/events?after=999")
    assert ahead.error["code"] == "cursor_ahead"


async def test_a_subscription_to_no_study_is_answered(call):
    async with call.socket("/api/train/ws") as socket:
        await socket.receive_json()
        await socket.send_json({"subscribe_study": "no-such"})
        while (message := await socket.receive_json(timeout=30))["type"] != "error":
            pass
        assert (message["study_id"], message["error"]["code"]) == ("no-such", "study_not_found")


@pytest.mark.parametrize(
    ("fields", "loc"),
    [
        ({"space": {"lrr": {"low": 1, "high": 2}}}, "space.lrr"),
        ({"space": {"lr": {"low": 0, "high": 1}}}, "space.lr.low"),
        ({"space": {"lr": {"choices": ["x"]}}}, "space.lr.choices.0"),
        ({"space": {}}, "space"),
        ({"trials": 0}, "trials"),
        ({"parallel": 0}, "parallel"),
        ({"metric": "accurracy"}, "metric"),
        ({"metric": "rmse", "spec": {"task": "binary"}}, "metric"),
        ({"sampler": "magic"}, "sampler"),
        ({"spec": {"epochs": "many"}}, "spec.epochs"),
        ({"spec": {"start_from": {"job_id": "j"}}}, "spec.start_from"),
        ({"spec": {"options": {"a": 1}}}, "spec.options"),
        ({"spec": {"trainer": "nobody"}, "space": {"lr": {"low": 1, "high": 2}}}, "spec.trainer"),
        ({"spec": {"trainer": "nobody"}, "space": "auto"}, "space"),
        ({"spec": {"target": "no such column"}}, "spec.target"),
        ({"space": {"ignore": {"choices": [["x1"], ["no such column"]]}}}, "space.ignore"),
        ({"space": {"synthetic": {"choices": [1]}}}, "space.synthetic"),
        ({"surprise": 1}, "surprise"),
        ({"study_id": "a/b"}, "study_id"),
    ],
)
async def test_bad_studies_are_refused_by_field(call, fields, loc):
    refused = await call.post("/api/studies", {"spec": SMALL, "space": SPACE, **fields})
    assert refused.status == 422, refused.body
    assert loc in [one["loc"] for one in refused.error["details"]]


async def test_a_space_that_needs_too_much_memory_is_refused(call):
    space = {"model.hidden": {"choices": [[8], [8192] * 16]}}
    refused = await call.post("/api/studies", {"spec": {**SMALL, "dataset": None}, "space": space, "trials": 2})
    assert refused.status == 422
    assert refused.error["details"][0]["loc"] == "space.model.hidden"


async def test_an_unknown_data_set_is_refused(call):
    refused = await call.post("/api/studies", {"spec": {"dataset": "nowhere"}, "trials": 1})
    assert (refused.status, refused.error["code"]) == (404, "dataset_not_found")


@pytest.mark.parametrize("is_text", [True, False])
async def test_auto_has_trees_where_a_table_has_what_they_can_read(call, is_text):
    cells = (
        f"the {n} foxes {'like' if n % 2 else 'hate'} {n * 7} dogs" if is_text else str(n * 7) for n in range(90)
    )
    table = "t,c\n" + "\n".join(f"{cell},{'xy'[n % 2]}" for n, cell in enumerate(cells))
    assert (await call("PUT", "/api/datasets/some", data=table.encode())).status < 300
    study_id = await submitted(call, spec={"dataset": "some"}, space="auto", trials=1)
    study = await shown(call, study_id)
    assert ("model" in study["space"]) == (not is_text and find_spec("lightgbm") is not None)
    await call.service.cancel_study(study_id)


async def test_the_ensemble_of_a_study_predicts_is_exported_and_gets_a_name(call):
    rows = [{"a": n % 7, "b": "xy"[n % 2], "y": n % 7 + (n % 2) + 0.01 * (n % 13)} for n in range(240)]
    table = "a,b,y\n" + "\n".join(f"{row['a']},{row['b']},{row['y']}" for row in rows)
    assert (await call("PUT", "/api/datasets/combined", data=table.encode())).status < 300
    spec = {"dataset": "combined", "target": "y", "epochs": 8, "lr": 0.02, "batch_size": 32}
    study_id = await submitted(
        call, spec=spec, space={"model.hidden": {"choices": [[8], [16], [16, 16]]}}, ensemble=True
    )
    study = await call.service.wait_study(study_id)
    assert (study.status, study.model) == ("COMPLETED", f"models/{study_id}.pt"), study.note
    asked = {"rows": [{"a": 6, "b": "y"}, {"a": 0, "b": "x"}]}
    predicted = await call.post(f"/api/models/{study_id}/predict", asked)
    assert predicted.status == 200, predicted.body
    high, low = predicted.json["predictions"]
    assert high > low
    named = await call("PUT", "/api/models/aliases/champion", json={"job_id": study_id})
    assert named.status == 200, named.body
    by_name = await call.post("/api/models/champion/predict", asked)
    assert by_name.json["predictions"] == [high, low]
    for form, begins in (("onnx", b"\x08"), ("safetensors", b"")):
        exported = await call.get(f"/api/models/{study_id}/export?format={form}")
        assert (exported.status, exported.body[: len(begins)]) == (200, begins), (form, exported.body[:300])
        assert len(exported.body) > 1_000
    scored = await call.post(f"/api/models/{study_id}/evaluate", {"dataset": "combined"})
    assert scored.json["score"]["metrics"]["rmse"] < scored.json["score"]["baseline"]["rmse"]
    downloaded = await call.get(f"/api/models/{study_id}")
    assert (downloaded.status, downloaded.body[:2]) == (200, b"PK")
