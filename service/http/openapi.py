"""Makes the OpenAPI 3.1 document from the table of operations and the types that requests are validated with.

Each error that an operation declares is in it with its code and an example.
"""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from traind.data import errors as data
from traind.service import errors as service
from traind.service.field_lines import field_lines, structs_in
from traind.service.http import errors as http
from traind.service.http.context import SERVICE, VERSION
from traind.service.http.operation import JSON, Operation
from traind.service.http.requests import (
    ControlRequest,
    NoQuery,
    PredictRequest,
    SubmitRequest,
)
from traind.service.http.schemas import (
    ErrorAnswer,
    ErrorBody,
)
from traind.service.http.typed_schemas import for_senders, typed
from traind.service.http.upload_query import UNDESCRIBED
from traind.trainer.contract import errors as trainer
from traind.trainer.contract.metrics import monitors

PATH: Final = "/api/openapi.json"
REF: Final = "#/components/schemas/{name}"
ALWAYS: Final = (
    http.BadRequest,
    http.UnsupportedMedia,
    http.Unauthorized,
    http.TooManyAttempts,
    http.HostNotAllowed,
    http.OriginNotAllowed,
    service.Forbidden,
    service.EngineFailed,
    service.NotRunning,
    http.Unexpected,
)
TABLE: Final = {"type": "string", "minLength": 1, "description": "a header and rows: the file as it is"}
FORMS: Final[dict[str, dict[str, Any]]] = {
    "application/octet-stream": {"type": "string", "format": "binary"},
    "text/event-stream": {"type": "object", "properties": {"id": {"type": "string"}, "data": {"type": "string"}}},
}
BODY_ENDS_BEFORE: Final = 10_000  # bounds from here on are left out: the body's size limit is reached before them
NOT_NULL: Final = {"not": {"type": "null"}}
WITH_BODY: Final = (http.InvalidJson, http.BodyTooLarge, http.BodyTooSlow, service.InvalidSpec)
CONFLICTS: Final = [  # `validation.validate.conflicts`, as far as a schema can express them
    {"not": {"properties": {"dataset": NOT_NULL, "synthetic": NOT_NULL}, "required": ["dataset", "synthetic"]}},
    {
        "if": {
            "properties": {"validation": {"properties": {"kind": {"const": "group"}}, "required": ["kind"]}},
            "required": ["validation"],
        },
        "then": {"properties": {"validation": {"properties": {"column": NOT_NULL}, "required": ["column"]}}},
    },
    *(
        {
            "if": {
                "properties": {"trainer": {"const": "tabular"}, "task": {"const": task}},
                "required": [] if task == "auto" else ["task"],
            },
            "then": {"properties": {"monitor": {"enum": list(monitors(task))}}},
        }
        for task in ("auto", "regression", "binary", "multiclass")
    ),
    {
        "if": {"properties": {"trainer": {"const": "tabular"}}},  # also true without a trainer
        "then": {"properties": {"options": {"maxProperties": 0}}},
    },
]
ROWS_OR_COLUMNS: Final = {  # exactly one of them; from `oneOf`, client generators would make two classes
    "if": {"required": ["rows"]},
    "then": {"not": {"required": ["columns"]}},
    "else": {"required": ["columns"]},
}
JOB_LINKS: Final = (
    "get /api/train/status",
    "get /api/train/events",
    "get /api/train/logs",
    "get /api/train/files",
    "get /api/train/curve",
    "delete /api/train/jobs/{job_id}",
    "post /api/models/{job_id}/predict",
)
SET_LINKS: Final = ("get /api/datasets/{name}", "get /api/datasets/{name}/preview", "delete /api/datasets/{name}")
DESCRIPTION: Final = (
    "Trains PyTorch models for other programs. Every error has one shape: "
    '`{"ok": false, "error": {"code", "message", "hint", "details"}}`.'
)


def make_handler(operations: Iterable[Operation]) -> Handler:
    """Return the handler of the document, which is made at the first request."""
    made: list[dict[str, Any]] = []
    listed = tuple(operations)

    async def handle(request: web.Request) -> web.StreamResponse:
        if not made:
            made.append(make_document(listed))
        servers = [{"url": request.path.removesuffix(PATH) or "/"}]
        named = sorted({"tabular", *request.app[SERVICE].settings.all_trainers()})
        made[0]["components"]["schemas"][SubmitRequest.__name__]["properties"]["trainer"]["enum"] = named
        body = msgspec.json.encode({**made[0], "servers": servers})
        return web.Response(body=body, content_type=JSON)

    return handle


