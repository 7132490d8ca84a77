"""The page `/docs`: every call and type, written as HTML from the OpenAPI document, without scripts."""

import json
from collections.abc import Iterable
from html import escape
from importlib import resources
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from traind.service.http.openapi import make_document
from traind.service.http.operation import Operation
from traind.service.http.pages import Asset
from traind.service.http.schema_words import in_words


def make_pages(operations: Iterable[Operation]) -> dict[str, Handler]:
    """Return the handlers of the page and its style sheet."""
    listed = tuple(operations)
    made: list[Asset] = []

    async def page(request: web.Request) -> web.StreamResponse:
        if not made:
            made.append(Asset.make(render(make_document(listed)).encode(), ".html"))
        return made[0].respond(request)

    async def style(request: web.Request) -> web.StreamResponse:
        body = (resources.files("traind.service.http") / "docs.css").read_bytes()
        return Asset.make(body, ".css").respond(request)

    return {"/docs": page, "/docs.css": style}


def render(document: dict[str, Any]) -> str:
    """Return the whole page."""
    groups: dict[str, list[str]] = {}
    for path, methods in {**document["paths"], **document["x-websockets"]}.items():
        for method, described in methods.items():
            groups.setdefault(described["tags"][0], []).append(_operation(method.upper(), path, described))
    links = "".join(f'<a href="#{_slug(name)}">{escape(name)}</a>' for name in [*groups, "types"])
    sections = "".join(
        f'<section id="{_slug(name)}"><h2>{escape(name.capitalize())}</h2>{"".join(parts)}</section>'
        for name, parts in groups.items()
    )
    types = "".join(_type(name, schema) for name, schema in sorted(document["components"]["schemas"].items()))
    info = document["info"]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><title>traind: the interface</title>'
        '<link rel="icon" href="page/icon.svg" type="image/svg+xml">'
        '<link rel="stylesheet" href="docs.css"></head><body>'
        f"<header><h1>traind {escape(info['version'])}</h1><p>{_prose(info['description'])}</p>"
        f'<nav>{links}<a href="./">Page</a></nav></header>'
        f'<main>{sections}<section id="types"><h2>Types</h2>{types}</section></main></body></html>'
    )


def _operation(method: str, path: str, described: dict[str, Any]) -> str:
    parts = [
        f'<article id="{described["operationId"]}"><h3><b>{method}</b> <code>{escape(path)}</code></h3>',
        f"<p>{escape(described['summary'])}.</p>",
        _parameters(described["parameters"]),
        _request(described.get("requestBody")),
        _answers(described["responses"]),
        "</article>",
    ]
    return "".join(parts)


def _parameters(parameters: list[dict[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(one['name'])}</code></td><td>{one['in']}</td><td>{_kind(one['schema'])}</td>"
        f"<td>{'needed' if one['required'] else _default(one['schema'])}</td>"
        f"<td>{escape(one.get('description') or one['schema'].get('description', ''))}</td></tr>"
        for one in parameters
    )
    head = "<tr><th>Parameter</th><th>In</th><th>Kind</th><th>Default</th><th></th></tr>"
    return f"<table>{head}{rows}</table>" if rows else ""


def _request(body: dict[str, Any] | None) -> str:
    if body is None:
        return ""
    kind, content = next(iter(body["content"].items()))
    example = f"<pre>{escape(json.dumps(content['example']))}</pre>" if "example" in content else ""
    shown = _kind(content["schema"]) if kind == "application/json" else "the bytes of a file"
    return f"<p>Body: {shown}</p>{example}"


def _answers(responses: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{status}</td><td>{escape(one['description'])}</td><td>{_contents(one.get('content', {}))}</td></tr>"
        for status, one in responses.items()
    )
    return f"<details><summary>Answers</summary><table>{rows}</table></details>"


def _contents(content: dict[str, Any]) -> str:
    return ", ".join(
        _kind(one["schema"]) if kind == "application/json" else f"<code>{escape(kind)}</code>"
        for kind, one in content.items()
    )


def _type(name: str, schema: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(field)}</code></td><td>{_kind(inner)}</td><td>{_default(inner)}</td>"
        f"<td>{_prose(inner.get('description', ''))}</td></tr>"
        for field, inner in schema.get("properties", {}).items()
    )
    text = f"<p>{_prose(schema.get('description', ''))}</p>"
    return (
        f'<article id="type-{escape(name)}"><h3><code>{escape(name)}</code></h3>{text}<table>{rows}</table></article>'
    )


def _kind(schema: dict[str, Any]) -> str:
    """Return what a schema takes, types as links."""
    return in_words(
        schema,
        lambda name: f'<a href="#type-{escape(name)}">{escape(name)}</a>',
        lambda value: f"<code>{escape(value)}</code>",
    )


def _default(schema: dict[str, Any]) -> str:
    usual = [schema[name] for name in ("default", "x-default") if name in schema]
    return f"<code>{escape(json.dumps(usual[0]))}</code>" if usual else ""


def _prose(text: str) -> str:
    """Return text as HTML, backticks as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))


def _slug(name: str) -> str:
    return name.replace(" ", "-")
