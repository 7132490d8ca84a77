"""Finds every problem of a value that does not fit a type, and describes it in words.

Walks a plain JSON value and the type as `msgspec.inspect` describes it. msgspec alone decides what is valid; this
only explains.
"""

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec
from msgspec import inspect

LISTED = 100  # the most problems that are listed


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem: where (`model.hidden.2`), and what is wrong, as the rest of a sentence that begins with that."""

    loc: str
    msg: str


def problems(value: Any, type_: Any, *, strict: bool = True) -> list[Problem]:
    """Return the problems of `value` as a `type_`, one more than `LISTED` at most; none if it fits."""
    return list(islice(_walk(value, inspect.type_info(type_), "", strict=strict), LISTED + 1))


def _walk(value: Any, kind: inspect.Type, loc: str, *, strict: bool) -> Iterator[Problem]:
    described, kind = kind, _choice(value, kind)
    match kind:
        case inspect.StructType() if isinstance(value, Mapping):
            yield from _walk_struct(value, kind, loc, strict=strict)
        case inspect.DictType() if isinstance(value, Mapping):
            yield from _walk_dict(value, kind, loc, strict=strict)
        case inspect.ListType() | inspect.VarTupleType() if isinstance(value, list | tuple):
            if not _length_fits(len(value), kind):
                yield Problem(loc, f"must have {_length(kind, 'item')}, has {len(value)}")
            for index, item in enumerate(value):
                yield from _walk(item, kind.item_type, _join(loc, index), strict=strict)
        case _:
            if not fits(value, kind, strict=strict):
                yield Problem(loc, f"must be {describe(described)}, got {_tagged(value, kind) or _shown(value)}")


def _tagged(value: Any, kind: inspect.Type) -> str:
    """Return the tag of an object that no struct of the union has; empty without one."""
    bare = _bare(kind)
    branches = bare.types if isinstance(bare, inspect.UnionType) else ()
    fields = {branch.tag_field for branch in branches if isinstance(branch, inspect.StructType) and branch.tag_field}
    named = [field for field in fields if isinstance(value, Mapping) and field in value]
    return _shown(value[named[0]]) if named else ""


def _walk_struct(value: Mapping[Any, Any], kind: inspect.StructType, loc: str, *, strict: bool) -> Iterator[Problem]:
    known = {field.encode_name: field for field in kind.fields}
    names = [*known, *([kind.tag_field] if kind.tag_field else [])]
    for name, item in value.items():
        if name in known:
            yield from _walk(item, known[name].type, _join(loc, name), strict=strict)
        elif name not in names:
            yield Problem(_join(loc, _short(str(name))), _unknown(str(name), names))
    for name, field in known.items():
        if field.required and name not in value:
            yield Problem(_join(loc, name), "is missing")


def _walk_dict(value: Mapping[Any, Any], kind: inspect.DictType, loc: str, *, strict: bool) -> Iterator[Problem]:
    if not _length_fits(len(value), kind):
        yield Problem(loc, f"must have {_length(kind, 'entry')}, has {len(value)}")
    for key, item in value.items():
        if not fits(key, kind.key_type, strict=strict):
            yield Problem(loc, f"a key must be {describe(kind.key_type)}, got {_shown(key)}")
        yield from _walk(item, kind.value_type, _join(loc, _short(str(key))), strict=strict)


def _choice(value: Any, kind: inspect.Type) -> inspect.Type:
    """Return the branch of a union that `value` is meant for, or the union where that is unclear."""
    kind = _bare(kind)
    if not isinstance(kind, inspect.UnionType):
        return kind
    if isinstance(value, Mapping):
        structs = [branch for branch in kind.types if isinstance(branch, inspect.StructType)]
        tagged = [branch for branch in structs if branch.tag_field and value.get(branch.tag_field) == branch.tag]
        if tagged or len(structs) == 1:
            return (tagged or structs)[0]
        if dicts := [branch for branch in kind.types if isinstance(branch, inspect.DictType)]:
            return dicts[0]
    if isinstance(value, list | tuple):
        for branch in kind.types:
            if isinstance(branch, inspect.ListType | inspect.VarTupleType):
                return branch
    return kind


def _bare(kind: inspect.Type) -> inspect.Type:
    """Return a type without its descriptions."""
    return _bare(kind.type) if isinstance(kind, inspect.Metadata) else kind


def _description(kind: inspect.Type) -> str:
    return str((kind.extra_json_schema or {}).get("description", "")) if isinstance(kind, inspect.Metadata) else ""


def fits(value: Any, kind: inspect.Type, *, strict: bool = True) -> bool:
    """Return whether a plain value fits the type `kind`."""
    kind = _bare(kind)
    if not strict and isinstance(value, str):
        value = _from_text(value, kind)
    match kind:
        case inspect.UnionType():
            return any(fits(value, branch, strict=strict) for branch in kind.types)
        case inspect.IntType():
            return type(value) is int and _in_bounds(value, kind)
        case inspect.FloatType():
            return type(value) in (int, float) and _in_bounds(value, kind)
        case inspect.StrType():
            return isinstance(value, str) and _length_fits(len(value), kind) and _matches(value, kind.pattern)
        case inspect.LiteralType():
            return any(value == known and type(value) is type(known) for known in kind.values)
        case inspect.EnumType():
            return value in {member.value for member in kind.cls} if isinstance(value, str | int) else False
        case _:
            return _is_plain(value, kind)


def _is_plain(value: Any, kind: inspect.Type) -> bool:
    match kind:
        case inspect.BoolType():
            return isinstance(value, bool)
        case inspect.NoneType():
            return value is None
        case inspect.AnyType() | inspect.RawType():
            return True
        case _:
            return False


def _from_text(text: str, kind: inspect.Type) -> Any:
    """Return a query's `text` as a number or boolean where `kind` is one and the text is valid, else the text."""
    plain = _FROM_TEXT.get(type(kind))
    try:
        return text if plain is None else msgspec.convert(text, plain, strict=False)
    except msgspec.ValidationError:
        return text


