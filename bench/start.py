"""How soon a job takes its first gradient step, and what being ready for it costs: python -m bench.start.

A real server is asked over HTTP, as a program would: jobs on made data and on a table whose encoding is cached, each
in a fresh worker of an idle server. In turn with them the peer runs: a script per job, from typing its name to its
first step, with the same network and data. Memory is of the server's tree while it waits with workers ahead.
"""

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

SAMPLE = Path(__file__).parent.parent / "data" / "samples" / "house_prices.csv.gz"
NETWORK = {
    "model": {"kind": "mlp", "hidden": [64, 64], "embedding": "none", "dropout": 0.0},
    "optimizer": "adam",
    "schedule": "constant",
    "patience": None,
    "batch_size": 16,
}
SCRIPT = """
import torch
from torch import nn
torch.set_num_threads(1)
rows = torch.randn(20_000, 8)
target = rows.sin().sum(1, keepdim=True)
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(rows, target), 16, shuffle=True)
model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
optimizer = torch.optim.Adam(model.parameters())
for inputs, wanted in loader:
    nn.functional.mse_loss(model(inputs), wanted).backward()
    optimizer.step()
    import time
    print(time.time(), flush=True)
    break
"""


class Server:
    """`traind serve` on a root and a port of its own."""

    def __init__(self, root: Path, slots: int) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.typed_at = time.time()
        command = [sys.executable, "-m", "traind", "serve", "--root", str(root), "--port", str(self.port)]
        self.process = subprocess.Popen(
            [*command, "--slots", str(slots)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while not self._answers():
            time.sleep(0.005)

    def call(self, path: str, body: Any = None, method: str | None = None, kind: str = "application/json") -> Any:
        """Make a request and return its JSON answer."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data, {"Content-Type": kind}, method=method
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def job(self, **spec: Any) -> dict[str, Any]:
        """Run one job to its end and return its status."""
        job_id = self.call("/api/train", NETWORK | {"epochs": 1, "report_every": 1} | spec)["job_id"]
        while True:
            status = self.call(f"/api/train/status?job_id={job_id}")["status"]
            if status["status"] not in {"QUEUED", "STARTING", "LOADING", "RUNNING"}:
                assert status["status"] == "COMPLETED", status
                return status
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server as Ctrl-C does."""
        self.process.terminate()
        self.process.wait(30)

    def _answers(self) -> bool:
        try:
            return bool(self.call("/health")["ok"])
        except OSError:
            return False


@contextmanager
def serving(slots: int = 2) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="traind-bench-") as root:
        server = Server(Path(root), slots)
        try:
            yield server
        finally:
            server.stop()


def measure(repeats: int, cold_repeats: int) -> dict[str, list[float]]:
    """Return every repeat of every figure: seconds, and MB of memory."""
    taken: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        taken.setdefault(name, []).append(round(value, 6))

    with serving() as server:
        server.call("/api/datasets/houses?format=csv.gz", SAMPLE.read_bytes(), "PUT", "application/octet-stream")
        spec = {"dataset": "houses", "target": "price", "ignore": ["id"], "model": {"kind": "auto"}}
        server.job(**spec)
        for repeat in range(repeats):
            made, cached = server.job(seed=repeat), server.job(**spec)
            for name, status in (("made data", made), ("cached table", cached)):
                for phase in ("queued_s", "starting_s", "loading_s", "submit_to_first_step_s"):
                    note(f"{name}: {phase}", status["timings"][phase])
            if repeat % 6 == 0:
                note("a script per job", script())
        time.sleep(2)
        for name, size in memory(server.process.pid).items():
            note(name, size)
    for _ in range(cold_repeats):
        note("import torch", imported())
        with serving() as server:
            note("serve typed to answering", time.time() - server.typed_at)
            status = server.job()
            first = status["created_at"] + status["timings"]["submit_to_first_step_s"]
            note("serve typed to first step", first - server.typed_at)
    return taken


def script() -> float:
    """Return the seconds from starting a training script to its first step."""
    typed_at = time.time()
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    return float(ran.stdout) - typed_at


def imported() -> float:
    """Return the seconds that a Python takes which only imports torch."""
    typed_at = time.time()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    return time.time() - typed_at


def memory(server: int) -> dict[str, float]:
    """Return what the processes of an idle server hold, in MB."""
    parents = {
        pid: _parent(pid) for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    }
    tree = [server]
    for pid in tree:
        tree.extend(child for child, parent in parents.items() if parent == pid)
    names = {pid: Path(f"/proc/{pid}/comm").read_text().strip() for pid in tree}
    idle = [pid for pid in tree if names[pid] == "traind-worker"]
    return {
        "MB server, RSS": _size(server, "Rss"),
        "MB server, PSS": _size(server, "Pss"),
        "MB idle worker, private": max(_size(pid, "Private_Dirty") + _size(pid, "Private_Clean") for pid in idle),
        "workers ahead": len(idle),
        "processes": len(tree),
        "MB whole tree, PSS": sum(_size(pid, "Pss") for pid in tree),
    }


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _size(pid: int, what: str) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) / 1024


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=30, help="jobs of each kind")
    parser.add_argument("--cold-repeats", type=int, default=5, help="starts of the server")
    parser.add_argument("--out", help="file for every repeat, as JSON")
    asked = parser.parse_args(arguments)
    taken = measure(asked.repeats, asked.cold_repeats)
    for name, values in taken.items():
        worst = sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]
        print(f"{name:40} {statistics.median(values):10.4f} {min(values):10.4f} {worst:10.4f} {len(values):4}")
    ratio = statistics.median(taken["a script per job"]) / statistics.median(
        taken["made data: submit_to_first_step_s"]
    )
    print(f"a script per job takes {ratio:.0f} times as long")
    if asked.out:
        machine = {"python": platform.python_version(), "torch": version("torch"), "cores": os.cpu_count()}
        Path(asked.out).write_text(
            json.dumps({"machine": machine, "load": os.getloadavg(), "repeats": taken}, indent=1)
        )


if __name__ == "__main__":
    main()
