"""SIGKILL of servers and workers while settings of their jobs are changed: the weights of an undisturbed run.

The undisturbed run is made afterwards: with the same changes at the steps that the record says.
"""

import contextlib
import http.client
import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fault_harness import TERMINAL, Server
from judge import left_behind
from tally import Breach, Case, Tally, seeds, side_by_side

from traind.trainer.contract.change import RequestedChange
from traind.trainer.contract.spec import Place, TrainSpec
from traind.trainer.run.attempt import run

KILLS = int(os.environ.get("TRAIND_CONTROL_KILLS", "100"))  # of the long run
LIFE_S = 0.6  # of an attempt, at most
EACH = 10  # kills of one server and its job
SPEC = {
    "epochs": 90,
    "batch_size": 16,
    "synthetic": {"rows": 6_000, "columns": 6},
    "model": {"kind": "mlp", "hidden": [32], "dropout": 0.1, "embedding": "none"},
    "checkpoint_every": 0.2,
    "max_attempts": 100,
}
CALM = threading.Lock()  # torch's random numbers are the process's: undisturbed runs come one after the other
SCHEDULES = ("cosine", "constant", "linear")


def changes_of(chance: random.Random) -> dict[str, Any]:
    """Return what to change next."""
    every = {
        "lr": round(10 ** chance.uniform(-4.0, -2.5), 6),
        "epochs": chance.randrange(90, 140),
        "patience": None,
        "report_every": chance.randrange(1, 20),
        "checkpoint_every": chance.choice([0.0, 0.1, 0.5]),
    }
    return {name: every[name] for name in chance.sample(sorted(every), chance.randrange(1, 4))}


def steered_and_killed(case: Case, root: Path, kills: int) -> None:
    """Change the settings of a job and kill its server or its worker, `kills` times; then let it end, and compare."""
    chance = random.Random(case.seed)
    server, job_id = Server(root), f"steered_{case.seed}"
    spec = {**SPEC, "schedule": SCHEDULES[(case.seed or 0) % len(SCHEDULES)], "seed": case.seed}
    server.start()
    while case.asked < kills:
        if server.has_left():
            server.start()
        if not server.wait_up():
            continue
        server.call("POST", "/api/train", {**spec, "job_id": job_id})
        if server.status(job_id)["status"] in TERMINAL:
            break
        killed(case, server, job_id, chance)
    if server.has_left():
        server.start()
    assert server.wait_up(), server.tail()
    server.wait_over([job_id])
    case.breaches += compared(server.status(job_id), root.with_name(f"calm_{case.seed}"))
    server.kill()
    case.breaches += left_behind(server)


def killed(case: Case, server: Server, job_id: str, chance: random.Random) -> None:
    """Ask for changes until one is answered or the job has left, and kill its server or its worker about then."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        while (job := server.status(job_id))["status"] not in TERMINAL and job["pid"] is None:
            time.sleep(0.02)
        if job["pid"] is None:
            return
        time.sleep(chance.uniform(0.0, LIFE_S))
        is_before = chance.random() < 0.5  # then the worker stands still: asked, and not taken up
        if is_before:
            with contextlib.suppress(ProcessLookupError):
                os.kill(job["pid"], signal.SIGSTOP)
        with contextlib.suppress(TimeoutError):
            server.call("POST", "/api/train/control", {"job_id": job_id, **changes_of(chance)}, 0.5)
        if chance.random() < 0.5:
            with contextlib.suppress(ProcessLookupError):
                os.kill(job["pid"], signal.SIGKILL)
        else:
            server.kill()
            with contextlib.suppress(ProcessLookupError):
                os.kill(job["pid"], signal.SIGKILL if is_before else signal.SIGCONT)
        case.asked += 1


def compared(job: dict[str, Any], folder: Path) -> list[Breach]:
    """Return where a job's weights are not those of an undisturbed run with the same changes at the same steps."""
    if job["status"] != "COMPLETED":
        return [Breach("job lost", f"{job['job_id']} is {job['status']}: {job['error']}")]
    changes = msgspec.convert(job["changes"], tuple[RequestedChange, ...])
    if not any(change.step is not None for change in changes):
        return [Breach("other", f"{job['job_id']} took up no change")]
    folder.mkdir()
    place = Place(job_id=job["job_id"], attempt=1, attempt_dir=str(folder), changes=changes)
    with CALM:
        calm = run(msgspec.convert(job["spec"], TrainSpec), lambda _: None, place)
    assert calm.result is not None, calm.error
    if calm.result.weights_digest == job["weights_digest"]:
        return []
    return [Breach("other weights", f"{job['job_id']} has other weights than an undisturbed run with {changes}")]


@pytest.mark.timeout(300)
def test_a_job_whose_settings_are_changed_survives_kills_bit_for_bit(tmp_path: Path, tally: Tally) -> None:
    with tally.case("killed while settings are changed", 21) as case:
        steered_and_killed(case, tmp_path / "root", kills=1)


@pytest.mark.faults
@pytest.mark.timeout(3_600)
def test_a_hundred_kills_with_changes_in_between(tmp_path: Path, tally: Tally) -> None:
    def one(seed: int) -> None:
        with tally.case("killed while settings are changed", seed) as case:
            steered_and_killed(case, tmp_path / str(seed), kills=EACH)

    side_by_side(one, seeds(range(700, 700 + -(-KILLS // EACH))))
