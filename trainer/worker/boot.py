"""What is done before a job comes, so that it starts fast: `boot` in the fork server, `warm` in a worker.

Every worker is a fork of the fork server, which has loaded torch and, by a rehearsed job, everything that loads
lazily. The fork server must have one thread, since a fork keeps only one; polars starts threads and is loaded in
workers.
"""

import contextlib
import gc
import importlib
import os
import tempfile
from collections.abc import Callable, Iterator

from msgspec import structs

from traind.trainer.contract.control import LocalControl, Verb
from traind.trainer.contract.events import AnyEvent, Progress
from traind.trainer.contract.spec import Place, Synthetic, TabmModel, TrainSpec
from traind.trainer.worker.libraries import without

MODULES = (
    "traind.trainer.run.attempt",
    "traind.trainer.tabular.train",
    "traind.trainer.worker.main",
    "safetensors.torch",
)
NOWHERE = "/nonexistent/traind"  # a job that is cancelled before it writes needs no folder
_is_rehearsed = False  # whether workers may take steps before their job comes
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def boot() -> None:
    """Load what a job needs. With a GPU no job is rehearsed: its backward pass would start threads."""
    with _one_thread(), without("sklearn"):  # rtdl_num_embeddings would load it for a second, without need
        for name in MODULES:
            importlib.import_module(name)
    global _is_rehearsed  # noqa: PLW0603 - a process boots once, and its children know it
    if not _has_gpu():
        _rehearse()
        _is_rehearsed = True
    gc.collect()
    gc.freeze()  # the collector would write to the pages that children share


def warm() -> None:
    """Take one step on synthetic data in a new worker, before its job comes.

    A worker shares memory pages with the fork server until it writes to them; copying them is half the cost of a
    first step. With a GPU no step is taken: autograd would initialise all GPUs before the job has its own.
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


def _has_gpu() -> bool:
    import torch

    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # else the question initialises CUDA, which breaks forks
    return torch.cuda.is_available()


def _rehearse() -> None:
    """Train two small jobs to the end, so that every lazy part of every library is loaded."""
    bare = TrainSpec(synthetic=Synthetic(rows=64), epochs=1, batch_size=1, device="cpu")
    tabular = TabmModel(hidden=(8,), k=2, embedding="piecewise_linear")
    for spec in (bare, structs.replace(bare, model=tabular, optimizer="adamw", schedule="cosine", patience=1)):
        with tempfile.TemporaryDirectory() as folder:
            _run(spec, lambda _: None, LocalControl(), folder)


def _run(spec: TrainSpec, emit: Callable[[AnyEvent], None], control: LocalControl, folder: str) -> None:
    from traind.trainer.run.attempt import run

    run(spec, emit, Place(job_id="boot", attempt=1, attempt_dir=folder), control)
