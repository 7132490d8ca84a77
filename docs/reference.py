"""Writes the pages of docs/ that are made from the code alone: calls.md, commands.md and metrics.md.

Called by `make tables`, which is docs/tables.py. A test fails where a page is not what this writes.
"""

import re
import sys
from collections.abc import Iterator
from typing import Any

from traind.service.http import health
from traind.service.http.openapi import make_document
from traind.service.http.operations import OPERATIONS
from traind.service.http.schema_words import in_words
from traind.service.http.telemetry import Telemetry

MADE = "<!-- made by `make tables` from the code -->\n"


def pages() -> dict[str, str]:
    """Return each page by its file's name."""
    return {"calls.md": calls(), "commands.md": commands(), "metrics.md": metrics()}


def calls() -> str:
    """Return the page of every HTTP call, its parameters, body, answers and errors, and every type."""
    document = make_document(OPERATIONS)
    groups: dict[str, list[str]] = {}
    for path, methods in {**document["paths"], **document["x-websockets"]}.items():
        for method, call in methods.items():
            groups.setdefault(call["tags"][0], []).append("\n".join(_call(method.upper(), path, call)))
    about = "[errors.md](errors.md) says what each error means, [api.md](api.md) how streams are read."
    parts = [f"# Every call\n\n{MADE}\n{about}\n"]
    parts += [f"## {name.capitalize()}\n\n" + "\n".join(texts) for name, texts in groups.items()]
    types = ["\n".join(_type(name, schema)) for name, schema in sorted(document["components"]["schemas"].items())]
    return "\n".join([*parts, "## Types\n", *types])


def commands() -> str:
    """Return the page of every command with its flags."""
    from traind.service.cli.app import app

    called, sys.argv = sys.argv, ["traind"]  # what the library takes for the program's name
    try:
        text = app.generate_docs(include_hidden=False)
    finally:
        sys.argv = called
    text = re.sub(r"## Table of Contents\n.*?\n\*\*Commands\*\*:\n.*?(?=\n## )", "", text, flags=re.DOTALL)
    return text.replace("# traind\n", f"# Every command\n\n{MADE}", 1).rstrip() + "\n"


def metrics() -> str:
    """Return the page of every figure of `GET /metrics`."""
    telemetry, rows = Telemetry(), []
    telemetry.totals.tell("traind_points_dropped", health.DROPPED, {}, "at")
    telemetry.totals.tell("traind_slot_restarts", health.RESTARTS, {}, "while")
    for family in telemetry.registry.collect():
        if family.name.startswith("traind_"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            rows.append(f"| `{name}` | {family.type} | {family.documentation} |")
    return (
        "\n".join([f"# Every metric\n\n{MADE}", "| name | kind | what it is |", "|---|---|---|", *sorted(rows)])
        + "\n"
    )


def _call(method: str, path: str, call: dict[str, Any]) -> Iterator[str]:
    yield f"### {method} {path}\n\n{_cell(call['summary'])}.\n"
    if call["parameters"]:
        yield "| parameter | in | takes | what it is |\n|---|---|---|---|"
        for one in call["parameters"]:
            words = one.get("description") or one["schema"].get("description", "")
            need = f"{one['in']}, needed" if one["required"] else one["in"]
            yield f"| `{one['name']}` | {need} | {_kind(one['schema'])} | {_cell(words)} |"
        yield ""
    for kind, content in call.get("requestBody", {}).get("content", {}).items():
        said = _kind(content["schema"]) if kind == "application/json" else "the file as it is"
        yield f"- body `{kind}`: {said}"
    for status, answer in call["responses"].items():
        kinds = [
            _kind(content["schema"]) if kind == "application/json" else f"`{kind}`"
            for kind, content in answer.get("content", {}).items()
        ]
        is_error = int(status) >= 400 and ":" in answer["description"]
        codes = answer["description"].split(": ", 1)[-1].split(", ") if is_error else []
        said = ", ".join(f"`{code}`" for code in codes) or ", ".join(kinds) or answer["description"]
        yield f"- {status}: {said}"
    yield ""


def _type(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f"### {name}\n\n{_cell(schema.get('description', ''))}\n"
    if schema.get("properties"):
        yield "| field | is | what it is |\n|---|---|---|"
        for field, inner in schema["properties"].items():
            yield f"| `{field}` | {_kind(inner)} | {_cell(inner.get('description', ''))} |"
        yield ""


def _kind(schema: dict[str, Any]) -> str:
    """Return what a schema takes, types as links."""
    return in_words(schema, lambda name: f"[{name}](#{name.lower()})", lambda value: f"`{value}`")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "\\<")
