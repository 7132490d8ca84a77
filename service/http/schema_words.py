"""A JSON schema in a few words, for the pages that are made from OpenAPI: `/docs` and docs/calls.md."""

import json
from collections.abc import Callable
from typing import Any

MOST_LISTED = 12  # values of an enum; of more only the number is shown
BOUNDS = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}


def in_words(schema: dict[str, Any], link: Callable[[str], str], code: Callable[[str], str]) -> str:
    """Return what a schema takes; `link` marks the name of a type up, `code` a value."""
    if "$ref" in schema:
        return link(schema["$ref"].rsplit("/", 1)[-1])
    if "anyOf" in schema:
        return " or ".join(in_words(one, link, code) for one in schema["anyOf"])
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if len(values) > MOST_LISTED:
        return f"one of {len(values)} values"
    if values:
        return " or ".join(code(one if isinstance(one, str) else json.dumps(one)) for one in values)
    if schema.get("type") == "array":
        return f"list of {in_words(schema['items'], link, code)}" if schema.get("items") else "list"
    limits = [f"{word} {schema[name]:g}" for name, word in BOUNDS.items() if name in schema]
    return " ".join([str(schema.get("type", "anything")), *limits])
