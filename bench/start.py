"""How soon a job takes its first gradient step, and what being ready for it costs: python -m bench.start.

A real server is asked over HTTP, as a program would: jobs on made data and on a table whose encoding is cached, each
in a fresh worker of an idle server, discarded after their first steps. In turn with them the peer runs: a script per
job, from typing its name to its first step, with the same network and data. Memory is of the server's tree while it
waits with workers ahead.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from bench.records import Repeats, ratio, say, show, write
from bench.server import megabytes, serving, tree

from traind.service.processes.side import IDLE_S

SAMPLE = Path(__file__).parent.parent / "data" / "samples" / "house_prices.csv.gz"
FIRST_STEP = "made data: submit_to_first_step_s"
SETTLED_S = IDLE_S + 2.0  # for the worker ahead to be made, and the side worker to leave
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
ALONE = """
import re, torch
print(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=50, help="jobs of each kind")
    parser.add_argument("--cold-repeats", type=int, default=3, help="starts of the server")
    asked = parser.parse_args()
    taken = warm(asked.repeats) | cold(asked.cold_repeats)
    rows = []
    for name, values in taken.items():
        worst = sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]
        rows.append((name, *(f"{value:.4f}" for value in (median(values), min(values), worst)), len(values)))
    show("seconds, and MB of memory", ("", "median", "least", "p99", "repeats"), rows)
    gain = ratio(taken, "a script per job", FIRST_STEP)
    print(f"\na script per job takes {gain:.0f} times as long")
    write("start", taken)


def warm(repeats: int) -> Repeats:
    """Return the phases of jobs on an idle server, the script's seconds, and memory."""
    taken: Repeats = {}
    with serving() as server:
        server.call("/api/datasets/houses?format=csv.gz", SAMPLE.read_bytes(), "PUT", "application/octet-stream")
        spec = {"dataset": "houses", "target": "price", "ignore": ["id"], "model": {"kind": "auto"}}
        server.job(**spec)
        for repeat in range(repeats):
            for name, own in (("made data", {"seed": repeat}), ("cached table", spec)):
                posted_at = time.time()
                status = server.first_step(**own)
                for phase, seconds in status["timings"].items():
                    taken.setdefault(f"{name}: {phase}", []).append(seconds)
                first_at = status["created_at"] + status["timings"]["submit_to_first_step_s"]
                taken.setdefault(f"{name}: POST to first step", []).append(first_at - posted_at)
            if repeat % 10 == 0:
                taken.setdefault("a script per job", []).append(script())
                say(f"job {repeat + 1} of {repeats} of each kind: {1e3 * taken[FIRST_STEP][-1]:.1f} ms")
        time.sleep(SETTLED_S)
        return taken | {name: [size] for name, size in memory(server.process.pid).items()}


def cold(repeats: int) -> Repeats:
    """Return the seconds from typing `traind serve` to its answer and to a first step, and of importing torch."""
    taken: Repeats = {"import torch": [], "serve typed to answering": [], "serve typed to first step": []}
    for _ in range(repeats):
        taken["import torch"].append(imported())
        with serving() as server:
            taken["serve typed to answering"].append(server.ready_s)
            status = server.job()
            first = status["created_at"] + status["timings"]["submit_to_first_step_s"]
            taken["serve typed to first step"].append(first - server.typed_at)
        say(f"cold start: {taken['serve typed to first step'][-1]:.2f} s to the first step")
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
    names = tree(server)
    parts = [(f"MB {name} {pid}, PSS", megabytes(pid, "Pss")) for pid, name in names.items()]
    alone = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True)
    idle = [pid for pid, name in names.items() if name == "traind-worker"]
    return {
        "MB server, RSS": megabytes(server, "Rss"),
        "MB server, PSS": megabytes(server, "Pss"),
        "MB idle worker, private": max(
            megabytes(pid, "Private_Dirty") + megabytes(pid, "Private_Clean") for pid in idle
        ),
        "workers ahead": len(idle),
        "processes": len(names),
        "MB whole tree, PSS": sum(size for _, size in parts),
        **dict(parts),
        "MB of a process that only imports torch, RSS": int(alone.stdout) / 1024,
    }


if __name__ == "__main__":
    main()
