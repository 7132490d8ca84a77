"""Converts what a client sent to typed values, or names everything that is wrong with it.

msgspec decides what is valid and stops at the first problem. Only if it refuses a value, `explain` finds every wrong
field, with what was expected and what was sent. Called by the HTTP handlers, the service and the CLI. Knows no HTTP.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any, TypeVar

import msgspec

from traind.service.errors import InvalidSpec
from traind.service.validation.explain import LISTED, Problem, problems
from traind.trainer.contract.metrics import monitors
from traind.trainer.contract.spec import BlendModel, EnsembleModel, TrainSpec, TreesModel

T = TypeVar("T")
S = TypeVar("S", bound=TrainSpec)

MAX_DEPTH = 32  # of nested lists and objects
_WHOLE = frozenset({int, str, bool, NoneType})  # types of plain values that `_with_whole_numbers` leaves alone
_SCALARS = _WHOLE | {float}
MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Checked:
    """A spec that `check_request` has validated, so that it is not done again."""

    spec: TrainSpec


def check_request(value: Any, type_: type[S]) -> tuple[S, Checked]:
    """Return decoded JSON as a request that has a spec's fields, and that spec; raises as `parse_spec`."""
    request = _without_conflicts(parse(value, type_, what="The spec"))
    fields = {name: getattr(request, name) for name in TrainSpec.__struct_fields__}
    return request, Checked(TrainSpec(**fields))


def parse_spec(source: bytes | str | Mapping[str, Any] | TrainSpec | Checked) -> TrainSpec:
    """Return the spec, or raise `InvalidSpec` with every problem in `details`.

    Takes JSON, a mapping, or a `TrainSpec` made by its constructor, which does not check. The result equals what is
    read back from disk: in `options` tuples are lists and NaN is null.
    """
    if isinstance(source, Checked):
        return source.spec
    value: Any = source
    if isinstance(source, bytes | str):
        try:
            value = msgspec.json.decode(source)
        except MALFORMED as error:
            raise InvalidSpec(f"The spec is not valid JSON: {reason(error)}.") from None
    elif isinstance(source, TrainSpec):
        value = _to_builtins(source)
    return _without_conflicts(_as_stored(parse(value, TrainSpec, what="The spec")))


def _without_conflicts(spec: S) -> S:
    """Return the spec, or raise `InvalidSpec` for fields that contradict each other."""
    found = conflicts(spec)
    if found:
        raise refusal(found, "The spec")
    return spec


def parse(value: Any, type_: type[T], *, what: str = "The request", strict: bool = True) -> T:
    """Return `value` as `type_`, or raise `InvalidSpec` with every problem.

    `strict=False` also takes numbers as strings, for queries.
    """
    if strict and too_deep(value):
        raise refusal([Problem("", f"is nested more than {MAX_DEPTH} deep")], what)
    try:
        return msgspec.convert(value, type_, strict=strict)
    except msgspec.ValidationError:
        value = _with_whole_numbers(value)
    try:
        return msgspec.convert(value, type_, strict=strict)
    except msgspec.ValidationError as error:
        found = problems(value, type_, strict=strict) or [Problem("", str(error))]
    raise refusal(found, what)


def _with_whole_numbers(value: Any) -> Any:
    """Return the value with 3.0 as 3: JSON does not tell them apart, and some programs write 3.0."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict | Mapping):
        changed: dict[Any, Any] = _changed(value.items())
        return {**value, **changed} if changed else value
    if isinstance(value, list | tuple):
        changed = _changed(enumerate(value))
        return [changed.get(place, inner) for place, inner in enumerate(value)] if changed else value
    return value


def _changed(entries: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """Return the entries that `_with_whole_numbers` changes; copying all would cost more."""
    return {
        place: made
        for place, inner in entries
        if type(inner) not in _WHOLE and (made := _with_whole_numbers(inner)) is not inner
    }


def refusal(found: list[Problem], what: str = "The request") -> InvalidSpec:
    """Return the error that names all of `found` in one sentence, and each in `details`."""
    if len(found) == 1:
        only = found[0]
        message = f"{only.loc}: {only.msg}" if only.loc else f"{what} {only.msg}"
        message = message if message.endswith("?") else f"{message}."
    else:
        names = ", ".join(dict.fromkeys(problem.loc or what.lower() for problem in found[:10]))
        count = f"more than {LISTED}" if len(found) > LISTED else len(found)
        message = f"{what} has {count} problems, in {names}{', ...' if len(found) > 10 else ''}."
    return InvalidSpec(message, details=[{"loc": problem.loc, "msg": problem.msg} for problem in found[:LISTED]])


def reason(error: BaseException) -> str:
    """Return why a text is not JSON, as the part of a sentence."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8"
    return str(error).removeprefix("JSON is malformed: ")


