"""What a job needs of whoever runs it."""

from traind.service.executor.base import Executor, Need
from traind.service.jobs.job import Job
from traind.trainer.contract.spec import TrainSpec

WORTH_BYTES = 16 * 1024**2  # of a data set's file; a guess, until it is measured on a card
WORTH_CELLS = 4_000_000  # of synthetic data, likewise
CPU = "cpu"


def need_of(job: Job, executor: Executor) -> Need:
    """Return what a job needs now: who leaves the device open goes on where it began, if that is still there."""
    need = Need(threads=job.spec.threads, device=_device(job))
    if job.spec.device == "auto" and need.device != CPU:
        wait = executor.why(need)
        if wait is not None and wait.is_hopeless:
            return Need(threads=job.spec.threads, device=CPU)
    return need


def is_worth_a_gpu(spec: TrainSpec, size_bytes: int | None) -> bool:
    """Whether a job that leaves the device open gains by a GPU: trainers of one's own, and large tables.

    A small table's steps are shorter on a CPU than a GPU takes to be started. `size_bytes` is of the data set's file.
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
    if job.device is not None:
        return CPU if job.device == CPU else "cuda"
    return "auto" if is_worth_a_gpu(job.spec, job.dataset.size_bytes if job.dataset else None) else CPU
