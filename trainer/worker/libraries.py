"""Imports without what the imported library would load for its other users, where that is installed."""

import contextlib
import importlib
import sys
from collections.abc import Iterator

from traind.trainer.contract.spec import BlendModel, TrainSpec, TreesModel

BESIDE_LIGHTGBM = ("sklearn", "pandas", "matplotlib", "graphviz", "pyarrow", "dask")


def load_for(spec: TrainSpec) -> None:
    """Load LightGBM where a job of the built-in trainer needs it and it is here.

    What else it finds installed would take two more seconds of the processor, and much memory; trees are the same.
    For a process that does nothing else: LightGBM's own estimators do not work afterwards.
    """
    if spec.trainer == "tabular" and isinstance(spec.model, BlendModel | TreesModel):
        with (
            without(*BESIDE_LIGHTGBM),
            contextlib.suppress(ImportError, OSError),
        ):  # the trainer says why it is not here
            importlib.import_module("lightgbm")


@contextlib.contextmanager
def without(*names: str) -> Iterator[None]:
    """Hide modules that are not loaded yet from an import that tries them."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
