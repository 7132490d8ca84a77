"""Roles, on every route of the router as it is at run time: a new one that changes something is closed to viewers."""

import re

import pytest_asyncio

from traind.service.http.server import Door
from traind.service.http.tokens import parse_tokens

FILLED = {"job_id": "no-such-job", "name": "no-such-name", "study_id": "no-such-study"}
VIEWER, OPERATOR = ({"Authorization": f"Bearer {role}-token"} for role in ("viewer", "operator"))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def roles(calling_on, tmp_path_factory):
    tokens = parse_tokens("vera:viewer-token:viewer\nolaf:operator-token:operator", "test")
    async with calling_on(tmp_path_factory.mktemp("roles"), Door(port=0, tokens=tokens), slots=1) as call:
        yield call


def routes(call):
    for route in call.service.web_app().router.routes():
        if route.method != "HEAD" and route.resource is not None:
            yield route.method, re.sub(r"{(\w+)}", lambda found: FILLED[found[1]], route.resource.canonical)


async def test_a_viewer_reads_and_predicts_and_changes_nothing(roles):
    tried = list(routes(roles))
    assert len(tried) > 30
    for method, path in tried:
        body = {} if method in ("POST", "PUT", "PATCH") else None
        answered = await roles(method, path, headers=VIEWER, json=body)
        may = method == "GET" or path.endswith("/predict")
        is_refused = answered.status == 403
        assert is_refused != may, (method, path, answered.status)
        if is_refused:
            assert answered.error["code"] == "forbidden"
        assert (await roles(method, path, headers=OPERATOR, json=body)).status != 403, (method, path)


async def test_what_does_not_exist_is_that_to_a_viewer_too(roles):
    for method, path, status in (("GET", "/nowhere", 404), ("POST", "/nowhere", 404), ("PUT", "/api/train", 405)):
        assert (await roles(method, path, headers=VIEWER)).status == status


async def test_the_page_is_told_the_role_before_it_shows_anything(roles):
    for headers, role in ((VIEWER, "viewer"), (OPERATOR, "operator")):
        async with roles.socket("/api/train/ws", headers=headers) as ws:
            snapshot = await ws.receive_json()
            assert (snapshot["type"], snapshot["server"]["role"]) == ("snapshot", role)


async def test_without_tokens_everybody_operates(call):
    async with call.socket("/api/train/ws") as ws:
        assert (await ws.receive_json())["server"]["role"] == "operator"
