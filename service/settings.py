"""Every setting of a service with its default and meaning. Flags and docs are made from it.

`traind serve --slots 4`, `TRAIND_SLOTS=4` and `TrainingService(slots=4)` are the same setting.
"""

import logging
import os
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from traind.service.record.disk import Disk
from traind.trainer.contract.spec import DatasetFile

LOG = logging.getLogger(__name__)
GIGABYTE = 1024**3
LEAST_WORKER_BYTES = GIGABYTE  # smallest default limit of a worker: its libraries take much of it
PRIVATE_UMASK = 0o077  # of processes that write to a private root
Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Bytes = Annotated[int, Meta(ge=0)]


def processors() -> int:
    """Return how many cores this process may use, by its affinity and its cgroup's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, int(quota) // int(period)))


def machine_memory_bytes() -> int:
    """Return how much memory this process may use: the machine's, or its cgroup's limit if that is less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return machine
    return min(machine, int(limit)) if limit.isdigit() else machine


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one service. The line after each is its help text."""

    root: str = "."
    """Folder that holds everything."""
    slots: Annotated[int, Meta(ge=1, le=1024)] | None = None
    """Jobs that train at once; null: one for each core."""
    devices: Annotated[str, Meta(pattern=r"^(auto|cpu|cuda:[0-9]{1,2}(, ?cuda:[0-9]{1,2})*)\Z")] = "auto"
    """GPUs for jobs, one job each: auto (all), cpu (none), or a list such as cuda:0,cuda:1."""
    executor: Literal["local", "ray"] = "local"
    """Where jobs run: local (processes of this machine) or ray (a Ray cluster)."""
    ray_address: str | None = None
    """The head of the Ray cluster, as host:port."""
    ray_insecure: bool = False
    """Whether to use a cluster beyond this machine that asks for no token."""
    ray_node_dir: str | None = None
    """Folder in which the nodes keep files; null: their temporary folder."""
    ray_lease_s: Annotated[float, Meta(ge=3.0)] = 60.0
    """Seconds without contact to the server after which a job on a cluster writes a checkpoint and ends."""
    trainers: dict[str, str] = {}
    """Trainers of your own by name, as {"mine": "package.module:function"} or {"mine": "file.py:function"}."""
    webhooks: str | list[Any] = []
    """Programs to notify of job events: a TOML file of [[webhook]] tables, or a list of service.webhooks.Webhook."""
    tensorboard: str | None = None
    """Folder to write each job to as a TensorBoard run while it trains; null: none. Needs traind[tensorboard]."""
    mlflow: str | None = None
    """MLflow tracking URI to write each job to as a run while it trains; null: none. Needs traind[mlflow]."""
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
    worker_memory_bytes: Bytes | None = None
    """Memory that one worker may allocate, in bytes; null: twice the budget, at most the machine's; 0: no limit."""
    memory_budget_bytes: Bytes = 8 * GIGABYTE
    """Largest estimated memory of one job, in bytes; 0: no limit."""
    disk_floor_bytes: Bytes = 64 * 1024**2
    """Free space, in bytes, below which jobs pause."""
    private_root: bool = True
    """Whether only this user can read the root: folders 0700, files 0600."""
    max_datasets: Count = 1_000
    """Data sets that may be registered."""
    max_aliases: Count = 1_000
    """Aliases that may be set."""
    max_exports: Count = 16
    """Exports that may be made or fetched at once."""
    max_watchers: Count = 4_000
    """Websockets and event streams that may be open at once; one client may have half of them."""
    keep_checkpoints: Count = 2
    """Newest checkpoints kept of a job, beside its best and its pinned ones."""
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
    def worker_limit_bytes(self) -> int | None:
        """Memory that one worker may allocate, in bytes; None: no limit.

        By default twice `memory_budget_bytes`, since a job's need is only estimated, and at most the machine's
        memory. Jobs with a GPU have no limit: the driver maps more than it uses.
        """
        if self.worker_memory_bytes is not None:
            return self.worker_memory_bytes or None
        if not self.memory_budget_bytes:
            return None
        return min(max(2 * self.memory_budget_bytes, LEAST_WORKER_BYTES), machine_memory_bytes())

    @property
    def slot_count(self) -> int:
        """How many jobs train at once."""
        return self.slots or processors()


class Layout:
    """The absolute paths of everything below the root, and the disk they are on."""

    def __init__(self, root: str | os.PathLike[str], disk: Disk | None = None) -> None:
        self.disk = disk or Disk()
        self.root = Path(root).resolve()
        self.artifacts_dir = self.root / "artifacts"
        self.jobs_dir = self.artifacts_dir / "jobs"
        self.database_path = self.artifacts_dir / "traind.db"
        self.lock_path = self.artifacts_dir / "traind.lock"
        self.identity_path = self.artifacts_dir / "root.json"
        self.checkpoints_dir = self.artifacts_dir / "checkpoints"
        self.datasets_dir = self.artifacts_dir / "datasets"
        self.mirrors_dir = self.artifacts_dir / "mirrors"
        self.studies_dir = self.artifacts_dir / "studies"
        self.side_dir = self.artifacts_dir / "side"
        self.models_dir = self.root / "models"

    def make(self, *, is_private: bool) -> None:
        """Make the root and its folders; if it is private, close folders that exist already to other users too.

        The root itself is made 0700 if it is missing; an existing one, such as the current folder, stays as it is.
        """
        mode = 0o700 if is_private else 0o777
        self.root.mkdir(mode=mode, parents=True, exist_ok=True)
        for folder in (self.artifacts_dir, self.models_dir):
            folder.mkdir(mode=mode, exist_ok=True)
            if is_private and folder.stat().st_mode & PRIVATE_UMASK:
                try:
                    folder.chmod(mode)
                except PermissionError:
                    LOG.warning("other users of this machine can read %s, which is not this user's", folder)

    def free_bytes(self) -> int:
        """Return the free space where the root is, in bytes. Raises `OSError`."""
        return self.disk.free_bytes(self.root)

    def job_dir(self, job_id: str) -> Path:
        """Return the folder of a job's attempts."""
        return self.checkpoints_dir / job_id

    def attempt_dir(self, job_id: str, attempt: int) -> Path:
        """Return the folder that one attempt writes to."""
        return self.job_dir(job_id) / f"attempt-{attempt}"

    def files_dir(self, job_id: str) -> Path:
        """Return the folder of files that a job's trainer keeps over all attempts."""
        return self.job_dir(job_id) / "files"

    def model_path(self, job_id: str) -> Path:
        """Return where a job's finished model is."""
        return self.models_dir / f"{job_id}.pt"

    def relative(self, path: str | os.PathLike[str]) -> str:
        """Return a path as users see it: relative to the root."""
        return os.path.relpath(path, self.root)

    def located(self, dataset: DatasetFile) -> DatasetFile:
        """Return a data set's file with an absolute path; in a job's record it is relative to the root."""
        return msgspec.structs.replace(dataset, path=os.fspath(self.root / dataset.path))


def cache_dir(dataset: DatasetFile) -> str:
    """Return the folder of a data set version's encoded arrays: beside it, so that they are removed with it."""
    return os.fspath(Path(dataset.path).parent / "encoded")
