"""The search space of a study: its fields, and the conversion of its points to specs.

A field is named by its path: `lr`, `model.dropout`, `options.width`. Every end of a range and every choice is tried
on the spec before anything runs, so that what no trial could be is refused by field. Pure; knows no Optuna.
"""

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Literal

import msgspec
from msgspec import Struct, inspect

from traind.service.errors import InvalidSpec
from traind.service.studies.request import Dimension, StudyRequest
from traind.service.validation.explain import Problem, describe, problems
from traind.service.validation.validate import conflicts, refusal
from traind.trainer.contract.spec import Model, TrainSpec

SEARCHED = (
    *("model", "epochs", "batch_size", "lr", "optimizer", "schedule", "weight_decay", "grad_clip", "patience"),
    *("class_weights", "clamp", "features", "ignore", "columns", "seed"),
)  # other fields decide what is compared, or where jobs run
BUILT_IN = "tabular"
_NETWORKS = ("mlp", "tabm")
_ALL_ROWS = {"members": 2}  # as the recipe has it: one network decides, the other is trained on all rows
MODEL, OPTION = "model.", "options."
MOST_STEPS = 2**53  # between low and high: up to this, floats tell whole numbers apart
Params = dict[str, Any]


class Axis(Struct, frozen=True):
    """One dimension for Optuna: numbers, or indices of choices. The same as in `trainer/search`."""

    name: str
    kind: Literal["float", "int", "choice"]
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    count: int = 0


def _kinds() -> dict[str, inspect.StructType]:
    union = inspect.type_info(Model)
    assert isinstance(union, inspect.UnionType)
    return {str(one.tag): one for one in union.types if isinstance(one, inspect.StructType)}


_SPEC = inspect.type_info(TrainSpec)
assert isinstance(_SPEC, inspect.StructType)
_FIELDS = {one.name: one.type for one in _SPEC.fields}
_MODELS = _kinds()
_OF_MODELS = {
    name: {one.name: one.type for one in kind.fields} for name, kind in _MODELS.items() if name != "ensemble"
}
_DEFAULTS = {one.name: one.default for kind in ("tabm", "trees") for one in _MODELS[kind].fields}


_AUTO_RATES = {
    "lr": Dimension(low=1.5e-3, high=1.2e-2, log=True),
    "weight_decay": Dimension(low=5e-3, high=0.5, log=True),
}
_AUTO_KINDS = {"model": Dimension(choices=["mlp", "trees"])}
_AUTO_TREES = {  # trees of more leaves predict ten times as slowly
    "model.leaves": Dimension(low=8, high=31, log=True),
    "model.shrinkage": Dimension(low=0.03, high=0.2, log=True),
}
_AUTO_NETWORKS = {
    "model.dropout": Dimension(low=0.0, high=0.3),
    "model.hidden": Dimension(choices=[[128, 128], [256, 256], [512, 256]]),
}


def auto_space(request: StudyRequest, *, has_trees: bool) -> dict[str, Dimension]:
    """Return the ranges for the built-in trainer, as docs/studies.md says; `has_trees`: LightGBM is installed."""
    spec = request.spec
    own = msgspec.to_builtins(spec.model)["kind"]
    if own == "trees":
        return dict(_AUTO_TREES)
    if own in ("blend", "linear", "fast", "best"):  # whose size cannot be given
        return dict(_AUTO_RATES)
    takes_trees = own == "auto" and spec.dataset is not None and spec.workers == 1 and not spec.gpus
    if has_trees and takes_trees and not spec.device.startswith("cuda"):
        return {**_AUTO_KINDS, **_AUTO_RATES, **_AUTO_NETWORKS, **_AUTO_TREES}
    return {**_AUTO_RATES, **_AUTO_NETWORKS}


