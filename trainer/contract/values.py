"""Converts values of users' code to plain ones, for events, reports, options and predictions.

Scalars of numpy, torch and Python, arrays, deques, paths, dates, enumerations and dataclasses have one obvious plain
form; other values are refused by name and type. Imports neither numpy nor torch: where there is a value of
theirs, they are loaded.
"""

import dataclasses
import datetime as dt
import decimal
import enum
import math
import numbers
import os
import sys
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import msgspec

WHOLE_MAX = 2**63 - 1  # the largest integer in the database
DEPTH_MAX = 32
TEXT_CHARS = 20_000  # of one log line or name; what is longer is cut, and says so
_EXACT = frozenset({type(None), bool, float})


class NotPlain(Exception):
    """A value has no plain form: the `problem`, and `where` it is within the value that was given."""

    def __init__(self, problem: str, where: str = "") -> None:
        super().__init__(f"{where} {problem}".strip())
        self.problem = problem
        self.where = where


def plain(value: Any, where: str = "", depth: int = DEPTH_MAX) -> Any:
    """Return `value` as None, a bool, an int, a float, a text, or a list or dict of those. Raises `NotPlain`.

    A tensor or an array becomes (nested) lists, a path a text, a date its ISO 8601 text, a duration seconds, a set a
    list, a dataclass or named tuple a dict.
    """
    kind = type(value)
    if kind in _EXACT:
        return value
    if kind is str:
        return text(value)
    if depth == 0:
        raise NotPlain(f"is nested more than {DEPTH_MAX} deep, or holds itself", where)
    for is_of, convert in _FORMS:
        if is_of(value):
            return convert(value, where, depth)
    raise NotPlain(f"is {a_kind(value)}, which has no plain form (numbers, texts, lists, dicts)", where)


def number(value: Any, where: str = "") -> float | None:
    """Return a scalar of any library as a float: a tensor, array or list of one element too. Raises `NotPlain`."""
    if value is None or type(value) is float:
        return value
    if isinstance(value, str | bytes | Mapping):
        raise NotPlain(f"takes a number, not {a_kind(value)}", where)
    if isinstance(value, list | tuple) and len(value) == 1:
        return number(value[0], where)
    try:
        if hasattr(value, "item"):
            value = value.item()  # of torch and numpy: fails where there are several elements
        if isinstance(value, complex):
            raise TypeError  # noqa: TRY301 - as below
        return float(value)
    except Exception:  # noqa: BLE001 - whatever other people's types raise: it is no number
        raise NotPlain(f"takes a number, not {a_kind(value)}", where) from None


def numbers_by_name(values: Any, where: str = "") -> dict[str, float | None]:
    """Return a mapping of scalars as names and floats. Raises `NotPlain`."""
    if not isinstance(values, Mapping):
        raise NotPlain(f"takes numbers by name, not {a_kind(values)}", where)
    return {_key(name, where): number(value, f"{where}[{_key(name, where)!r}]") for name, value in values.items()}


def whole(value: Any, where: str = "", least: int = 0) -> int:
    """Return a whole number of any library as an int. Raises `NotPlain`, for 0.5 too."""
    found = value if type(value) is int else number(value, where)
    if found is None or isinstance(value, bool) or not math.isfinite(found) or found != int(found):
        raise NotPlain(f"takes a whole number, not {a_kind(value) if found is None else found}", where)
    if not least <= found <= WHOLE_MAX:
        raise NotPlain(f"takes a whole number from {least} to {WHOLE_MAX}, not {found}", where)
    return int(found)


def flag(value: Any, where: str = "") -> bool:
    """Return a boolean of any library as a bool. Raises `NotPlain`."""
    if type(value) is bool:
        return value
    try:
        return bool(value)
    except Exception:  # noqa: BLE001 - an array of several says that it is ambiguous
        raise NotPlain(f"takes true or false, not {a_kind(value)}", where) from None


def text(value: Any, limit: int | None = None) -> str:
    """Return any object as text that can be encoded as UTF-8; other characters are escaped."""
    try:
        found = value if type(value) is str else str(value)
    except Exception:  # noqa: BLE001 - an object's own __str__ may raise
        found = f"<{type(value).__name__}>"
    if not found.isascii():
        found = found.encode("utf-8", "backslashreplace").decode()
    if limit is not None and len(found) > limit:
        found = f"{found[:limit]} ... ({len(found) - limit:,} more characters)"
    return str(found)


def a_kind(value: Any) -> str:
    """Return what a value is, in words: its type, and the shape of an array."""
    kind = type(value)
    name = kind.__name__ if kind.__module__ in {"builtins", "__main__"} else f"{kind.__module__}.{kind.__name__}"
    name = f"an {name}" if name[0] in "aeiouAEIOU" else f"a {name}"
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"{name} of shape {'x'.join(map(str, shape))}"
    if isinstance(value, list | tuple | Mapping | set):
        return f"{name} of {len(value)}"
    if isinstance(value, str):
        return f"the text {text(value, 40)!r}"
    return "None" if value is None else name


