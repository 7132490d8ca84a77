"""Adapts schemas to client generators: every value gets a type, and defaults are plain. What is valid stays the same.

JSON Schema allows an `enum` without a type, a list without items, and an object as the default of a union; generators
fail on each of these.
"""

from collections.abc import Iterable
from typing import Any

_TYPES = {bool: "boolean", str: "string", int: "integer", float: "number"}


def typed(schema: Any) -> Any:
    """Return a schema in which every value has a type and no union has an object as its default."""
    if isinstance(schema, list):
        return [typed(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: typed(inner) for name, inner in schema.items()}
    if made.get("type") == "array" and "items" not in made and "prefixItems" not in made:
        made["items"] = {}
    if made.get("type") == "object" and not {"properties", "additionalProperties"} & made.keys():
        made["additionalProperties"] = True
    if isinstance(made.get("default"), dict) and ("anyOf" in made or "oneOf" in made):
        made["x-default"] = made.pop("default")
    choices = made.get("enum")
    if isinstance(choices, list) and "type" not in made and (kind := _kind_of(choices)) is not None:
        made["type"] = kind
        if kind == "boolean" and len(choices) == 1:
            made["const"] = made.pop("enum")[0]
    return made


def for_senders(components: dict[str, Any], roots: Iterable[str]) -> None:
    """Rename `default` to `x-default` in the types of request bodies, given by name, and in the types within them.

    TypeScript's generator makes a field with a default a required one, which is right in answers only.
    """
    waiting, seen = list(roots), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in components:
            continue
        seen.add(name)
        waiting += _names_in(components[name])
        for schema in components[name].get("properties", {}).values():
            if "default" in schema:
                schema["x-default"] = schema.pop("default")


def _names_in(schema: Any) -> list[str]:
    """Return the names of the types that a schema refers to."""
    if isinstance(schema, list):
        return [name for inner in schema for name in _names_in(inner)]
    if not isinstance(schema, dict):
        return []
    own = [schema["$ref"].rsplit("/", 1)[-1]] if isinstance(schema.get("$ref"), str) else []
    return own + [name for inner in schema.values() for name in _names_in(inner)]


def _kind_of(choices: list[Any]) -> str | None:
    kinds = {type(choice) for choice in choices}
    return _TYPES.get(kinds.pop()) if len(kinds) == 1 else None