def check_space(request: StudyRequest) -> dict[str, Dimension]:
    """Return the space; raises `InvalidSpec` naming every impossible part."""
    if request.space == "auto":
        if request.spec.trainer != BUILT_IN:
            raise InvalidSpec(
                f"space: what the trainer {request.spec.trainer!r} can be asked is not known.",
                hint='Name its options, as {"options.width": {"low": 16, "high": 256}}.',
                details=[{"loc": "space", "msg": "must name fields: auto is for the built-in trainer"}],
            )
        return auto_space(request, has_trees=find_spec("lightgbm") is not None)
    found = [problem for path, one in request.space.items() for problem in _problems_of(request, path, one)]
    if found:
        raise refusal(found, "The study")
    return dict(request.space)


def axes_of(space: Mapping[str, Dimension]) -> list[Axis]:
    """Return the dimensions of the space for Optuna, in order."""
    return [_axis(path, one) for path, one in space.items()]


def params_of(space: Mapping[str, Dimension], axes: Sequence[Axis], point: Sequence[float]) -> Params:
    """Return the params of a point, by path."""
    return {axis.name: _meant(space[axis.name], axis, value) for axis, value in zip(axes, point, strict=True)}


def point_of(space: Mapping[str, Dimension], params: Params) -> list[float]:
    """Return the point of params; raises `ValueError` for params outside the space."""
    return [
        params[path] if one.choices is None else float(one.choices.index(params[path])) for path, one in space.items()
    ]


def params_in(space: Mapping[str, Dimension], spec: TrainSpec) -> Params:
    """Return the params of a trial's spec; for a field that its network lacks, the first choice."""
    values = msgspec.json.decode(msgspec.json.encode(spec))
    found: Params = {}
    for path, one in space.items():
        prefix, _, name = path.rpartition(".")
        value = (values[prefix] if prefix else values).get(name)
        if one.choices is None:
            found[path] = value if isinstance(value, int | float) else one.low
        else:
            same = (choice for choice in one.choices if _names(choice, value))
            found[path] = next(same, one.choices[0])
    return found


def first_params(space: Mapping[str, Dimension], spec: TrainSpec, own: Params) -> Params:
    """Return the point of the space nearest to the spec; `own` is what the recipe chose for `auto`, by path."""
    usual = {MODEL + name: msgspec.to_builtins(value) for name, value in _DEFAULTS.items()}
    given = msgspec.to_builtins(spec)
    values = {**usual, **given, **{MODEL + name: value for name, value in given["model"].items()}, **own}
    axes = axes_of(space)
    return {axis.name: _nearest(space[axis.name], axis, values.get(axis.name)) for axis in axes}


