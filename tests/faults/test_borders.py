"""Other people's code, copies and hosts: no job lost, no foreign process touched, no user's error tried again."""

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_harness import Server, workload
from handing_over import REFUSED, TAKEN, line_of
from judge import left_behind
from tally import Breach, Tally, seeds

HERE = Path(__file__).parent
HOSTS = HERE.parent / "flow" / "hard_hosts.py"
pytestmark = [pytest.mark.faults, pytest.mark.timeout(1_800)]


@pytest.fixture
def with_trainers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that knows the trainers that hand over every kind of value."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]))
    server = Server(tmp_path / "root", "--trainers", '{"values": "handing_over:train"}')
    server.start()
    assert server.wait_up(), server.tail()
    yield server
    server.kill()
    assert [left for left in server.left_behind() if "torchinductor" not in left] == []  # torch's own cache stays


def test_every_kind_of_value_is_taken_or_refused_once(with_trainers: Server, tally: Tally) -> None:
    server, jobs = with_trainers, {}
    with tally.case("values that trainers hand over", 1) as case:
        for trainer in (*TAKEN, *REFUSED):
            spec = {"trainer": "values", "options": {"what": trainer.__name__}}
            code, answer = server.call("POST", "/api/train", spec)
            assert code == 202, answer
            jobs[answer["job_id"]] = trainer
        case.asked = len(jobs)
        server.wait_over(list(jobs))
        for job_id, trainer in jobs.items():
            job = server.status(job_id)
            expected = "COMPLETED" if trainer in TAKEN else "FAILED"
            if (job["status"], job["attempt"], job["crashes"]) != (expected, 1, 0):
                case.breaches.append(
                    Breach("other", f"{trainer.__name__}: {job['status']}, attempt {job['attempt']}")
                )
            elif trainer in REFUSED:
                line = line_of(trainer)
                where = f"handing_over.py, line {line}: " if line else ""
                message = job["error"]["message"]
                if not message.startswith(where) or REFUSED[trainer] not in message:
                    case.breaches.append(Breach("other", f"{trainer.__name__}: {message}"))


@pytest.mark.parametrize("seed", seeds(range(400, 405)))
def test_opened_copies_touch_nobody(seed: int, tmp_path: Path, tally: Tally) -> None:
    chance = random.Random(seed)
    with tally.case("copies of a running root, opened beside it", seed) as case:
        live, work = Server(tmp_path / "live"), workload(4, seed=seed, epochs=2_000)
        live.start()
        assert live.wait_up(), live.tail()
        work.submit(live, f"c{seed}")
        for number in range(3):
            time.sleep(chance.uniform(0.0, 1.0))
            before = {job["job_id"]: (job["attempt"], job["crashes"]) for job in live.jobs()}
            copy = tmp_path / f"copy-{number}"
            subprocess.run(["cp", "-a", live.root, copy], check=False, capture_output=True)  # files go meanwhile
            copied = Server(copy)
            copied.start()
            assert copied.wait_up(), copied.tail()
            case.asked += 1
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                now = {job["job_id"]: (job["attempt"], job["crashes"]) for job in live.jobs()}
                lost = {name for name, (_, crashes) in now.items() if crashes > before[name][1]}
                case.breaches += [Breach("other", f"a worker of {name} was killed") for name in sorted(lost)]
                time.sleep(0.1)
            if "copy of" not in copied.tail():
                case.breaches.append(Breach("other", "the copy did not say what it is"))
            copied.kill()
            case.breaches += left_behind(copied)
            shutil.rmtree(copy)
        live.kill()
        case.breaches += left_behind(live)


@pytest.mark.parametrize("host", ["daemonic", "without_descriptors"])
@pytest.mark.parametrize("time_of", range(5))
def test_jobs_run_in_hosts_that_make_it_hard(host: str, time_of: int, tmp_path: Path, tally: Tally) -> None:
    with tally.case(f"host {host}", time_of) as case:
        case.asked = 1
        command = [sys.executable, str(HOSTS), host, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
        if done.stdout.splitlines()[-1:] != ["COMPLETED"]:
            case.breaches.append(Breach("other", done.stdout + done.stderr))
