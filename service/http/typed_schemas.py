"""What generators of clients need of a schema beyond what validation does: a type everywhere, and plain defaults.

JSON Schema lets a type be told by an `enum` alone, a list be of anything, and a default be an object of one of
several kinds; programs that write classes from a schema stumble over each. What is valid stays the same.
"""

from collections.abc import Iterable
from typing import Any

_TYPES = {bool: "boolean", str: "string", int: "integer", float: "number"}


def typed(schema: Any) -> Any:
    """Return a schema in which every value has a type, and no default is an object of one of several kinds."""
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
    """Put `x-default` for `default` in what is sent: the types of these names, and those within them.

    TypeScript's generator takes a field with a default for one that is always there, which is so in answers only.
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