def _nearest(one: Dimension, axis: Axis, value: Any) -> Any:
    """Return the dimension's value that is nearest to this one; null means no limit, and is nearest to the most."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if one.choices is not None:
        if is_number and all(isinstance(choice, int | float) for choice in one.choices):
            return min(one.choices, key=lambda choice: abs(choice - value))
        return next((choice for choice in one.choices if _names(choice, value)), one.choices[0])
    near = min(max(float(value), axis.low), axis.high) if is_number else axis.high
    step = one.step or (1 if axis.kind == "int" else None)
    if step is not None:
        most = math.floor((axis.high - axis.low) / step + 1e-9)
        near = axis.low + step * min(round((near - axis.low) / step), most)
    return _meant(one, axis, near)


def _names(choice: Any, value: Any) -> bool:
    """Return whether a choice equals this value of the spec; a model may be given by kind and some fields."""
    if isinstance(value, dict) and "kind" in value:
        wanted = {"kind": choice} if isinstance(choice, str) else choice
        return isinstance(wanted, Mapping) and all(value.get(name) == one for name, one in wanted.items())
    return bool(choice == value)


def spec_with(base: TrainSpec, params: Params) -> dict[str, Any]:
    """Return the spec of a trial as plain values: `base` with the params in their places.

    Fields of a network imply one where the spec leaves it to the recipe, and it is trained as that trains it, as one
    that is chosen by its kind is; a field that the chosen model has not is left out.
    """
    values: dict[str, Any] = msgspec.to_builtins(base)
    values |= {path: value for path, value in params.items() if "." not in path and path != "model"}
    options = {path.removeprefix(OPTION): value for path, value in params.items() if path.startswith(OPTION)}
    if options:
        values["options"] = {**values["options"], **options}
    inner = {path.removeprefix(MODEL): value for path, value in params.items() if path.startswith(MODEL)}
    as_auto = _ALL_ROWS if values["model"]["kind"] == "auto" and base.dataset is not None else {}
    if "model" in params:
        chosen = params["model"]
        named = {"kind": chosen, **(as_auto if chosen in _NETWORKS else {})} if isinstance(chosen, str) else chosen
        values["model"] = named
    elif inner and values["model"]["kind"] == "auto":
        values["model"] = {"kind": _kind_with(inner), **as_auto}
    if inner and isinstance(values["model"], Mapping):
        known = _OF_MODELS.get(values["model"].get("kind", ""), {})
        values["model"] = {**values["model"], **{name: one for name, one in inner.items() if name in known}}
        if "shrinkage" in known and "shrinkage" in inner:  # lr is then the networks'
            values["lr"] = "auto"
    return values


def has_field(kind: str, name: str) -> bool:
    """Return whether a kind of model has a field."""
    return name in _OF_MODELS.get(kind, {})


def _kind_with(fields: Mapping[str, Any]) -> str:
    """Return the network that has these fields."""
    return "mlp" if fields.keys() <= _OF_MODELS["mlp"].keys() else "tabm"


def _problems_of(request: StudyRequest, path: str, one: Dimension) -> Iterator[Problem]:
    """Yield the problems of one dimension."""
    loc = f"space.{path}"
    if (problem := _path_problem(request, path)) is not None:
        yield Problem(loc, problem)
        return
    if (problem := _shape_problem(one)) is not None:
        yield Problem(loc, problem)
        return
    kind = _type_of(path)
    if one.choices is None and kind is not None and not _numeric(kind):
        yield Problem(loc, f"takes no range but choices, each {describe(kind)}")
        return
    tried = {f"choices.{place}": value for place, value in enumerate(one.choices or ())}
    if one.choices is None:
        tried = {"low": one.low, "high": one.high, **({"step": one.step} if one.step is not None else {})}
    is_whole = kind is not None and not _is_fractional(kind)
    for name, value in tried.items():
        if name == "step":
            if is_whole and not float(value).is_integer():
                yield Problem(f"{loc}.step", f"must be a whole number, got {value}")
        else:
            yield from _tried(request, path, f"{loc}.{name}", value)


def _tried(request: StudyRequest, path: str, loc: str, value: Any) -> Iterator[Problem]:
    """Yield the problems of the spec with this value of one field."""
    values = spec_with(request.spec, {path: value})
    found = problems(values, TrainSpec)
    place = "model" if path == "model" else path
    for problem in found:
        inner = problem.loc.removeprefix(place).removeprefix(".") if problem.loc.startswith(place) else ""
        yield Problem(f"{loc}.{inner}" if inner else loc, problem.msg)
    if not found:
        try:
            spec = msgspec.convert(values, TrainSpec)
        except msgspec.ValidationError as error:
            yield Problem(loc, str(error))
            return
        yield from (Problem(loc, f"makes a spec whose {one.loc} {one.msg}") for one in conflicts(spec))


def _path_problem(request: StudyRequest, path: str) -> str | None:
    """Return why a path cannot be searched, or None."""
    if path.startswith(OPTION):
        is_own = request.spec.trainer != BUILT_IN
        return None if is_own else "is an option of a trainer of your own, and the spec names none"
    if path.startswith(MODEL):
        return _model_problem(request, path.removeprefix(MODEL))
    if path in SEARCHED:
        return None
    if path.partition(".")[0] in _FIELDS:
        return "cannot be searched: it decides what is compared, or where it runs"
    known = [*SEARCHED, *(MODEL + name for name in _OF_MODELS["tabm"])]
    near = difflib.get_close_matches(path[:100], known, n=1)
    return f"is not a field of the spec; did you mean {near[0]}?" if near else "is not a field of the spec"


def _model_problem(request: StudyRequest, name: str) -> str | None:
    """Return why a field of the model cannot be searched, or None: no possible network may have it."""
    chosen = request.space.get("model") if isinstance(request.space, Mapping) else None
    if chosen is not None:
        kinds = [one.get("kind") if isinstance(one, Mapping) else one for one in chosen.choices or ()]
    else:
        own = msgspec.to_builtins(request.spec.model)["kind"]
        kinds = ["mlp", "tabm"] if own == "auto" else [own]
    if any(name in _OF_MODELS.get(str(kind), {}) for kind in kinds):
        return None
    return f"is no field of the model {' or '.join(map(str, kinds))}"


def _shape_problem(one: Dimension) -> str | None:
    """Return the problem of a dimension for any field, or None."""
    if one.choices is not None:
        is_range = one.low is not None or one.high is not None or one.log or one.step is not None
        return "must have choices, or low and high, and not both" if is_range else None
    if one.low is None or one.high is None:
        return "must have choices, or low and high"
    if not one.low <= one.high:  # also false for NaN
        return f"has a low of {one.low} above its high of {one.high}"
    if one.log and one.low <= 0:
        return "must have a low above 0 where log is true"
    if one.log and one.step is not None:
        return "cannot have both log and step"
    return _width_problem(one.low, one.high, one.step)


def _width_problem(low: float, high: float, step: float | None) -> str | None:
    """Return why no sampler can draw from a range, or None."""
    try:
        width, step = float(high) - float(low), None if step is None else float(step)
    except OverflowError:  # whole numbers beyond 1e308
        return "has a number beyond 1e308"
    if not math.isfinite(width):
        return "is too wide: its high minus its low is beyond 1e308"
    if step is not None and width / step > MOST_STEPS:
        return f"has a step of {step}, of which more than {MOST_STEPS} fit in"
    return None


def _type_of(path: str) -> inspect.Type | None:
    """Return the type of a field of the spec; None for a trainer's option."""
    if path.startswith(OPTION):
        return None
    if path.startswith(MODEL):
        name = path.removeprefix(MODEL)
        return next(fields[name] for fields in _OF_MODELS.values() if name in fields)
    return _FIELDS[path]


def _branches(kind: inspect.Type) -> Iterator[inspect.Type]:
    if isinstance(kind, inspect.Metadata):
        yield from _branches(kind.type)
    elif isinstance(kind, inspect.UnionType):
        for one in kind.types:
            yield from _branches(one)
    else:
        yield kind


def _numeric(kind: inspect.Type) -> bool:
    return any(isinstance(one, inspect.IntType | inspect.FloatType) for one in _branches(kind))


def _is_fractional(kind: inspect.Type) -> bool:
    return any(isinstance(one, inspect.FloatType) for one in _branches(kind))


def _axis(path: str, one: Dimension) -> Axis:
    if one.choices is not None:
        return Axis(path, "choice", count=len(one.choices))
    assert one.low is not None
    assert one.high is not None
    kind = _type_of(path)
    numbers = [number for number in (one.low, one.high, one.step) if number is not None]
    is_whole = all(isinstance(number, int) for number in numbers) if kind is None else not _is_fractional(kind)
    return Axis(path, "int" if is_whole else "float", float(one.low), float(one.high), one.log, one.step)


def _meant(one: Dimension, axis: Axis, value: float) -> Any:
    if one.choices is not None:
        return one.choices[int(value)]
    return int(value) if axis.kind == "int" else float(value)