_FROM_TEXT: dict[type, type] = {inspect.IntType: int, inspect.FloatType: float, inspect.BoolType: bool}


def _in_bounds(value: float, kind: inspect.IntType | inspect.FloatType) -> bool:
    """Return whether a number is within the bounds; NaN never is."""
    return (
        (kind.ge is None or value >= kind.ge)
        and (kind.gt is None or value > kind.gt)
        and (kind.le is None or value <= kind.le)
        and (kind.lt is None or value < kind.lt)
    )


def _length_fits(length: int, kind: Any) -> bool:
    return length >= (kind.min_length or 0) and (kind.max_length is None or length <= kind.max_length)


def _matches(text: str, pattern: str | None) -> bool:
    return pattern is None or re.search(pattern, text) is not None


def describe(kind: inspect.Type) -> str:
    """Return what `kind` takes, in words: `a whole number from 1 to 100000`; for a pattern, its description."""
    bare = _bare(kind)
    if isinstance(bare, inspect.StrType) and bare.pattern is not None and (description := _description(kind)):
        return description
    kind = bare
    match kind:
        case inspect.UnionType():
            return _describe_union(kind)
        case inspect.IntType() | inspect.FloatType():
            noun = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
            return " ".join([noun, *_bounds(kind)])
        case inspect.StrType():
            return _describe_text(kind)
        case inspect.LiteralType():
            return _either([json.dumps(known) for known in kind.values])
        case inspect.EnumType():
            return _either([json.dumps(member.value) for member in kind.cls])
        case _:
            return _NOUNS.get(type(kind), "something else")


_NOUNS: dict[type, str] = {
    inspect.BoolType: "true or false",
    inspect.NoneType: "null",
    inspect.StructType: "an object",
    inspect.DictType: "an object",
    inspect.ListType: "a list",
    inspect.VarTupleType: "a list",
    inspect.RawType: "JSON",
}


def _describe_union(kind: inspect.UnionType) -> str:
    """Return what a union takes: tagged objects as one choice of tags, null last."""
    tagged = [branch for branch in kind.types if isinstance(branch, inspect.StructType) and branch.tag_field]
    others = [branch for branch in kind.types if branch not in tagged]
    parts = [describe(branch) for branch in sorted(others, key=lambda branch: isinstance(branch, inspect.NoneType))]
    if tagged:
        tags = _either([json.dumps(branch.tag) for branch in tagged])
        parts.insert(0, f'an object whose "{tagged[0].tag_field}" is {tags}')
    return _either(parts)


def _describe_text(kind: inspect.StrType) -> str:
    if kind.pattern is not None:
        return f"text of the form {kind.pattern.replace(chr(92) + 'Z', '$')}"
    if kind.min_length or kind.max_length is not None:
        return f"text of {_length(kind, 'character')}"
    return "text"


def _bounds(kind: inspect.IntType | inspect.FloatType) -> list[str]:
    if kind.ge is not None and kind.le is not None:
        return [f"from {_number(kind.ge)} to {_number(kind.le)}"]
    words = (("at least", kind.ge), ("above", kind.gt), ("at most", kind.le), ("below", kind.lt))
    parts = [f"{word} {_number(bound)}" for word, bound in words if bound is not None]
    return [" and ".join(parts)] if parts else []


def _number(value: float | None) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _length(kind: Any, noun: str) -> str:
    plural = {"entry": "entries"}.get(noun, f"{noun}s")
    if not kind.min_length:
        return f"at most {kind.max_length} {plural}"
    if kind.max_length is None:
        return f"at least {kind.min_length} {plural}"
    return f"{kind.min_length} to {kind.max_length} {plural}"


def _either(parts: list[str]) -> str:
    parts = list(dict.fromkeys(parts))
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} or {parts[-1]}"


def _unknown(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name[:100], names, n=1)
    return f"is not a field; did you mean {near[0]}?" if near else "is not a field"


def _shown(value: Any) -> str:
    """Return a value as JSON, cut short; objects, lists and huge numbers in words."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**30:
        return "a number of many digits"
    return _short(json.dumps(value, ensure_ascii=False, default=lambda other: type(other).__name__))


def _short(text: str, limit: int = 80) -> str:
    return text if len(text) <= limit else f"{text[:limit]}..."


def _join(loc: str, name: object) -> str:
    return f"{loc}.{name}" if loc else str(name)
