"""What the fork server does before it forks: load torch and all that loads lazily, and take one training step.

Every worker is a copy of this process, so what is done here costs a job nothing. It runs on one thread, since a
fork keeps only one; DuckDB is imported but not connected, for it starts threads.
"""

import contextlib
import gc
import importlib
import io
import os
from collections.abc import Iterator
from typing import Any

MODULES = (
    "duckdb",
    "msgspec",
    "numpy",
    "rtdl_num_embeddings",
    "safetensors.torch",
    "tabm",
    "torch",
    "torch.func",
    "torch.fx.experimental.proxy_tensor",
    "torch.utils.flop_counter",
    "traind.trainer.tabular",
    "traind.trainer.worker",
)
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def boot() -> None:
    """Load what a job needs. With a GPU at hand no backward pass: it would start threads that no child has."""
    with _one_thread():
        for name in MODULES:
            importlib.import_module(name)
    import torch

    torch.set_num_threads(1)
    if not _has_gpu():
        _step(torch)
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


def _has_gpu() -> bool:
    import torch

    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # else asking initialises CUDA, which no child survives
    return torch.cuda.is_available()


def _step(torch: Any) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(8, 64), torch.nn.ReLU(), torch.nn.Linear(64, 1))
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    torch.nn.functional.mse_loss(model(torch.ones(16, 8)), torch.ones(16, 1)).backward()
    optimizer.step()
    torch.save(model.state_dict(), io.BytesIO())