def too_deep(value: Any) -> bool:
    """Return whether lists and objects are nested more than `MAX_DEPTH` deep."""
    layer = [value]
    for _ in range(MAX_DEPTH + 1):
        layer = [inner for outer in layer for inner in _inside(outer) if type(inner) not in _SCALARS]
        if not layer:
            return False
    return True


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict | Mapping):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def _as_stored(spec: TrainSpec) -> TrainSpec:
    """Return the spec encoded to JSON and decoded again; raises `InvalidSpec` for values that JSON cannot hold."""
    try:
        return msgspec.json.decode(msgspec.json.encode(spec), type=TrainSpec)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise refusal([Problem("", f"cannot be written as JSON: {error}")], "The spec") from None


def _to_builtins(spec: TrainSpec) -> Any:
    try:
        return msgspec.to_builtins(spec)
    except (TypeError, ValueError, RecursionError) as error:
        raise refusal([Problem("", f"cannot be written as JSON: {error}")], "The spec") from None


def conflicts(spec: TrainSpec) -> list[Problem]:
    """Return the contradictions between fields that are each valid."""
    found = []
    if spec.dataset is not None and spec.synthetic is not None:
        found.append(Problem("synthetic", "cannot be given together with dataset"))
    if spec.trainer == "tabular" and spec.monitor not in (known := monitors(spec.task)):
        found.append(Problem("monitor", f"must be one of {', '.join(known)}, got {spec.monitor!r}"))
    if spec.options and spec.trainer == "tabular":
        found.append(Problem("options", "are for a trainer of your own, which trainer names"))
    if spec.validation.kind == "group" and spec.validation.column is None:
        found.append(Problem("validation.column", 'must name the column of groups when kind is "group"'))
    if spec.target is not None:
        for name, columns in (("features", spec.features or ()), ("ignore", spec.ignore)):
            if spec.target in columns:
                found.append(Problem(name, f"must not hold the target {spec.target!r}"))
    found += _of_workers(spec)
    both = sorted(set(spec.features or ()) & set(spec.ignore))
    if both:
        found.append(Problem("ignore", f"must not hold what features holds: {', '.join(both[:5])}"))
    return found


def _of_workers(spec: TrainSpec) -> list[Problem]:
    """Return what is wrong with how many processes and GPUs a job asks for."""
    found = []
    kind = spec.model.__struct_config__.tag
    if spec.gpus and spec.device == "cpu":
        found.append(Problem("gpus", "must be 0 or null where device is cpu"))
    if spec.gpus == 0 and spec.device.startswith("cuda"):
        found.append(Problem("gpus", f"must be 1 or more, or null, where device is {spec.device}"))
    if spec.gpus and spec.device.startswith("cuda:") and spec.gpus > 1:
        found.append(Problem("device", f"names one GPU, and gpus asks for {spec.gpus}: use cuda"))
    if spec.workers == 1:
        return found
    if spec.trainer == "tabular" and isinstance(spec.model, BlendModel | TreesModel | EnsembleModel):
        found.append(Problem("workers", f"must be 1 for a model of kind {kind}: several train networks alone"))
    if spec.batch_size != "auto" and spec.batch_size < spec.workers:
        found.append(Problem("batch_size", f"must be {spec.workers} at least: a row for each of the workers"))
    if spec.device.startswith("cuda:"):
        found.append(Problem("device", f"names one GPU, and each of {spec.workers} workers takes one: use cuda"))
    if spec.gpus and spec.gpus % spec.workers:
        found.append(Problem("gpus", f"must be a multiple of workers ({spec.workers}), which share them equally"))
    if spec.cpus is not None and spec.cpus < spec.workers:
        found.append(Problem("cpus", f"must be {spec.workers} at least: a core for each of the workers"))
    return found
