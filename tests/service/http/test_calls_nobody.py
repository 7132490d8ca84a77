"""No request makes the server call somebody: every field of every call is given an address, and nobody is called.

Targets of webhooks come from the operator alone. The address is of a listener of this test, by name and by number.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import pytest
import pytest_asyncio

from traind.service.http.openapi import make_document
from traind.service.http.operations import OPERATIONS

DEPTH = 4  # of values within values
FORMS = (
    "http://127.0.0.1:{port}/x",
    "//localhost:{port}/x",
    "ftp://localhost:{port}/x.csv",
    "s3://127.0.0.1:{port}/x",
)


class Listener:
    """Counts who calls."""

    def __init__(self) -> None:
        self.calls = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._called, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    def _called(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.calls += 1
        writer.close()


@pytest_asyncio.fixture(loop_scope="session")
async def listener() -> AsyncIterator[Listener]:
    async with Listener() as one:
        yield one


def addressed(document: dict[str, Any], schema: dict[str, Any], address: str, depth: int = DEPTH) -> Iterator[Any]:
    """Yield values of a schema in which every text is the address; the shape is the schema's where it is known."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
    if depth == 0:
        yield address
        return
    for one in [*schema.get("anyOf", ()), *schema.get("oneOf", ())]:
        yield from addressed(document, one, address, depth)
    if "properties" in schema:
        inner = {
            name: next(addressed(document, one, address, depth - 1)) for name, one in schema["properties"].items()
        }
        yield inner
        for name, value in inner.items():  # one at a time, too: what is refused for another field is not looked at
            yield {name: value}
    elif schema.get("type") == "array":
        yield [next(addressed(document, schema.get("items", {}), address, depth - 1))]
    elif schema.get("type") == "object":
        yield {address: address}
    else:
        yield address


def requests(document: dict[str, Any], address: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and options of requests that name the address wherever something can be named."""
    own = {"url": address, "webhook": address, "webhooks": [{"url": address}], "callback": address, "path": address}
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            filled = path
            query = {}
            for one in described["parameters"]:
                if one["in"] == "path":
                    filled = filled.replace("{" + one["name"] + "}", quote(address, safe=""))
                else:
                    query[one["name"]] = address
            yield method.upper(), filled, {"params": query}
            for name in query:
                yield method.upper(), filled, {"params": {name: address}}
            if (body := described.get("requestBody")) is None:
                continue
            for kind, content in body["content"].items():
                if kind == "application/json":
                    for value in addressed(document, content["schema"], address):
                        yield method.upper(), filled, {"json": value}
                    yield method.upper(), filled, {"json": own}
                else:
                    yield method.upper(), filled, {"data": address.encode(), "headers": {"Content-Type": kind}}


async def taken_back(call: Any, answered: Any) -> None:
    """Cancel what was accepted: some fields may hold any text."""
    if answered.status != 202:
        return
    if (study_id := answered.json.get("study_id")) is not None:
        await call.post(f"/api/studies/{study_id}/cancel")
    elif (job_id := answered.json.get("job_id")) is not None:
        await call.post("/api/train/cancel", {"job_id": job_id})


@pytest.mark.parametrize("form", FORMS)
async def test_an_address_in_any_field_of_any_call_is_called_by_nobody(call, listener, form):
    document = make_document(OPERATIONS)
    address = form.format(port=listener.port)
    sent = 0
    for method, path, options in requests(document, address):
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            answered = await call(method, path, timeout=aiohttp.ClientTimeout(total=10), **options)
            assert answered.status != 500, (method, path, options, answered.body)
            await taken_back(call, answered)
        sent += 1
    assert sent > 150
    assert listener.calls == 0


async def test_tables_full_of_addresses_are_read_trained_on_and_call_nobody(call, listener):
    address = f"http://127.0.0.1:{listener.port}/x"
    rows = "\n".join(f'{address}?{n % 3},"=HYPERLINK(""{address}"")",{n % 7}' for n in range(60))
    put = await call("PUT", "/api/datasets/calling", data=f"{address},b,y\n{rows}".encode())
    assert put.status < 300, put.body
    job_id = await call.trained(dataset="calling", target="y", synthetic=None, tags=[address], name=address)
    predicted = await call.post(f"/api/models/{job_id}/predict", {"rows": [{address: address, "b": address}]})
    assert predicted.status == 200, predicted.body
    assert listener.calls == 0