def make_document(operations: Iterable[Operation]) -> dict[str, Any]:
    """Return the OpenAPI document of the operations."""
    listed = tuple(operations)
    types = [
        kind
        for one in listed
        for kind in (one.query, one.body, one.answer, *one.more_answers.values())
        if kind is not None
    ]
    refs, components = msgspec.json.schema_components([*types, ErrorAnswer], ref_template=REF)
    _put_lines(components, [*types, ErrorAnswer])
    schemas = dict(zip(map(repr, types), refs, strict=False))
    paths: dict[str, dict[str, Any]] = {}
    sockets: dict[str, dict[str, Any]] = {}
    for one in listed:
        place = sockets if one.is_websocket else paths
        place.setdefault(one.path, {})[one.method.lower()] = _describe(one, schemas, components)
    components = typed(_portable(components))
    components[ErrorBody.__name__]["properties"]["code"]["enum"] = sorted(codes())
    for_senders(components, {one.body.__name__ for one in listed if one.body is not None})
    components[SubmitRequest.__name__]["allOf"] = CONFLICTS
    components[PredictRequest.__name__] |= ROWS_OR_COLUMNS
    components[ControlRequest.__name__]["minProperties"] = 2  # the job and at least one setting
    return {
        "openapi": "3.1.0",
        "info": {"title": "traind", "version": VERSION, "description": DESCRIPTION},
        "paths": typed(_portable(paths)),
        "x-websockets": _portable(sockets),  # OpenAPI cannot describe them
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _put_lines(components: dict[str, Any], types: Iterable[type[Any]]) -> None:
    """Add the description of each field to its schema."""
    for name, struct in structs_in(*types).items():
        properties = components[name]["properties"]
        for field, line in field_lines(struct).items():
            properties[field]["description"] = line
        if struct.__struct_config__.tag_field is not None:
            properties[struct.__struct_config__.tag_field]["description"] = "The kind of this object."


def codes() -> set[str]:
    """Return every code that an answer can carry."""
    homes = {module.__name__ for module in (data, service, http, trainer)}
    return {leaf.code for root in http.KNOWN for leaf in leaves(root) if leaf.__module__ in homes}


def leaves(root: type[Any]) -> list[type[Any]]:
    """Return an error class and all its subclasses with a code of their own."""
    return [root, *(leaf for child in root.__subclasses__() for leaf in leaves(child) if "code" in vars(leaf))]


def errors_of(one: Operation) -> list[type[Exception]]:
    """Return every error that an operation can answer with."""
    found: list[type[Exception]] = [*one.errors, *ALWAYS]
    if one.body is not None:
        found += WITH_BODY
    if one.upload:
        found += [http.BodyTooSlow]
    if one.query is not NoQuery:
        found += [service.InvalidSpec]
    if "{" in one.path:
        found += [http.NotFound]
    return list(dict.fromkeys(found))


def _describe(one: Operation, schemas: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """Return one operation's object."""
    described: dict[str, Any] = {
        "operationId": _id_of(f"{one.method} {one.path}"),
        "summary": one.summary,
        "tags": [one.group],
        "parameters": [*_path_parameters(one), *_query_parameters(one, components), *_header_parameters(one)],
        "responses": _responses(one, schemas),
    }
    if one.body is not None:
        content: dict[str, Any] = {"schema": schemas[repr(one.body)]}
        if one.example is not None:
            content["example"] = one.example
        described["requestBody"] = {"required": True, "content": {JSON: content}}
    if one.upload:
        body = described.setdefault("requestBody", {"required": True, "content": {}})
        body["content"] |= {kind: {"schema": TABLE} for kind in one.upload}
    if one.is_open:
        described["security"] = [{}]
    for status, links in LINKS.get(described["operationId"], {}).items():
        described["responses"][status]["links"] = links
    return described


def _id_of(call: str) -> str:
    """Return the id of an operation: `GET /api/models/{job_id}` is `get_api_models_job_id`."""
    return re.sub(r"[^a-z]+", "_", call.lower()).strip("_")


def _links() -> dict[str, dict[str, Any]]:
    """Return the links from answers to further calls: by operation, then status."""
    job, name = "$response.body#/job_id", "$response.body#/dataset/name"
    of_job = {_id_of(call): {"operationId": _id_of(call), "parameters": {"job_id": job}} for call in JOB_LINKS}
    of_dataset = {_id_of(call): {"operationId": _id_of(call), "parameters": {"name": name}} for call in SET_LINKS}
    return {"post_api_train": {"202": of_job}, "put_api_datasets_name": {"200": of_dataset}}


LINKS: Final = _links()


def _path_parameters(one: Operation) -> list[dict[str, Any]]:
    patterns = {
        "job_id": "^[A-Za-z0-9_-]{1,64}$",
        "study_id": "^[A-Za-z0-9_-]{1,48}$",
        "name": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$",
    }
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": patterns[name]}}
        for name in re.findall(r"{(\w+)}", one.path)
    ]


def _query_parameters(one: Operation, components: dict[str, Any]) -> list[dict[str, Any]]:
    described = components[one.query.__name__]
    required = described.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": schema}
        for name, schema in described["properties"].items()
        if name not in UNDESCRIBED
    ]


