"""The recipe for retraining, with a real server and a real listener, both killed in between."""

import base64
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from traind import SyncClient

RECIPE = Path(__file__).parents[2] / "examples/retrain.py"
NIGHTS = int(os.environ.get("TRAIND_NIGHTS", "1"))  # in `make faults` 10


def table(path: Path, seed: int, rows: int) -> Path:
    draw = random.Random(seed)
    lines = ["a,b,value"]
    for _ in range(rows):
        a, b = draw.gauss(0, 1), draw.gauss(0, 1)
        lines.append(f"{a:.4f},{b:.4f},{2 * a - b + draw.gauss(0, 0.5):.4f}")
    path.write_text("\n".join(lines) + "\n")
    return path


class Listener:
    """`retrain.py listen` as a process of its own."""

    def __init__(self, server: str, secret: Path, port: int) -> None:
        flags = ["--server", server, "listen", "--secret-file", str(secret), "--port", str(port)]
        self.process = subprocess.Popen([sys.executable, str(RECIPE), *flags], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert "listening" in self.process.stdout.readline()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "hook.secret"
    path.write_text(base64.b64encode(b"a secret of enough bytes").decode())
    path.chmod(0o600)
    return path


@pytest.fixture
def server(tmp_path: Path, secret: Path, free_port: int, make_server: Callable[..., Any]) -> Iterator[Any]:
    hooks = tmp_path / "hooks.toml"
    url = f"http://127.0.0.1:{free_port}/trained"
    hooks.write_text(f'[[webhook]]\nname = "retrain"\nurl = "{url}"\nsecret_file = "{secret}"\ntags = ["retrain"]\n')
    server = make_server(tmp_path / "root", "--webhooks", str(hooks), "--slots", "1").start()
    yield server
    assert server.stop() == 0
    server.check_nothing_is_left()


def test_nights_of_retraining_end_with_the_best_model_whatever_is_killed(
    tmp_path: Path, secret: Path, server: Any, free_port: int
) -> None:
    draw = random.Random(2)
    client = SyncClient(server.url)
    client.put_dataset("holdout", table(tmp_path / "holdout.csv", 99, 300))
    listener = Listener(server.url, secret, free_port)
    made = []
    for night in range(NIGHTS):
        rows = table(tmp_path / f"night_{night}.csv", night, 100 * (night + 1))
        first, again = (run_night(server.url, rows) for _ in range(2))
        assert first == again  # the same rows are the same job
        made.append(first)
        if draw.random() < 0.7:
            server.kill()
            server.start()
        if draw.random() < 0.5:
            listener.kill()
            listener = Listener(server.url, secret, free_port)
        assert client.wait(first).status == "COMPLETED"
        until_delivered(client, first)
    history = [move.job_id for move in client.alias("production").history]
    assert history[0] == made[0]
    assert set(history) <= set(made)
    scores = {job_id: client.evaluate(job_id, dataset="holdout").metrics["rmse"] for job_id in made}
    assert scores[client.aliases()["production"]["job_id"]] == min(scores.values())
    for job_id in made[1:]:
        parent = client.status(job_id).parent
        assert parent is not None
        assert parent.job_id in history
    listener.kill()


def run_night(server: str, rows: Path) -> str:
    command = [sys.executable, str(RECIPE), "--server", server, "night", str(rows)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def until_delivered(client: SyncClient, job_id: str) -> None:
    """Wait until the listener has taken the end of the job."""
    until = time.monotonic() + 120.0
    while time.monotonic() < until:
        told = [one for one in client.webhook_deliveries("retrain") if one.job_id == job_id]
        if told and all(one.state == "delivered" for one in told):
            return
    raise AssertionError(f"the end of {job_id} was not delivered")
