"""Trainers by name: the built-in one, and those that other packages bring.

A package registers one by the entry point group `traind.trainers`: `my_name = "my_package.trainer:train"`. A trainer
is a function `def train(run)`; annotated as `def train(run: Run[Options])` with a msgspec struct, the spec's
`options` are checked against it and handed over as that struct. A function `predict(model, rows)` beside it makes
the trainer's models predict.
"""

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, get_args, get_type_hints

import msgspec

from traind.trainer.contract.errors import SpecError, UserCodeError

GROUP = "traind.trainers"
BUILT_IN = {"tabular": "traind.trainer.tabular.train:train"}

Train = Callable[[Any], object]


@dataclass(frozen=True, slots=True)
class Trainer:
    """A trainer that has been imported."""

    train: Train
    options_type: type[msgspec.Struct] | None

    def options(self, given: dict[str, Any]) -> Any:
        """Return the spec's options as the trainer's struct, checked; as the plain dict where it has none.

        Raises `SpecError`.
        """
        if self.options_type is None:
            return given
        try:
            return msgspec.convert(given, self.options_type)
        except msgspec.ValidationError as error:
            raise SpecError(f"The trainer's options are wrong: {error}.", field="options") from error


def registered() -> dict[str, str]:
    """Return name -> `module:function` of every trainer installed here; imports none of them."""
    found = {point.name: point.value for point in entry_points(group=GROUP)}
    return found | BUILT_IN


def installed(name: str) -> Train | None:
    """Return the trainer that an installed package registered under `name`, or None."""
    reference = registered().get(name)
    return load(reference).train if reference else None


def load(reference: str) -> Trainer:
    """Import the trainer at `module:function`. Raises `UserCodeError` where that cannot be done."""
    module, _, name = reference.partition(":")
    try:
        train: Any = import_module(module)
        for part in name.split("."):
            train = getattr(train, part)
    except Exception as error:
        raise UserCodeError(
            f"The trainer {reference} cannot be imported: {type(error).__name__}: {error}",
            hint="Is its package installed where the server runs?",
        ) from error
    if not callable(train):
        raise UserCodeError(f"The trainer {reference} is not a function.")
    return wrap(train)


def wrap(train: Train) -> Trainer:
    """Return a function as a trainer, its options' struct read from its annotation."""
    return Trainer(train, _options_type(train))


def predictor(train: Train) -> Callable[[Any, list[dict[str, Any]]], list[Any]] | None:
    """Return the `predict(model, rows)` that stands beside a trainer."""
    found = getattr(sys.modules.get(train.__module__), "predict", None)
    return found if callable(found) else None


def check_request(request: dict[str, Any]) -> dict[str, Any]:
    """Check `options` against the trainer at `trainer` (`module:function`), for the side worker; return its schema.

    Raises `UserCodeError` where it cannot be imported, `SpecError` where the options are wrong.
    """
    trainer = load(request["trainer"])
    trainer.options(request.get("options", {}))
    kind = trainer.options_type
    return {"options": msgspec.json.schema(kind) if kind else None, "words": inspect.getdoc(trainer.train) or ""}


def _options_type(train: Train) -> type[msgspec.Struct] | None:
    """Return the struct `O` of `def train(run: Run[O])`, or None."""
    parameters = list(inspect.signature(train).parameters)
    try:
        hint = get_type_hints(train).get(parameters[0]) if parameters else None
    except NameError:  # an annotation for checkers only
        return None
    options = next(iter(get_args(hint)), None)
    return options if isinstance(options, type) and issubclass(options, msgspec.Struct) else None
