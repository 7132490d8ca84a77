"""A trainer's options: their type is read from its annotation, and a dict is checked and converted to it.

`def train(run: Run[Options])`, where `Options` is a msgspec struct or a dataclass. Unknown fields are refused, even
if the type allows them.
"""

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, get_args, get_type_hints

import msgspec

from traind.trainer.contract.errors import SpecError, UserCodeError


def options_type(train: Any, name: str) -> Any:
    """Return the type `O` of `def train(run: Run[O])`; None without one, or for a plain dict.

    Raises `UserCodeError` for a type that options cannot be checked against.
    """
    called = train if inspect.isroutine(train) else type(train).__call__
    first = next(iter(inspect.signature(train).parameters.values()), None)
    if first is None or first.annotation is inspect.Parameter.empty:
        return None
    try:
        hint = get_type_hints(called).get(first.name)
    except Exception as error:  # noqa: BLE001 - annotations are code
        if "Run[" not in str(first.annotation):  # an annotation for type checkers only
            return None
        raise UserCodeError(
            f"{name} is annotated {first.annotation!r}, which cannot be read: {error}.",
            hint="Define the options' type at the top of the module, outside TYPE_CHECKING and functions.",
        ) from None
    kind = next(iter(get_args(hint)), None)
    if kind is None or kind is Any or kind is dict or getattr(kind, "__origin__", None) is dict:
        return None
    if isinstance(kind, type) and (issubclass(kind, msgspec.Struct) or dataclasses.is_dataclass(kind)):
        return kind
    raise UserCodeError(
        f"{name} is annotated Run[{getattr(kind, '__name__', kind)}], which options cannot be made into.",
        hint="Options are a msgspec.Struct or a dataclass; leave the annotation out to take any dict.",
    )


def checked(given: dict[str, Any], kind: Any) -> Any:
    """Return options as the trainer's type. Raises `SpecError` naming what is wrong, unknown names included."""
    try:
        found = msgspec.convert(given, kind, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise SpecError(f"The trainer's options are wrong: {error}.", field="options") from None
    unknown = next(_unknown(given, msgspec.inspect.type_info(kind), ""), None)
    if unknown is not None:
        raise SpecError(f"The trainer's options are wrong: {unknown}.", field="options")
    return found


def schema(kind: Any) -> dict[str, Any]:
    """Return the JSON schema of an options' type; raises `TypeError` for a field that has none."""
    return msgspec.json.schema(kind, schema_hook=_schema)


def _decode(kind: type, value: Any) -> Any:
    """Convert types that JSON does not have: paths."""
    if issubclass(kind, PurePath) and isinstance(value, str):
        return kind(value)
    raise TypeError(f"{kind.__name__} cannot be made of {type(value).__name__}")


def _schema(kind: type) -> dict[str, Any]:
    if issubclass(kind, PurePath):
        return {"type": "string", "format": "path"}
    raise NotImplementedError


def _unknown(given: Any, kind: Any, where: str) -> Iterator[str]:
    """Yield a message for each field unknown to the type; msgspec ignores these unless the type forbids them."""
    match kind:
        case msgspec.inspect.StructType() | msgspec.inspect.DataclassType() if isinstance(given, Mapping):
            fields = {field.encode_name: field for field in kind.fields}
            tag = getattr(kind, "tag_field", None)
            for name, value in given.items():
                if name in fields:
                    yield from _unknown(value, fields[name].type, f"{where}{name}.")
                elif name != tag:
                    names = ", ".join(fields) or "none"
                    yield f"there is no option `{where}{name}`; there are: {names}"
        case msgspec.inspect.UnionType():
            found = [list(_unknown(given, one, where)) for one in kind.types if _may_be(given, one)]
            yield from min(found, key=len, default=[])
        case msgspec.inspect.ListType() | msgspec.inspect.VarTupleType() if isinstance(given, list | tuple):
            for place, value in enumerate(given):
                yield from _unknown(value, kind.item_type, f"{where}{place}.")
        case msgspec.inspect.DictType() if isinstance(given, Mapping):
            for name, value in given.items():
                yield from _unknown(value, kind.value_type, f"{where}{name}.")


def _may_be(given: Any, kind: Any) -> bool:
    """Return whether a value may be of this type of a union, judged by tag and kind only."""
    is_record = isinstance(kind, msgspec.inspect.StructType | msgspec.inspect.DataclassType)
    if is_record and getattr(kind, "tag_field", None) and isinstance(given, Mapping):
        return bool(given.get(kind.tag_field) == kind.tag)
    return is_record == isinstance(given, Mapping) or isinstance(kind, msgspec.inspect.DictType)
