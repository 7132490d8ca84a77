"""What the fork server does before it forks: load torch and all that loads lazily, and rehearse a job.

Every worker is a copy of this process, so what is done here costs a job nothing. It runs on one thread, since a
fork keeps only one; DuckDB is imported but not connected, for it starts threads.
"""

import contextlib
import gc
import importlib
import os
import sys
import tempfile
from collections.abc import Iterator

MODULES = ("traind.trainer.run", "traind.trainer.tabular", "traind.trainer.worker", "duckdb", "safetensors.torch")
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def boot() -> None:
    """Load what a job needs. With a GPU at hand no backward pass: it would start threads that no child has."""
    with _one_thread(), _without_scikit_learn():
        for name in MODULES:
            importlib.import_module(name)
    if not _has_gpu():
        _rehearse()
    gc.collect()
    gc.freeze()  # the collector would write to the pages that children share


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
    from traind.trainer.contract import AutoModel, MlpModel, Place, Synthetic, TrainSpec
    from traind.trainer.run import run

    for model in (AutoModel(), MlpModel(hidden=(8,), embedding="none")):
        spec = TrainSpec(synthetic=Synthetic(rows=64), epochs=1, batch_size=1, model=model)
        with tempfile.TemporaryDirectory() as folder:
            run(spec, lambda _: None, Place(job_id="boot", attempt=1, attempt_dir=folder))
