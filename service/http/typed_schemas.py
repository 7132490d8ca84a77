"""What generators of clients need of a schema beyond what validation does: a type everywhere, and plain defaults.

JSON Schema lets a type be told by an `enum` alone, a list be of anything, and a default be an object of one of
several kinds; programs that write classes from a schema stumble over each. What is valid stays the same.
"""

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
    if isinstance(made.get("default"), dict) and ("anyOf" in made or "oneOf" in made):
        made["x-default"] = made.pop("default")  # for the page's form
    choices = made.get("enum")
    if isinstance(choices, list) and "type" not in made and (kind := _kind_of(choices)) is not None:
        made["type"] = kind
        if kind == "boolean":  # one of two: which, the description says
            del made["enum"]
    return made


def _kind_of(choices: list[Any]) -> str | None:
    kinds = {type(choice) for choice in choices}
    return _TYPES.get(kinds.pop()) if len(kinds) == 1 else None
