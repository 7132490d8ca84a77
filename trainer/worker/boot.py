"""What is done ahead of a job, so that it costs the job nothing: `boot` in the fork server, `warm` in its worker.

Every worker is a copy of the fork server, which has loaded torch and all that loads lazily by rehearsing a job. It
runs on one thread, since a fork keeps only one; polars is left to the workers, for it starts threads.
"""

import contextlib
import gc
import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator

from msgspec import structs

from traind.trainer.contract.control import LocalControl, Verb
from traind.trainer.contract.events import AnyEvent, Progress
from traind.trainer.contract.spec import Place, Synthetic, TabmModel, TrainSpec

MODULES = (
    "traind.trainer.run.attempt",
    "traind.trainer.tabular.train",
    "traind.trainer.worker.main",
    "safetensors.torch",
)
NOWHERE = "/nonexistent/traind"  # for a job that is cancelled before it writes: nothing is left if it is killed
_is_rehearsed = False  # whether steps may be taken before the job is there
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def boot() -> None:
    """Load what a job needs. With a GPU at hand no backward pass: it would start threads that no child has."""
    with _one_thread(), _without_scikit_learn():
        for name in MODULES:
            importlib.import_module(name)
    global _is_rehearsed  # noqa: PLW0603 - a process boots once, and its children know it
    if not _has_gpu():
        _rehearse()
        _is_rehearsed = True
    gc.collect()
    gc.freeze()  # the collector would write to the pages that children share


def warm() -> None:
    """Take one step on the default data in a newborn worker, before its job is there.

    Its memory is the fork server's until it is written to, and copying that is half of what a first step costs. With
    a GPU at hand no step: autograd would look for all of them, before the job is given its own.
    """
    if not _is_rehearsed:
        return
    control = LocalControl()

    def leave(event: AnyEvent) -> None:
        if isinstance(event, Progress):
            control.verb = int(Verb.CANCEL)

    _run(TrainSpec(epochs=1, report_every=1, device="cpu"), leave, control, NOWHERE)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Keep libraries from starting threads as they load; jobs choose their own number later."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextlib.contextmanager
def _without_scikit_learn() -> Iterator[None]:
    """Hide it from rtdl_num_embeddings, which loads it where it can, for more than a second, and for nothing here."""
    sys.modules["sklearn"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["sklearn"]


def _has_gpu() -> bool:
    import torch

    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # else asking initialises CUDA, which no child survives
    return torch.cuda.is_available()


def _rehearse() -> None:
    """Train on a few rows as jobs do: recording, saving and all, every lazy part of every library is loaded."""
    bare = TrainSpec(synthetic=Synthetic(rows=64), epochs=1, batch_size=1, device="cpu")
    tabular = TabmModel(hidden=(8,), k=2, embedding="piecewise_linear")
    for spec in (bare, structs.replace(bare, model=tabular, optimizer="adamw", schedule="cosine", patience=1)):
        with tempfile.TemporaryDirectory() as folder:
            _run(spec, lambda _: None, LocalControl(), folder)


def _run(spec: TrainSpec, emit: Callable[[AnyEvent], None], control: LocalControl, folder: str) -> None:
    from traind.trainer.run.attempt import run

    run(spec, emit, Place(job_id="boot", attempt=1, attempt_dir=folder), control)
