"""The OpenAPI document: whole, true to the router, and its examples fit its schemas."""

import re

import jsonschema_rs
import pytest

from traind.service.errors import InvalidSpec
from traind.service.http.operations import OPERATIONS
from traind.service.validation.validate import parse_spec


@pytest.fixture(scope="module")
def document():
    from traind.service.http.openapi import make_document

    return make_document(OPERATIONS)


def everything(document):
    return [*document["paths"].items(), *document["x-websockets"].items()]


def schema_of(document, schema):
    return {**schema, "components": document["components"], "$schema": "https://json-schema.org/draft/2020-12/schema"}


async def test_it_is_served_with_the_prefix_as_its_server(call):
    answered = await call.get("/api/openapi.json")
    assert answered.status == 200
    assert answered.json["openapi"] == "3.1.0"
    assert answered.json["servers"] == [{"url": "/"}]


async def test_every_route_of_the_api_is_described_and_no_other(call, document):
    app = call.service.web_app()
    pages = {"/", "", "/docs", "/docs.css", "/api/openapi.json"}
    served = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.method != "HEAD"  # as its GET, without the body
        and route.resource.canonical not in pages
        and not route.resource.canonical.startswith("/page/")
    }
    described = {(method.upper(), path) for path, methods in everything(document) for method in methods}
    assert served == described


def test_every_reference_leads_somewhere(document):
    names = document["components"]["schemas"]
    wanted = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert wanted <= set(names)
    jsonschema_rs.meta.validate({"components": {"schemas": names}})


def test_patterns_are_those_of_every_language(document):
    assert "\\\\Z" not in str(document)


def test_every_example_fits_its_schema(document):
    checked = 0
    for methods in document["paths"].values():
        for described in methods.values():
            contents = [described.get("requestBody", {}).get("content", {})]
            contents += [response.get("content", {}) for response in described["responses"].values()]
            for content in contents:
                for media in content.values():
                    examples = [one["value"] for one in media.get("examples", {}).values()]
                    examples += [media["example"]] if "example" in media else []
                    for example in examples:
                        jsonschema_rs.validate(schema_of(document, media["schema"]), example)
                        checked += 1
    assert checked > 100


def test_every_error_of_every_call_is_there_with_its_code(document):
    for operation in OPERATIONS:
        described = dict(everything(document))[operation.path][operation.method.lower()]
        for error in operation.errors:
            assert f"'{error.code}'" in str(described["responses"]), (operation.path, error.code)
    codes = document["components"]["schemas"]["ErrorBody"]["properties"]["code"]["enum"]
    assert "internal_error" in codes


@pytest.mark.parametrize(
    ("spec", "is_valid"),
    [
        ({"options": {}}, True),
        ({"options": {"width": 3}}, False),
        ({"options": {"width": 3}, "trainer": "tabular"}, False),
        ({"options": {"width": 3}, "trainer": "mine"}, True),
        ({"dataset": "d", "synthetic": None}, True),
        ({"dataset": "d", "synthetic": {}}, False),
        ({"validation": {"kind": "group", "column": "who"}}, True),
        ({"validation": {"kind": "group"}}, False),
    ],
)
def test_what_fields_ask_of_each_other_is_in_the_schema(document, spec, is_valid):
    schema = document["components"]["schemas"]["SubmitRequest"]
    assert jsonschema_rs.is_valid(schema_of(document, schema), spec) == is_valid
    assert is_accepted(spec) == is_valid


def is_accepted(spec):
    try:
        parse_spec(spec)
    except InvalidSpec:
        return False
    return True


async def test_answers_fit_their_schemas(call, done, document):
    for path, query in (
        ("/api/train/status", f"?job_id={done}"),
        ("/api/train/jobs", ""),
        ("/api/train/events", f"?job_id={done}"),
        ("/api/train/logs", f"?job_id={done}"),
        ("/api/train/files", f"?job_id={done}"),
        ("/api/train/curve", f"?job_id={done}"),
        ("/api/datasets", ""),
        ("/api/models/aliases", ""),
        ("/health", ""),
        ("/api/health", "?ready"),
    ):
        described = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema_rs.validate(schema_of(document, described), (await call.get(path + query)).json)
