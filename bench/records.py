"""What the parts of the benchmark share: turns, tables, and a JSON file that says on what machine it was."""

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(os.environ.get("TRAIND_BENCH_RESULTS") or Path(__file__).parent / "results")
PACKAGES = ("traind", "torch", "numpy", "lightning", "skorch", "scikit-learn", "aiohttp", "polars", "pandas")
Repeats = dict[str, list[float]]
_began = time.perf_counter()


def say(words: str) -> None:
    """Tell how far the measurement is."""
    print(f"  {time.perf_counter() - _began:5.0f} s  {words}", flush=True)


def in_turns(contenders: Mapping[str, Callable[[], float]], repeats: int, *, is_told: bool = True) -> Repeats:
    """Measure every contender `repeats` times, one after the other in each round; the first round is not counted."""
    measured: Repeats = {name: [] for name in contenders}
    for turn in range(repeats + 1):
        for name, measure in contenders.items():
            value = measure()
            if turn:
                measured[name].append(value)
        if is_told:
            say(f"round {turn} of {repeats}" if turn else f"round 0, not counted: {', '.join(contenders)}")
    return measured


def ratio(measured: Repeats, of: str, to: str) -> float:
    """Return the ratio of two contenders' medians."""
    return statistics.median(measured[of]) / statistics.median(measured[to])


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    print(f"\n{title}\n")
    for first, *rest in cells:
        line = [first.ljust(widths[0])]
        line += [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        print("  ".join(line), flush=True)


def write(part: str, results: Any) -> Path:
    """Write results with the machine and the versions; return the file."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{part}.json"
    path.write_text(json.dumps({"part": part, "machine": machine(), "results": results}, indent=1))
    print(f"\nwritten to {path}")
    return path


def machine() -> dict[str, Any]:
    """Return what figures depend on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "processor": models[0] if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": os.getloadavg(),  # other work on the machine blurs every figure
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
