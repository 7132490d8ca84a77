"""The checks of a study before it is accepted; every impossible value is named by its field.

Each end of a range and each choice is in one of the specs that are looked at as a job's would be: trainer and
options, data set and columns, memory.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import msgspec
from msgspec import Struct

from traind.service.datasets import Datasets
from traind.service.errors import InvalidSpec, NoSuchDevice
from traind.service.processes.side import SideWorker
from traind.service.settings import Settings
from traind.service.studies.request import Dimension, StudyRequest, SubmitStudy
from traind.service.studies.space import BUILT_IN, OPTION, Params, auto_space, check_space, first_params, spec_with
from traind.service.trainers import check_trainer
from traind.service.validation.explain import Problem
from traind.service.validation.goal import check_monitor, metric_problem
from traind.service.validation.memory_budget import Known, check_memory, facts_of, is_of_text_alone
from traind.service.validation.validate import conflicts, parse, parse_spec, refusal
from traind.trainer.contract.errors import SpecError
from traind.trainer.contract.metrics import monitors
from traind.trainer.contract.spec import DatasetFile, EnsembleModel, TrainSpec

WHAT = "The study"
OWN_VALUES = "traind.trainer.search.own_values:own_values_request"
OWN_VALUES_S = 60.0


class Wanted(Struct, frozen=True):
    """A checked study."""

    request: StudyRequest
    study_id: str | None
    space: dict[str, Dimension]
    first: Params | None  # of trial 0
    dataset: DatasetFile | None
    has_ensemble: bool


async def check_study(
    value: Mapping[str, Any] | StudyRequest, settings: Settings, side: SideWorker, datasets: Datasets
) -> Wanted:
    """Return the checked study; raises `InvalidSpec` with every bad field, `DatasetNotFound`."""
    if isinstance(value, StudyRequest):
        value = msgspec.to_builtins(value)
    _check_optuna()
    asked = parse(value, SubmitStudy, what=WHAT)
    fields = {name: getattr(asked, name) for name in StudyRequest.__struct_fields__}
    request = msgspec.json.decode(msgspec.json.encode(StudyRequest(**fields)), type=StudyRequest)
    _check_alone(request)
    space = await _space(request, datasets)
    specs = corners(request.spec, space)
    dataset = None
    for number, spec in enumerate(specs):
        with located(space):
            if number == 0 or "model" in space or any(path.startswith(OPTION) for path in space):
                await check_trainer(side, settings, spec)
            if number == 0 or space.keys() & {"features", "ignore", "columns"}:
                dataset, known = await datasets.resolve(spec, request.metric)
            check_memory(spec, known, settings.memory_budget_bytes)
            check_monitor(spec, known)
    if (problem := metric_problem("metric", request.metric, request.spec, known)) is not None:
        raise refusal([problem], WHAT)
    has_ensemble = request.spec.trainer == BUILT_IN if request.ensemble == "auto" else request.ensemble
    first = await _first(request.spec, space, known, side)
    return Wanted(request, asked.study_id, space, first, dataset, has_ensemble)


async def _space(request: StudyRequest, datasets: Datasets) -> dict[str, Dimension]:
    """Return the checked space; `auto` has no trees for a table of text alone, which they cannot read."""
    space = check_space(request)
    if request.space == "auto" and "model" in space:
        with located(space):
            _, known = await datasets.resolve(request.spec)
        if is_of_text_alone(request.spec, known):
            return auto_space(request, has_trees=False)
    return space


async def _first(spec: TrainSpec, space: Mapping[str, Dimension], known: Known, side: SideWorker) -> Params | None:
    """Return the params of trial 0, the spec as it is given; None for other trainers, which have no recipe."""
    if spec.trainer != BUILT_IN:
        return None
    rows, is_of_classes = facts_of(spec, known)
    request = {"spec": msgspec.to_builtins(spec), "rows": rows, "is_of_classes": is_of_classes}
    return first_params(space, spec, await side.call(OWN_VALUES, request, OWN_VALUES_S, lane="studies"))


def corners(base: TrainSpec, space: Mapping[str, Dimension]) -> list[TrainSpec]:
    """Return a few specs in which every end of a range and every choice occurs."""
    tried = {path: one.choices if one.choices is not None else [one.low, one.high] for path, one in space.items()}
    count = max(len(values) for values in tried.values())
    points = [{path: values[min(n, len(values) - 1)] for path, values in tried.items()} for n in range(count)]
    return [parse_spec(spec_with(base, point)) for point in points]


def _check_alone(request: StudyRequest) -> None:
    """Raise `InvalidSpec` for problems outside the space."""
    spec = request.spec
    found = [Problem(f"spec.{one.loc}", one.msg) for one in conflicts(spec)]
    if spec.start_from is not None:
        found.append(Problem("spec.start_from", "cannot be searched from: every trial begins anew"))
    if spec.trainer == BUILT_IN:
        known = monitors(spec.task)
        if request.metric not in known:
            found.append(Problem("metric", f"must be one of {', '.join(known)}, got {request.metric!r}"))
    elif request.ensemble is True:
        found.append(Problem("ensemble", "can be made of the built-in trainer's models only"))
    if isinstance(spec.model, EnsembleModel):
        found.append(Problem("spec.model", "is made of finished jobs, and has nothing to search"))
    if found:
        raise refusal(found, WHAT)


def is_optuna_here() -> bool:
    """Whether Optuna is installed where the server runs."""
    return find_spec("optuna") is not None


def _check_optuna() -> None:
    """Raise `InvalidSpec` where Optuna is not installed."""
    if not is_optuna_here():
        raise InvalidSpec(
            "Studies need Optuna, which is not installed where the server runs.",
            hint="pip install 'traind[studies]'",
            details=[{"loc": "sampler", "msg": "needs Optuna, which is not installed"}],
        )


@contextmanager
def located(space: Mapping[str, Dimension]) -> Iterator[None]:
    """Return the problems of a trial's spec, named by the fields of the study."""
    try:
        yield
    except (InvalidSpec, NoSuchDevice) as error:
        details = [{**one, "loc": _place(str(one.get("loc", "")), space)} for one in error.details]
        only = f"{details[0]['loc']}: {details[0]['msg'].removesuffix('.')}." if len(details) == 1 else None
        raise type(error)(only or error.message, hint=error.hint, details=details) from None
    except SpecError as error:
        loc = _place(error.field or "options", space)
        raise InvalidSpec(
            f"{loc}: {error.message}", hint=error.hint, details=[{"loc": loc, "msg": error.message}]
        ) from None


def _place(loc: str, space: Mapping[str, Dimension]) -> str:
    """Return the study's field for a field of a trial's spec."""
    path = max((path for path in space if loc == path or loc.startswith(f"{path}.")), key=len, default=None)
    return f"spec.{loc}" if path is None else f"space.{path}"
