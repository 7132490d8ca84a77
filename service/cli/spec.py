"""The flags of `traind train`, made from the fields of `TrainSpec`, and the parsing of their values."""

from dataclasses import field, fields, make_dataclass
from typing import Annotated, Any

import msgspec
from cyclopts import Group, Parameter
from msgspec import inspect

from traind.service.cli.flags import with_default
from traind.service.field_lines import field_lines
from traind.service.validation.explain import describe
from traind.trainer.contract.spec import TrainSpec

DATA = Group("Data", sort_key=1)
MODEL = Group("Model and training", sort_key=2)
RUNNING = Group("Running", sort_key=3)
GROUPS = {
    **dict.fromkeys(("dataset", "target", "task", "features", "ignore", "columns", "synthetic", "validation"), DATA),
    **dict.fromkeys(("read", "positive", "weight", "class_weights"), DATA),
    **dict.fromkeys(
        ("threads", "workers", "cpus", "gpus", "memory", "device", "checkpoint_every", "report_every"), RUNNING
    ),
    **dict.fromkeys(("max_seconds", "max_attempts", "priority", "trainer", "options", "name", "tags"), RUNNING),
}  # of every other field: MODEL
TYPED = {  # the help on values, where it differs from the type's
    "dataset": "Here also the path of a file.",
    "target": "",
    "read": 'As {"delimiter": ";", "decimal": ","}.',
    "positive": "",
    "weight": "",
    "start_from": 'As {"job_id": "job_1", "keep": "weights"}.',
    "columns": "",
    "synthetic": 'As {"rows": 1000, "columns": 8}.',
    "validation": 'As {"fraction": 0.2, "kind": "time", "column": "day"}.',
    "model": 'One of auto, fast, best, blend, trees, linear, mlp, tabm, or {"kind": "mlp", "hidden": [64, 64]}.',
    "device": "One of auto, cpu, cuda, cuda:1 and so on.",
    "trainer": "Without a server also a file: digits.py, or digits.py:train.",
    "options": "As JSON.",
    "name": "",
}

Text = str | None
Texts = tuple[str, ...]
_SPEC = inspect.type_info(TrainSpec)
_DEFAULTS = msgspec.to_builtins(TrainSpec())
assert isinstance(_SPEC, inspect.StructType)


def _branches(kind: inspect.Type) -> list[inspect.Type]:
    """Return the types of a union without null, or the type itself."""
    if isinstance(kind, inspect.Metadata):
        return _branches(kind.type)
    parts = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    return [part for part in parts if not isinstance(part, inspect.NoneType)]


def _is_words(kind: inspect.Type) -> bool:
    """Return whether a field takes only text, which is then used as typed."""
    return all(
        isinstance(part, inspect.StrType)
        or (isinstance(part, inspect.Metadata) and _is_words(part.type))
        or (isinstance(part, inspect.LiteralType) and all(isinstance(value, str) for value in part.values))
        for part in _branches(kind)
    )


WORDS = frozenset(one.name for one in _SPEC.fields if _is_words(one.type))


def _flag(one: inspect.Field) -> tuple[str, Any, Any]:
    """Return one field of the spec as the field of a dataclass of flags."""
    is_list = any(isinstance(part, inspect.VarTupleType) for part in _branches(one.type))
    more = "Repeat for more." if is_list else TYPED.get(one.name, f"Takes {describe(one.type)}.")
    default = _DEFAULTS[one.name]
    if one.name == "model":
        default = default["kind"]
    elif isinstance(default, dict):  # the fields of the object have defaults of their own
        default = None
    text = with_default(f"{field_lines(TrainSpec)[one.name]} {more}".strip(), default)
    named = Parameter(help=text, group=GROUPS.get(one.name, MODEL), negative="", show_default=False)
    return one.name, Annotated[Texts if is_list else Text, named], field(default=() if is_list else None)


def typed_values(flags: Any) -> dict[str, Any]:
    """Return the values that were typed, as in a JSON spec."""
    typed = {one.name: getattr(flags, one.name) for one in fields(flags)}
    return {name: _value(name, text) for name, text in typed.items() if text not in (None, ())}


SpecFlags = Parameter(name="*")(
    make_dataclass(
        "SpecFlags",
        [_flag(one) for one in _SPEC.fields],
        namespace={"__module__": __name__, "__doc__": "What was typed; None and empty: nothing."},
        kw_only=True,
        frozen=True,
    )
)


def _value(name: str, text: str | Texts) -> Any:
    """Return one field's value: text and lists as typed, others decoded as JSON if they are valid JSON."""
    if isinstance(text, tuple) or name in WORDS:
        return text
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        value = text
    return {"kind": value} if name == "model" and isinstance(value, str) else value
