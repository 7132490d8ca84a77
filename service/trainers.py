"""Users' own trainers: taken by reference or as functions, and checked when the service starts."""

import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from traind.service.errors import InvalidSpec
from traind.service.processes.side import SideWorker
from traind.service.settings import Settings
from traind.trainer.contract.errors import TrainerError
from traind.trainer.contract.spec import BlendModel, TrainSpec, TreesModel

CHECK_S = 60.0  # limit of checking options
IMPORT_S = 120.0  # limit of importing a trainer at the start
LIGHTGBM = "pip install 'traind[trees]'"


def references(trainers: Any) -> Any:
    """Return trainers by name as references for workers: `package.module:function` or `/path/file.py:function`.

    Functions become references; raises `InvalidSpec` for one that another process cannot import. A value that is no
    mapping is returned unchanged: the check of settings refuses it.
    """
    if not isinstance(trainers, Mapping):
        return trainers
    return {name: _reference(str(name), trainer) for name, trainer in trainers.items()}


async def check_trainers(side: SideWorker, trainers: Mapping[str, str]) -> None:
    """Import each trainer once, in the side worker. Raises `InvalidSpec` naming every one that fails, and why."""
    problems = []
    for name, reference in trainers.items():
        try:
            await side.call("traind.trainer.plugins:check_request", {"trainer": reference}, IMPORT_S)
        except TrainerError as error:
            problems.append((name, f"{error.message} {error.hint or ''}".strip()))
    if problems:
        raise _refused(problems)


async def check_trainer(side: SideWorker, settings: Settings, spec: TrainSpec) -> None:
    """Raise `InvalidSpec` for an unregistered trainer, wrong options, or a missing library."""
    if spec.trainer == "tabular":
        check_libraries(spec)
        return
    own = settings.all_trainers()
    if spec.trainer not in own:
        problem = f"no trainer {spec.trainer!r} is registered; there are: {', '.join(sorted({'tabular', *own}))}"
        raise InvalidSpec(f"trainer: {problem}.", details=[{"loc": "trainer", "msg": problem}])
    request = {"trainer": own[spec.trainer], "options": spec.options}
    await side.call("traind.trainer.plugins:check_request", request, CHECK_S)


def check_libraries(spec: TrainSpec) -> None:
    """Raise `InvalidSpec` where the model needs LightGBM, which is not installed."""
    if spec.trainer != "tabular" or not isinstance(spec.model, BlendModel | TreesModel):
        return
    if find_spec("lightgbm") is None:
        problem = "trees and blends need LightGBM, which is not installed"
        raise InvalidSpec(
            f"model: {problem}.",
            hint=f"Install it where the server runs: {LIGHTGBM}",
            details=[{"loc": "model", "msg": problem}],
        )


def _reference(name: str, trainer: str | Callable[..., Any]) -> str:
    if isinstance(trainer, str):
        file, colon, function = trainer.rpartition(":")
        return f"{Path(file).resolve()}:{function}" if colon and file.endswith(".py") else trainer
    called, home = getattr(trainer, "__qualname__", ""), getattr(trainer, "__module__", "")
    if not callable(trainer) or not called:
        raise _refused([(name, "is neither a function nor the name of one, such as package.module:function")])
    if "<" in called:
        problem = "is defined inside a function, where workers cannot import it: define it at the top of a module"
        raise _refused([(name, problem)])
    if home != "__main__":
        return f"{home}:{called}"
    script = getattr(sys.modules["__main__"], "__file__", None)
    if script is None:
        problem = "is defined in a notebook or a shell, where workers cannot import it: put it into a file"
        raise _refused([(name, problem)])
    return f"{Path(script).resolve()}:{called}"


def _refused(problems: list[tuple[str, str]]) -> InvalidSpec:
    details = [{"loc": f"trainers.{name}", "msg": problem} for name, problem in problems]
    return InvalidSpec("; ".join(f"trainers.{name}: {problem}" for name, problem in problems), details=details)
