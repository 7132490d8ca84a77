"""A real server to measure: `traind serve` in a process of its own, asked over HTTP; and what its processes use."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

UNDER_WAY = frozenset({"QUEUED", "STARTING", "LOADING", "RUNNING"})
NETWORK = {
    "model": {"kind": "mlp", "hidden": [64, 64], "embedding": "none", "dropout": 0.0},
    "optimizer": "adam",
    "schedule": "constant",
    "patience": None,
    "batch_size": 16,
}
UNENDING = NETWORK | {  # a busy slot: an epoch takes seconds, and little of it is no step
    "epochs": 100_000,
    "synthetic": {"rows": 1_000_000},
    "validation": {"fraction": 0.01},
}
LOOK_S = 0.3
TICKS = os.sysconf("SC_CLK_TCK")


class Server:
    """`traind serve` on a root and a port of its own."""

    def __init__(self, root: Path, slots: int, flags: Sequence[str] = ()) -> None:
        self.port = free_port()
        self.typed_at = time.time()
        command = [sys.executable, "-m", "traind", "serve", "--root", str(root), "--port", str(self.port)]
        self.process = subprocess.Popen(
            [*command, "--slots", str(slots), *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while not self._answers():
            time.sleep(0.005)
        self.ready_s = time.time() - self.typed_at

    def call(self, path: str, body: Any = None, method: str | None = None, kind: str = "application/json") -> Any:
        """Make a request and return its JSON answer."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data, {"Content-Type": kind}, method=method
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def submit(self, **spec: Any) -> str:
        """Submit a job and return its id."""
        job_id: str = self.call("/api/train", NETWORK | {"epochs": 1, "report_every": 1} | spec)["job_id"]
        return job_id

    def status(self, job_id: str) -> dict[str, Any]:
        """Return a job's status."""
        status: dict[str, Any] = self.call(f"/api/train/status?job_id={job_id}")["status"]
        return status

    def job(self, **spec: Any) -> dict[str, Any]:
        """Run one job to its end and return its status."""
        return self.finished(self.submit(**spec))

    def finished(self, job_id: str) -> dict[str, Any]:
        """Wait for a job's end and return its status."""
        while (status := self.status(job_id))["status"] in UNDER_WAY:
            time.sleep(0.02)
        assert status["status"] == "COMPLETED", status
        return status

    def first_step(self, **spec: Any) -> dict[str, Any]:
        """Submit a job, look at it once it has surely taken steps, discard it; return what was seen."""
        job_id = self.submit(**{"epochs": 1_000} | spec)
        time.sleep(LOOK_S)  # asking meanwhile would be work for the server whose haste is measured
        while not (status := self.status(job_id))["step"]:
            assert status["status"] in UNDER_WAY, status
            time.sleep(LOOK_S)
        self.discard(job_id)
        return status

    def discard(self, job_id: str) -> None:
        """Cancel a job and wait until it is gone and the next worker is ready."""
        self.call("/api/train/cancel", {"job_id": job_id})
        while self.status(job_id)["status"] in UNDER_WAY:
            time.sleep(0.02)
        time.sleep(LOOK_S)

    def busy(self) -> str:
        """Fill a slot for as long as the server lives, and return the job once it takes steps."""
        job_id = self.submit(**UNENDING)
        while not (status := self.status(job_id))["step"]:
            assert status["status"] in UNDER_WAY, status
            time.sleep(0.02)
        return job_id

    def stop(self) -> None:
        """End the server as Ctrl-C does."""
        self.process.terminate()
        self.process.wait(30)

    def _answers(self) -> bool:
        assert self.process.poll() is None, "traind serve ended"
        try:
            return bool(self.call("/health")["ok"])
        except OSError:
            return False


@contextmanager
def serving(slots: int = 2, root: Path | None = None, flags: Sequence[str] = ()) -> Iterator[Server]:
    """Run a server on the root, or on an empty one, with these flags of `traind serve`."""
    with tempfile.TemporaryDirectory(prefix="traind-bench-") as empty:
        server = Server(root or Path(empty), slots, flags)
        try:
            yield server
        finally:
            server.stop()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def cpu_s(pid: int) -> float:
    """Return the processor time a process has used, in steps of ten milliseconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def megabytes(pid: int, what: str) -> float:
    """Return a process's memory of a kind: Rss, Pss, Private_Dirty, ..."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) / 1024


def tree(server: int) -> dict[int, str]:
    """Return the processes that come from one, itself first, with their names."""
    parents = {
        pid: _parent(pid) for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    }
    found = [server]
    for pid in found:
        found.extend(child for child, parent in parents.items() if parent == pid)
    return {pid: Path(f"/proc/{pid}/comm").read_text().strip() for pid in found}


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
