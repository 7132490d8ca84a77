"""What a study adds to its trials: python -m bench.study.

A real server runs a study of short trials over HTTP, one more at once than it has slots, as a study does by itself.
Each trial's record says when it was taken from the queue, had its data, took its first step and ended. A trial's
predecessor is the one whose end made room for it. In turn with the study the same specs run as plain jobs that all
wait in the queue: what a study costs beyond that is its suggestions, its record, and the submitting.
"""

import argparse
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

from bench.records import Repeats, say, show, write
from bench.server import Server, serving

SLOTS = 2
SPACE = {"lr": {"low": 1e-4, "high": 1e-1, "log": True}, "model.dropout": {"low": 0.0, "high": 0.5}}
SPEC = {
    "synthetic": {"rows": 4_000, "columns": 8},
    "model": {"kind": "mlp", "hidden": [64, 64]},
    "batch_size": 16,
    "patience": None,
    "report_every": 1,  # so that the first step that is reported is the first
}
WANTED_S, WANTED_SHARE = 0.040, 0.95


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100, help="trials of the study, and plain jobs")
    parser.add_argument("--epochs", type=int, default=14, help="of each: 14 are about a second on a quiet machine")
    asked = parser.parse_args()
    taken: Repeats = {}
    with serving(SLOTS) as server:
        for name, jobs in (
            ("study", study(server, asked.trials, asked.epochs)),
            ("plain jobs", plain(server, asked.trials, asked.epochs)),
        ):
            for phase, values in between(jobs).items():
                taken[f"{name}: {phase}"] = values
            taken[f"{name}: share of slots' time"] = [share(jobs)]
            say(f"{name}: {len(jobs)} jobs, running {median(job['timings']['running_s'] for job in jobs):.2f} s each")
    rows = [
        (name, *(f"{value:.4f}" for value in (median(values), min(values), max(values))), len(values))
        for name, values in taken.items()
    ]
    show("seconds, and shares of the slots' time", ("", "median", "least", "most", "number"), rows)
    gap, part = median(taken["study: end to first step"]), taken["study: share of slots' time"][0]
    print(f"\nfrom a trial's end to the next one's first step: {1e3 * gap:.0f} ms ({1e3 * WANTED_S:.0f} wanted)")
    print(f"in jobs' loading and steps: {part:.1%} of the slots' time ({WANTED_SHARE:.0%} wanted)")
    write("study", taken)


def study(server: Server, trials: int, epochs: int) -> list[dict[str, Any]]:
    """Run a study to its end; return its trials' jobs."""
    request = {"spec": SPEC | {"epochs": epochs}, "space": SPACE, "trials": trials, "pruner": "none"}
    study_id = server.call("/api/studies", {**request, "ensemble": False, "seed": 1})["study_id"]
    path = f"/api/studies/{study_id}?importance=false"
    while (status := server.call(path)["study"]["status"]) == "RUNNING":
        time.sleep(0.5)
    assert status == "COMPLETED", status
    trials_of = server.call(f"/api/studies/{study_id}/trials?limit=1000")["trials"]
    return [server.status(trial["job_id"]) for trial in trials_of]


def plain(server: Server, jobs: int, epochs: int) -> list[dict[str, Any]]:
    """Run as many jobs of the same spec, submitted at once; return them."""
    ids = [server.submit(**SPEC, epochs=epochs, lr=0.001, seed=number) for number in range(jobs)]
    return [server.finished(job_id) for job_id in ids]


def between(jobs: Sequence[dict[str, Any]]) -> Repeats:
    """Return the seconds from each job's end to the first step of the one that took its slot, and their parts."""
    waiting = sorted(jobs, key=lambda job: float(job["started_at"]))
    free: list[float] = []  # ends of jobs whose slots nobody has taken yet
    ended = sorted(job["finished_at"] for job in jobs)
    found: Repeats = {"end to start": [], "starting": [], "loading": [], "first step": [], "end to first step": []}
    for place, job in enumerate(waiting):
        if place < SLOTS:
            continue
        free += [end for end in ended if end <= job["started_at"]]
        ended = [end for end in ended if end > job["started_at"]]
        if not free:
            continue  # it was taken before the other's end was on record
        before, timings = free.pop(0), job["timings"]
        first_at = job["created_at"] + timings["submit_to_first_step_s"]
        found["end to start"].append(job["started_at"] - before)
        found["starting"].append(timings["starting_s"])
        found["loading"].append(timings["loading_s"])
        found["first step"].append(timings["first_step_s"])
        found["end to first step"].append(first_at - before)
    return found


def share(jobs: Sequence[dict[str, Any]]) -> float:
    """Return the share of the slots' time that jobs were loading or running, from the first start to the last end."""
    inside = sum(job["timings"]["loading_s"] + job["timings"]["running_s"] for job in jobs)
    began, ended = min(job["started_at"] for job in jobs), max(job["finished_at"] for job in jobs)
    return float(inside / (SLOTS * (ended - began)))


if __name__ == "__main__":
    main()
