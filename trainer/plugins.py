"""Trainers by name: the built-in one, and those of other packages.

A package registers one by the entry point group `traind.trainers`: `my_name = "my_package.trainer:train"`. A trainer
is a function `def train(run)`; annotated as `def train(run: Run[Options])` with a msgspec struct or a dataclass, the
spec's `options` are converted to it. With a function `predict(model, rows)` in the same module, the trainer's models
predict.
"""

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

import msgspec

from traind.trainer.contract.errors import UserCodeError
from traind.trainer.options import checked, options_type, schema
from traind.trainer.source import Source, imported, source_of

GROUP = "traind.trainers"
BUILT_IN = {"tabular": "traind.trainer.tabular.train:train"}

Train = Callable[[Any], object]


@dataclass(frozen=True, slots=True)
class Trainer:
    """An imported trainer."""

    train: Train
    options_type: Any  # a msgspec struct, a dataclass, or None: any dict
    source: Source

    def options(self, given: dict[str, Any]) -> Any:
        """Return the spec's options, checked, as the trainer's type; the plain dict if it has none.

        Raises `SpecError`.
        """
        return given if self.options_type is None else checked(given, self.options_type)


def registered() -> dict[str, str]:
    """Return name -> `module:function` of every trainer installed here; imports none of them."""
    found = {point.name: point.value for point in entry_points(group=GROUP)}
    return found | BUILT_IN


def installed(name: str) -> Train | None:
    """Return the trainer that an installed package registered under `name`, or None."""
    reference = registered().get(name)
    return load(reference).train if reference else None


def load(reference: str) -> Trainer:
    """Import the trainer at `module:function` or `file.py:function`.

    Raises `UserCodeError` where the import fails or finds no trainer.
    """
    train, source = imported(reference)
    return _trainer(train, f"The trainer {reference}", source)


def wrap(train: Train) -> Trainer:
    """Return a function as a trainer, its options' type read from its annotation. Raises `UserCodeError`."""
    return _trainer(train, f"The trainer {getattr(train, '__name__', train)}", source_of(train))


def predictor(train: Train) -> Callable[[Any, list[dict[str, Any]]], Any] | None:
    """Return the `predict(model, rows)` in a trainer's module, or None."""
    found = getattr(sys.modules.get(train.__module__), "predict", None)
    return found if callable(found) else None


def check_request(request: dict[str, Any]) -> dict[str, Any]:
    """Check `options` against the trainer at `trainer` (`module:function`), for the side worker; return its schema.

    Without `options` only the trainer itself is checked. Raises `UserCodeError` for a wrong trainer, `SpecError` for
    wrong options.
    """
    trainer = load(request["trainer"])
    if "options" in request:
        trainer.options(request["options"])
    kind = trainer.options_type
    return {
        "options": schema(kind) if kind else None,
        "words": inspect.getdoc(trainer.train) or "",
        "code": trainer.source.digest,
    }


def _trainer(train: Any, name: str, source: Source) -> Trainer:
    """Return a callable as a trainer; raises `UserCodeError` where it cannot be called as `train(run)`."""
    if not callable(train):
        raise UserCodeError(f"{name} is not a function.")
    called = train if inspect.isroutine(train) or inspect.isclass(train) else type(train).__call__
    if inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called):
        raise UserCodeError(
            f"{name} is an async function: training code is called, not awaited.",
            hint="Write `def train(run)`; within it, asyncio.run(...) runs what has to be awaited.",
        )
    if inspect.isgeneratorfunction(called):
        raise UserCodeError(f"{name} is a generator: it has a `yield`, so calling it runs nothing.")
    try:
        inspect.signature(train).bind(None)
    except TypeError as error:
        raise UserCodeError(
            f"{name} is called with one argument, the run, and cannot be: {error}.", hint="Write `def train(run)`."
        ) from None
    except ValueError:  # a built-in without a signature
        pass
    kind = options_type(train, name)
    if kind is not None:
        try:
            schema(kind)
            msgspec.inspect.type_info(kind)
        except Exception as error:  # noqa: BLE001 - msgspec's are of several kinds
            raise UserCodeError(
                f"{name} has options that cannot be checked, {kind.__name__}: {str(error).splitlines()[-1]}",
                hint="Options are a msgspec.Struct or a dataclass of numbers, texts, paths, lists, dicts and such.",
            ) from None
    return Trainer(train, kind, source)
