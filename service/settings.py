"""Every setting of a service as one table: its name, default and meaning. Flags and docs derive from it.

`traind serve --slots 4`, `TRAIND_SLOTS=4` and `TrainingService(slots=4)` are the same setting.
"""

import os
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from traind.trainer.contract.spec import DatasetFile

GIGABYTE = 1024**3
Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Bytes = Annotated[int, Meta(ge=0)]


def processors() -> int:
    """Return how many cores this process may use: affinity and the cgroup's quota counted."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, int(quota) // int(period)))


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one service. The line after each is its help text."""

    root: str = "."
    """Folder that holds everything."""
    slots: Annotated[int, Meta(ge=1, le=1024)] | None = None
    """Jobs that train at once; null: one for each core."""
    devices: Annotated[str, Meta(pattern=r"^(auto|cpu|cuda:[0-9]{1,2}(, ?cuda:[0-9]{1,2})*)\Z")] = "auto"
    """GPUs that jobs may have, one job each: auto (all), cpu (none), or a list such as cuda:0,cuda:1."""
    trainers: dict[str, str] = {}
    """Trainers of your own, as {"name": "package.module:function"}."""
    grace_s: Seconds = 30.0
    """Seconds that a worker may take to obey a verb before it is killed."""
    hang_s: Seconds = 60.0
    """Seconds without a gradient step after which a running job is killed and tried again."""
    loading_s: Seconds = 3_600.0
    """Seconds that a job may take to load its data."""
    shutdown_s: Seconds = 8.0
    """Seconds that running jobs get at shutdown to write a checkpoint."""
    max_queued: Count = 10_000
    """Jobs that may wait; further ones are refused."""
    max_upload_bytes: Bytes = 10 * GIGABYTE
    """Largest data set, in bytes."""
    worker_memory_bytes: Bytes = 0
    """Address space of one worker, in bytes; 0: no limit."""
    memory_budget_bytes: Bytes = 8 * GIGABYTE
    """Largest estimated memory of one job, in bytes; 0: no limit."""
    disk_floor_bytes: Bytes = 64 * 1024**2
    """Free space, in bytes, below which jobs pause."""
    keep_checkpoints: Count = 2
    """Checkpoints kept of a job, beside its best and its pinned ones."""
    keep_finished: Count | None = None
    """Finished jobs that are kept; null: all."""
    keep_days: Seconds | None = None
    """Days that a finished job is kept; null: for ever."""

    @classmethod
    def check(cls, **values: Any) -> "Settings":
        """Return checked settings; raises `msgspec.ValidationError` naming the wrong one."""
        if "root" in values:
            values["root"] = os.fspath(values["root"])
        return msgspec.convert(values, cls)

    def all_trainers(self) -> dict[str, str]:
        """Return every registered trainer but the built-in one, as `{"name": "package.module:function"}`."""
        installed = {point.name: point.value for point in entry_points(group="traind.trainers")}
        return installed | self.trainers

    @property
    def slot_count(self) -> int:
        """How many jobs train at once."""
        return self.slots or processors()


class Layout:
    """Where things are below the root. Paths are absolute."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).resolve()
        self.artifacts_dir = self.root / "artifacts"
        self.jobs_dir = self.artifacts_dir / "jobs"
        self.database_path = self.artifacts_dir / "traind.db"
        self.lock_path = self.artifacts_dir / "traind.lock"
        self.checkpoints_dir = self.artifacts_dir / "checkpoints"
        self.datasets_dir = self.artifacts_dir / "datasets"
        self.side_dir = self.artifacts_dir / "side"
        self.models_dir = self.root / "models"

    def job_dir(self, job_id: str) -> Path:
        """Return the folder of a job's attempts."""
        return self.checkpoints_dir / job_id

    def attempt_dir(self, job_id: str, attempt: int) -> Path:
        """Return the folder that one attempt writes to."""
        return self.job_dir(job_id) / f"attempt-{attempt}"

    def model_path(self, job_id: str) -> Path:
        """Return where a job's finished model is."""
        return self.models_dir / f"{job_id}.pt"

    def relative(self, path: str | os.PathLike[str]) -> str:
        """Return a path as users see it: relative to the root."""
        return os.path.relpath(path, self.root)

    def located(self, dataset: DatasetFile) -> DatasetFile:
        """Return a data set's file with its absolute path: jobs show it relative to the root."""
        return msgspec.structs.replace(dataset, path=os.fspath(self.root / dataset.path))


def cache_dir(dataset: DatasetFile) -> str:
    """Return where encodings of a data set's version are kept: beside it, so that they go with it."""
    return os.fspath(Path(dataset.path).parent / "encoded")
