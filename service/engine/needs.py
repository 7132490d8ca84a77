"""The cores, memory and devices that a job needs of the executor."""

import msgspec

from traind.service.executor.base import Executor, Need
from traind.service.jobs.job import Job
from traind.trainer.contract.spec import TrainSpec

WORTH_BYTES = 16 * 1024**2  # of a data set's file; a guess that no GPU has confirmed yet
WORTH_CELLS = 4_000_000  # of synthetic data, likewise
CPU = "cpu"


def need_of(job: Job, executor: Executor) -> Need:
    """Return what a job needs. With `device` auto it goes on where it began, or on the CPU if that device is gone."""
    spec = job.spec
    need = Need(
        threads=spec.cpus or spec.threads * spec.workers,
        device=_device(job),
        memory_bytes=spec.memory,
        gpus=spec.gpus or spec.workers,
        workers=spec.workers,
        has_cpus=spec.cpus is not None,
    )
    if spec.device == "auto" and not spec.gpus and need.device != CPU:
        wait = executor.why(need)
        if wait is not None and wait.is_hopeless:
            return msgspec.structs.replace(need, device=CPU)
    return need


def is_worth_a_gpu(spec: TrainSpec, size_bytes: int | None) -> bool:
    """Return whether a job with `device` auto gets a GPU: a user's own trainer, or a large table.

    A step on a small table takes a CPU less time than launching it on a GPU. `size_bytes` is the data set's file's.
    """
    if spec.trainer != "tabular":
        return True
    if size_bytes is not None:
        return size_bytes >= WORTH_BYTES
    made = spec.synthetic
    return made is not None and made.rows * made.columns >= WORTH_CELLS


def _device(job: Job) -> str:
    if job.spec.device != "auto":
        return job.spec.device
    if job.spec.gpus is not None:
        return "cuda" if job.spec.gpus else CPU
    if job.device is not None:
        return CPU if job.device == CPU else "cuda"
    return "auto" if is_worth_a_gpu(job.spec, job.dataset.size_bytes if job.dataset else None) else CPU
