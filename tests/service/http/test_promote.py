"""Scores on labelled tables, and names that move to better models."""

import asyncio
import random
from itertools import cycle

import pytest
import pytest_asyncio

from traind.service.errors import NotBetter

COLUMNS = "a,b,colour,value\n"


def table(seed, rows=300, noise=0.3, colours=("red", "green")):
    draw = random.Random(seed)
    lines = []
    for _ in range(rows):
        a, b, colour = draw.gauss(0, 1), draw.gauss(2, 1), draw.choice(colours)
        lines.append(f"{a:.4f},{b:.4f},{colour},{2 * a + (colour == 'red') * b + draw.gauss(0, noise):.4f}")
    return (COLUMNS + "\n".join(lines) + "\n").encode()


def classes(seed, rows=300, names=("no", "yes")):
    draw = random.Random(seed)
    lines = [
        f"{a:.4f},{draw.choice(names[2:]) if i % 50 == 7 and names[2:] else names[a > 0]}"
        for i, a in enumerate(draw.gauss(0, 1) for _ in range(rows))
    ]
    return ("a,kind\n" + "\n".join(lines) + "\n").encode()


async def put(call, name, content):
    answered = await call("PUT", f"/api/datasets/{name}", data=content, headers={"Content-Type": "text/csv"})
    assert answered.status == 200, answered.body


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def models(call):
    """A poor model and a better one of the same table, and a table that neither saw."""
    await put(call, "promote", table(1))
    await put(call, "promote_new", table(2))
    spec = {"dataset": "promote", "target": "value", "synthetic": None, "model": {"kind": "linear"}}
    poor = await call.trained(**spec, epochs=1, lr=1e-5)
    return {"poor": poor, "good": await call.trained(**spec, epochs=40, lr=0.02)}


async def test_a_registered_table_and_the_same_as_a_file_score_the_same(call, models):
    path = f"/api/models/{models['good']}/evaluate"
    named = (await call.post(path, {"dataset": "promote_new"})).json["score"]
    sent = (await call("POST", path, data=table(2), headers={"Content-Type": "text/csv"})).json["score"]
    assert named == sent
    assert (named["rows"], named["left_out"], named["target"]) == (300, [], "value")
    assert named["metrics"]["rmse"] < named["baseline"]["rmse"]
    assert named["baseline"]["r2"] == pytest.approx(0.0, abs=1e-9)
    assert set(named["residuals"]) >= {"0.05", "0.5", "0.95"}


async def test_scores_on_the_validation_rows_are_those_of_the_job(call, models):
    job = await call.service.status(models["good"])
    score = await call.service.evaluate(models["good"], dataset="promote")
    split = job.metrics
    n_train, n_validation = job.report["rows"]["train"], job.report["rows"]["validation"]
    squares = n_train * split["train"]["rmse"] ** 2 + n_validation * split["validation"]["rmse"] ** 2
    assert score.metrics["rmse"] ** 2 * score.rows == pytest.approx(squares, rel=1e-6)


async def test_rows_without_a_target_and_of_new_classes_are_left_out_and_said(call):
    await put(call, "kinds", classes(3))
    job_id = await call.trained(dataset="kinds", target="kind", synthetic=None, epochs=2)
    content = classes(4, names=("no", "yes", "maybe")) + b"0.5,\n0.6,\n"
    answered = await call(
        "POST", f"/api/models/{job_id}/evaluate", data=content, headers={"Content-Type": "text/csv"}
    )
    score = answered.json["score"]
    assert score["left_out"] == [
        {"reason": "the model knows no class 'maybe'", "rows": 6},
        {"reason": "the target is missing", "rows": 2},
    ]
    assert score["rows"] == 294
    assert sum(map(sum, score["confusion"]["counts"])) == 294
    assert score["confusion"]["labels"] == ["no", "yes"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a,b,colour\n1,2,red\n", "'value' is no column"),
        (b"a,colour,value\n1,red,3\n", "'b' is missing"),
        (b"a,b,colour,value\n1,2,red,\n", "No row of the table"),
        (b"a,b,colour,value\n1,two,red,3\n2,2,red,3\n", "two"),
    ],
)
async def test_a_table_that_cannot_be_scored_is_refused_with_the_reason(call, models, content, said):
    path = f"/api/models/{models['good']}/evaluate"
    refused = await call("POST", path, data=content, headers={"Content-Type": "text/csv"})
    assert (refused.status, said in refused.error["message"]) == (422, True), refused.error


async def test_a_table_as_the_body_is_predicted_into_a_csv_file(call, models):
    path = f"/api/models/{models['good']}/predict"
    answered = await call("POST", path, data=table(2, rows=20), headers={"Content-Type": "text/csv"})
    assert (answered.status, answered.headers["Content-Type"]) == (200, "text/csv")
    lines = answered.body.decode().splitlines()
    assert (lines[0], len(lines)) == ("a,b,colour,value,prediction", 21)