def _header_parameters(one: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "header",
            "required": False,
            "description": header.description,
            "schema": {"type": "string", "pattern": header.pattern},
        }
        for name, header in one.headers.items()
    ]


def _responses(one: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {} if one.answer is None else {JSON: {"schema": schemas[repr(one.answer)]}}
    for kind, text in one.media.items():
        content[kind] = {"schema": FORMS.get(kind, {"type": "string"}) | {"description": text}}
    responses: dict[str, Any] = {str(one.status): {"description": one.summary, "content": content}}
    if one.is_websocket:
        responses = {"101": {"description": "The websocket is open"}}
    for status, text in one.more_statuses.items():
        responses[str(status)] = {"description": text}
        if status in one.more_answers:
            responses[str(status)]["content"] = {JSON: {"schema": schemas[repr(one.more_answers[status])]}}
        elif status == HTTPStatus.PARTIAL_CONTENT:
            responses[str(status)]["content"] = content
    by_status: dict[int, list[type[Any]]] = {}
    for error in errors_of(one):
        by_status.setdefault(int(http.status_of(error)), []).append(error)
    for status, kinds in sorted(by_status.items()):
        responses[str(status)] = _refusals(status, kinds)
    return responses


def _refusals(status: int, kinds: list[type[Any]]) -> dict[str, Any]:
    """Return the answer of one error status, with an example for each code."""
    examples = {kind.code: {"summary": meaning(kind), "value": _example(kind)} for kind in kinds}
    content = {"schema": {"$ref": REF.format(name=ErrorAnswer.__name__)}, "examples": examples}
    text = f"{HTTPStatus(status).phrase}: {', '.join(examples)}"
    described: dict[str, Any] = {"description": text, "content": {JSON: content}}
    if status in http.RETRIED:
        described["headers"] = {"Retry-After": {"schema": {"type": "string"}, "description": "seconds"}}
    return described


def _example(kind: type[Any]) -> dict[str, Any]:
    details = [{"loc": "epochs", "msg": 'must be a whole number from 1 to 100000 or "auto", got 0'}]
    shown = details if kind is service.InvalidSpec else []
    return {"ok": False, "error": {"code": kind.code, "message": meaning(kind), "hint": None, "details": shown}}


def meaning(kind: type[Any]) -> str:
    """Return the first line of an error class's docstring."""
    return (kind.__doc__ or "").strip().splitlines()[0]


def _portable(schema: Any) -> Any:
    r"""Return a schema with patterns for other languages too: `$` in place of Python's `\Z`.

    Bounds on lists that exceed what fits into a body are left out: such a body is answered with 413.
    """
    if isinstance(schema, dict):
        return {
            name: inner.replace("\\Z", "$") if name == "pattern" else _portable(inner)
            for name, inner in schema.items()
            if name not in ("maxItems", "maxProperties") or inner < BODY_ENDS_BEFORE
        }
    return [_portable(inner) for inner in schema] if isinstance(schema, list) else schema
