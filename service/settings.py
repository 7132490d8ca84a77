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
    """The settings of one service. `Meta(description=)` is the help text."""

    root: Annotated[str, Meta(description="folder that holds everything")] = "."
    slots: Annotated[int, Meta(ge=1, le=1024, description="jobs that train at once; default: cores")] | None = None
    trainers: Annotated[dict[str, str], Meta(description='own trainers: {"name": "package.module:function"}')] = {}
    grace_s: Annotated[Seconds, Meta(description="how long a worker may take to obey before it is killed")] = 30.0
    hang_s: Annotated[Seconds, Meta(description="a running job without a step for this long is killed")] = 60.0
    loading_s: Annotated[Seconds, Meta(description="a job may load its data for this long")] = 3_600.0
    shutdown_s: Annotated[Seconds, Meta(description="running jobs get this long to checkpoint at shutdown")] = 8.0
    max_queued: Annotated[Count, Meta(description="jobs that may wait")] = 10_000
    max_upload_bytes: Annotated[Bytes, Meta(description="size of one data set")] = 10 * GIGABYTE
    worker_memory_bytes: Annotated[Bytes, Meta(description="address space of one worker; 0: no limit")] = 0
    memory_budget_bytes: Annotated[Bytes, Meta(description="estimated memory of one job; 0: no limit")] = 8 * GIGABYTE
    disk_floor_bytes: Annotated[Bytes, Meta(description="below this much free space jobs pause")] = 64 * 1024**2
    keep_checkpoints: Annotated[
        Count, Meta(description="checkpoints kept of a job, beside its best and pinned ones")
    ] = 2
    keep_finished: Annotated[Count, Meta(description="finished jobs kept; default: all")] | None = None
    keep_days: Annotated[Seconds, Meta(description="days a finished job is kept; default: for ever")] | None = None

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