async def test_predicted_tables_have_intervals_where_they_are_asked_for(call, models):
    path, csv = f"/api/models/{models['good']}/predict", {"Content-Type": "text/csv"}
    answered = await call("POST", f"{path}?interval=0.5", data=table(2, rows=20), headers=csv)
    lines = answered.body.decode().splitlines()
    assert (lines[0], len(lines)) == ("a,b,colour,value,prediction,prediction_low,prediction_high", 21)
    first = [float(cell) for cell in lines[1].split(",")[-3:]]
    assert first[1] < first[0] < first[2]
    names, cells = lines[0].split(",")[:3], lines[1].split(",")[:3]
    rows = {"rows": [dict(zip(names, cells, strict=True))]}
    for asked, body in (("?interval=0.5", rows), ("?interval=0.1", rows | {"interval": 0.5})):
        assert (await call("POST", path + asked, json=body)).json["intervals"][0] == pytest.approx(first[1:])
    for wrong in ("2", "0", "x"):
        refused = await call("POST", f"{path}?interval={wrong}", data=table(2, rows=20), headers=csv)
        assert (refused.status, refused.error["details"][0]["loc"]) == (422, "interval"), refused.error


async def test_a_name_moves_only_to_the_better_model_and_keeps_its_history(call, models):
    path, on = "/api/models/aliases/promoted", {"dataset": "promote_new", "metric": "rmse"}
    first = await call("PUT", path, json={"job_id": models["poor"], "if_better": on})
    assert (first.status, first.json["is_moved"]) == (200, True)
    better = (await call("PUT", path, json={"job_id": models["good"], "if_better": on})).json
    assert (better["job_id"], better["comparison"]["before_job_id"]) == (models["good"], models["poor"])
    assert better["comparison"]["score"] < better["comparison"]["before"]
    refused = await call("PUT", path, json={"job_id": models["poor"], "if_better": on})
    assert (refused.status, refused.error["code"]) == (409, "not_better")
    scores = {detail["job_id"]: detail["score"] for detail in refused.error["details"]}
    assert scores[models["good"]] == better["comparison"]["score"]
    again = (await call("PUT", path, json={"job_id": models["good"], "if_better": on})).json
    assert again["is_moved"] is False
    history = (await call.get(path)).json["alias"]
    assert [move["job_id"] for move in history["history"]] == [models["poor"], models["good"]]
    assert history["history"][1]["comparison"] == better["comparison"]
    too_little = {**on, "by": 1e6}
    with pytest.raises(NotBetter, match="better by 1e"):
        await call.service.set_alias("promoted", models["poor"], too_little)
    await call("DELETE", path)
    gone = (await call.get(path)).json["alias"]
    assert (gone["job_id"], gone["history"][-1]["job_id"]) == (None, None)
    assert (await call.get("/api/models/aliases/never")).error["code"] == "alias_not_found"


@pytest.mark.parametrize(
    ("condition", "loc"),
    [
        ({"dataset": "promote_new", "metric": "auc"}, "if_better.metric"),
        ({"dataset": "promote_new", "metric": "loss"}, "if_better.metric"),
        ({"dataset": "promote_new", "metric": "rmse", "by": -1}, "if_better.by"),
        ({"metric": "rmse"}, "if_better.dataset"),
    ],
)
async def test_a_wrong_condition_is_named_by_field(call, models, condition, loc):
    body = {"job_id": models["good"], "if_better": condition}
    refused = await call("PUT", "/api/models/aliases/wrong", json=body)
    assert (refused.status, refused.error["details"][0]["loc"]) == (422, loc)
    assert (await call.get("/api/models/aliases/wrong")).status == 404


async def test_two_models_that_race_for_a_name_end_with_the_better_one(call, models):
    on = {"dataset": "promote_new", "metric": "r2"}
    for turn in range(4):
        name = f"race_{turn}"
        pair = [models["poor"], models["good"]][:: 1 if turn % 2 else -1]
        await asyncio.gather(
            *(call("PUT", f"/api/models/aliases/{name}", json={"job_id": one, "if_better": on}) for one in pair)
        )
        assert (await call.get(f"/api/models/aliases/{name}")).json["alias"]["job_id"] == models["good"]


async def test_predictions_through_a_name_that_moves_are_each_of_one_model(call, models):
    rows = [{"a": place / 10, "b": 1, "colour": "red"} for place in range(50)]
    own = {}
    for job_id in models.values():
        own[job_id] = (await call.post(f"/api/models/{job_id}/predict", {"rows": rows})).json["predictions"]
    name = "/api/models/aliases/moving"
    await call("PUT", name, json={"job_id": models["poor"]})

    seen: list[str] = []

    async def move():
        for job_id in cycle(models.values()):
            await call("PUT", name, json={"job_id": job_id})
            if len(seen) > 30 and set(seen) == set(models.values()):
                return

    moving = asyncio.create_task(move())
    while not moving.done():
        answered = (await call.post("/api/models/moving/predict", {"rows": rows})).json
        assert answered["predictions"] == own[answered["job_id"]]
        seen.append(answered["job_id"])
    await moving