def _key(key: Any, where: str) -> str:
    """Return a dict's key as a text."""
    if isinstance(key, str):
        return text(str(key.value) if isinstance(key, enum.Enum) else key, TEXT_CHARS)
    found = plain(key, where)
    if isinstance(found, list | dict):
        raise NotPlain(f"has the key {text(key, 40)}: keys are texts or numbers", where)
    return text(found)


def _mapping(value: Any, where: str, depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, inner in value.items():
        name = _key(key, where)
        if name in found:
            raise NotPlain(f"has two keys that are written {name!r}", where)
        found[name] = plain(inner, f"{where}[{name!r}]", depth - 1)
    return found


def _listed(value: Any, where: str, depth: int) -> list[Any]:
    return [
        inner if type(inner) in _EXACT else plain(inner, f"{where}[{place}]", depth - 1)
        for place, inner in enumerate(value)
    ]


def _set(value: Any, where: str, depth: int) -> list[Any]:
    try:
        return _listed(sorted(value), where, depth)
    except TypeError:  # of several kinds
        return _listed(sorted(value, key=repr), where, depth)


def _int(value: Any, where: str, _depth: int) -> int:
    found = int(value)
    if not -WHOLE_MAX - 1 <= found <= 2 * WHOLE_MAX + 1:
        raise NotPlain("is a whole number of more than 64 bits", where)
    return found


def _tensor(value: Any, where: str, depth: int) -> Any:
    try:
        dense = value.to_dense() if value.layout is not sys.modules["torch"].strided else value
        return plain(dense.detach().cpu().tolist(), where, depth)
    except NotPlain:
        raise
    except Exception as error:  # noqa: BLE001 - sparse, without storage, on a device that failed
        raise NotPlain(f"is {a_kind(value)} whose values cannot be read: {text(error, 200)}", where) from None


def _array(value: Any, where: str, depth: int) -> Any:
    if value.dtype.kind in "mM":
        value = value.astype("timedelta64[us]" if value.dtype.kind == "m" else "datetime64[us]")
    return plain(value.tolist(), where, depth)


def _tolist(value: Any, where: str, depth: int) -> Any:
    return plain(value.tolist(), where, depth)


def _bytes(value: Any, where: str, _depth: int) -> str:
    try:
        return bytes(value).decode()
    except UnicodeDecodeError:
        raise NotPlain("is bytes that are no text", where) from None


def _is_array_like(value: Any) -> bool:
    """Return whether it is a pandas Series, an array of another library, or the like."""
    return callable(getattr(value, "tolist", None)) and not isinstance(value, type)


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kinds)


def _is_of(module: str, *names: str) -> Callable[[Any], bool]:
    """Return a check for instances of a module's classes, which does not import the module."""

    def is_of(value: Any) -> bool:
        loaded = sys.modules.get(module)
        return loaded is not None and isinstance(value, tuple(getattr(loaded, name) for name in names))

    return is_of


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    is_struct = isinstance(value, msgspec.Struct)
    names = value.__struct_fields__ if is_struct else [field.name for field in dataclasses.fields(value)]
    return ((name, getattr(value, name)) for name in names)


def _is_record(value: Any) -> bool:
    return isinstance(value, msgspec.Struct) or (dataclasses.is_dataclass(value) and not isinstance(value, type))


def _is_named_tuple(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(value, "_asdict")


Convert = Callable[[Any, str, int], Any]
_FORMS: tuple[tuple[Callable[[Any], bool], Convert], ...] = (
    (_is(enum.Enum), lambda value, where, depth: plain(value.value, where, depth - 1)),
    (_is(str), lambda value, _where, _depth: text(str(value))),
    (_is(int), _int),
    (_is(dict), _mapping),
    (_is_named_tuple, lambda value, where, depth: _mapping(value._asdict(), where, depth)),
    (_is(list, tuple), _listed),
    (_is_of("torch", "Tensor"), _tensor),
    (_is_of("torch", "dtype", "device"), lambda value, _where, _depth: str(value)),
    (_is_of("numpy", "ndarray", "datetime64", "timedelta64"), _array),
    (_is_of("numpy", "bool_"), lambda value, _where, _depth: bool(value)),
    (_is_of("numpy", "generic"), lambda value, where, depth: plain(value.item(), where, depth - 1)),
    (_is(os.PathLike), lambda value, _where, _depth: text(os.fsdecode(value))),
    (_is(dt.date, dt.time), lambda value, _where, _depth: value.isoformat()),
    (_is(dt.timedelta), lambda value, _where, _depth: value.total_seconds()),
    (_is(uuid.UUID), lambda value, _where, _depth: str(value)),
    (_is(bytes, bytearray, memoryview), _bytes),
    (_is(set, frozenset), _set),
    (_is(Mapping), _mapping),
    (_is_record, lambda value, where, depth: _mapping(dict(_fields(value)), where, depth)),
    (_is_array_like, _tolist),
    (_is(Collection), _listed),
    (_is(numbers.Real, decimal.Decimal), lambda value, _where, _depth: float(value)),
)
