"""The description of a public field: the string after it in its class, as editors show it.

`TrainSpec`, `Job`, the events, the settings and the types of the HTTP calls have one for every field. OpenAPI,
`--help`, docs/api.md and the page's form take the text from here, so it is written once.
"""

import ast
import inspect
from functools import cache
from pathlib import Path

import msgspec


@cache
def field_lines(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Return the descriptions of a struct's fields by name, inherited ones too; none without source code."""
    lines: dict[str, str] = {}
    for base in reversed(struct.__mro__):
        if issubclass(base, msgspec.Struct) and base is not msgspec.Struct:
            lines |= _classes(inspect.getsourcefile(base) or "").get(base.__qualname__, {})
    return {name: lines[name] for name in struct.__struct_fields__ if name in lines}


def structs_in(*types: object) -> dict[str, type[msgspec.Struct]]:
    """Return the structs that occur in types, nested ones too, by the names that schemas give them."""
    found: dict[str, type[msgspec.Struct]] = {}
    waiting = list(msgspec.inspect.multi_type_info(types))
    while waiting:
        match waiting.pop():
            case msgspec.inspect.StructType(cls=struct, fields=fields):
                if struct.__name__ not in found:
                    found[struct.__name__] = struct
                    waiting += [field.type for field in fields]
            case msgspec.inspect.UnionType(types=branches):
                waiting += branches
            case msgspec.inspect.Metadata(type=inner):
                waiting.append(inner)
            case msgspec.inspect.ListType(item_type=item) | msgspec.inspect.VarTupleType(item_type=item):
                waiting.append(item)
            case msgspec.inspect.DictType(value_type=value):
                waiting.append(value)
    return found


@cache
def _classes(path: str) -> dict[str, dict[str, str]]:
    """Return the descriptions of all fields in a file, by class and field."""
    try:
        tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    except OSError:
        return {}
    return {node.name: dict(_lines(node)) for node in tree.body if isinstance(node, ast.ClassDef)}


def _lines(node: ast.ClassDef) -> list[tuple[str, str]]:
    """Return each field of a class with the string that follows it."""
    found = []
    for field, after in zip(node.body, node.body[1:], strict=False):
        match field, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found.append((name, text))
    return found
