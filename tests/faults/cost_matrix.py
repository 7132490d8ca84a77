"""Requests that are small and might cost much: every route, every field of its path, query and body, hostile values.

Made from the table of operations and its types at run time, so a new route or field is in it by itself.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
from msgspec import inspect

from traind.service.http.operation import Operation
from traind.service.http.operations import OPERATIONS

BODY_BYTES = 64 * 1024 - 64  # what a control call takes, nearly
LINE_BYTES = 7_000  # of a path or a query: a request's first line has 8 kB
FILLED = {"job_id": "done", "name": "table"}


class Request(NamedTuple):
    """One request of the matrix."""

    call: str  # operation and field, for people
    method: str
    target: str
    body: bytes | None
    content_type: str


def requests() -> Iterator[Request]:
    """Yield the whole matrix. What removes comes last: the others ask for what is there."""
    for operation in sorted(OPERATIONS, key=lambda one: one.method == "DELETE"):
        if operation.is_websocket:
            continue
        yield from _paths(operation)
        yield from _queries(operation)
        yield from _bodies(operation)
        yield from _uploads(operation)


def _target(operation: Operation, **changed: str) -> str:
    path = operation.path
    for name, value in {**FILLED, **changed}.items():
        path = path.replace(f"{{{name}}}", quote(value, safe=""))
    return path


def _request(operation: Operation, what: str, target: str, body: bytes | None = None) -> Request:
    call = f"{operation.method} {operation.path} {what}"
    if body is None and operation.body is not None:
        body = msgspec.json.encode(operation.example or {})
    return Request(call, operation.method, target, body, "application/json")


def _paths(operation: Operation) -> Iterator[Request]:
    for name in FILLED:
        if f"{{{name}}}" in operation.path:
            for kind, text in _texts(LINE_BYTES // 3):
                yield _request(operation, f"path {name} {kind}", _target(operation, **{name: text}))


def _queries(operation: Operation) -> Iterator[Request]:
    fields = [field.encode_name for field in _fields(operation.query)]
    base = "job_id=done" if "job_id" in fields else ""
    for name in [*fields, "unknown"]:
        for kind, text in _texts(LINE_BYTES // 3):
            query = "&".join(filter(None, [base if name != "job_id" else "", f"{name}={quote(text)}"]))
            yield _request(operation, f"query {name} {kind}", f"{_target(operation)}?{query}")
        for kind, number in (("most", 10**3), ("more", 10**5), ("absurd", 10**400)):
            query = "&".join(filter(None, [base, f"{name}={number}"]))[:LINE_BYTES]
            yield _request(operation, f"query {name} {kind}", f"{_target(operation)}?{query}")
    many = "&".join(f"q{number}=" for number in range(LINE_BYTES // 7))
    yield _request(operation, "query many", f"{_target(operation)}?{many}")
    yield _request(operation, "query repeated", f"{_target(operation)}?{'a=1&' * (LINE_BYTES // 4)}")


def _bodies(operation: Operation) -> Iterator[Request]:
    if operation.body is None:
        return
    example = dict(operation.example or {})
    for name in [*(field.encode_name for field in _fields(operation.body)), "unknown"]:
        for kind, value in _values(name):
            body = {**example, name: "<here>"}
            text = json.dumps(body).replace('"<here>"', value, 1).encode()
            yield _request(operation, f"body {name} {kind}", _target(operation), text[: BODY_BYTES + 4_096])
    for kind, value in _values("whole"):
        yield _request(operation, f"body {kind}", _target(operation), value.encode())
    repeated = "{" + ",".join(['"job_id":"x"'] * (BODY_BYTES // 13)) + "}"
    yield _request(operation, "body repeated", _target(operation), repeated.encode())


def _uploads(operation: Operation) -> Iterator[Request]:
    if not operation.upload:
        return
    for kind, table in tables():
        call = f"{operation.method} {operation.path} {kind}"
        form = "jsonl" if kind.startswith("json") else "csv"
        target = f"{_target(operation, name='hostile')}?format={form}"
        yield Request(call, operation.method, target, table, "application/octet-stream")


def tables() -> Iterator[tuple[str, bytes]]:
    """Yield small files that ask for much."""
    half = BODY_BYTES // 2
    yield "long names", ("n" * half + ",b\n1,2\n").encode()
    yield "many names", (",".join(f"c{number}" for number in range(9_000)) + "\n").encode()
    yield "long cell", f'a,b\n"{"x" * BODY_BYTES}",1\n2,3\n'.encode()
    for kind, cell in _texts(BODY_BYTES // 20):
        rows = "".join(f'"{cell.replace(chr(34), "").strip(chr(0))}",{number}\n' for number in range(12))
        yield f"cells {kind}", f"a,b\n{rows}".encode()
    for kind, cell in (
        ("price", f"({' ' * 3_000}x"),
        ("time", f"2020-01-01 {' ' * 3_000}x"),
        ("digits", "9" * 4_000),
    ):
        yield f"cells {kind}", ("a,b\n" + f'"{cell}",1\n' * 15).encode()
    yield "json sparse", b"".join(b'{"k%d": 1}\n' % number for number in range(4_000))
    yield "json deep", b'{"a": ' + b"[" * half + b"]" * half + b"}\n"
    yield "json long key", b'{"' + b"k" * BODY_BYTES + b'": 1}\n'


def _texts(size: int) -> Iterator[tuple[str, str]]:
    yield "long", "a" * size
    yield "spaces", "(" + " " * (size - 2) + "x"
    yield "digits", "9" * size
    yield "control", "\x1b\n\r" * (size // 9)
    yield "wide", "\U0001f600" * (size // 12)
    yield "slashes", "../" * (size // 9)
    yield "quotes", "\"'<>&" * (size // 15)
    yield "empty", ""


def _values(name: str) -> Iterator[tuple[str, str]]:
    size = BODY_BYTES - 1_024
    for kind, text in _texts(size):
        yield f"text {kind}", json.dumps(text)
    yield "deep list", "[" * (size // 2) + "]" * (size // 2)
    yield "deep object", '{"a":' * (size // 6) + "1" + "}" * (size // 6)
    yield "long list", "[" + ",".join(["1"] * (size // 2)) + "]"
    yield "list of texts", "[" + ",".join(f'"t{number}"' for number in range(size // 9)) + "]"
    yield "list of objects", "[" + ",".join(["{}"] * (size // 3)) + "]"
    yield "list of rows", "[" + ",".join(['{"x1":1,"x2":2,"x3":3}'] * (size // 24)) + "]"
    yield "many keys", "{" + ",".join(f'"k{number}":1' for number in range(size // 12)) + "}"
    yield "many columns", "{" + ",".join(f'"k{number}":[1]' for number in range(size // 14)) + "}"
    yield "long key and NaN", '{"' + "a" * (size // 2) + '":[' + ",".join(["NaN"] * (size // 8)) + "]}"
    yield "NaN", "[" + ",".join(["NaN"] * (size // 4)) + "]"
    yield "number of digits", "1" * size
    yield "number huge", "1e999"
    yield "number most", str(2**53)
    yield f"{name} bool", "true"
    yield f"{name} null", "null"


def _fields(kind: type[Any]) -> tuple[inspect.Field, ...]:
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    return described.fields
