"""A real server that can be killed, and the jobs that it must bring to their end whatever happens.

`Server` is `traind serve` as a subprocess; everything it starts carries a mark in its environment, by which it is
found again. `Workload` submits jobs and remembers what was answered; `judge` says what must hold then.
"""

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TERMINAL = {"COMPLETED", "STOPPED", "CANCELLED", "FAILED"}
LEFT_S = 8.0  # everything a dead server leaves behind is gone by then: 5 s, and what a busy machine adds


class Server:
    """One root's server, started and killed again and again."""

    def __init__(self, root: Path, *flags: str) -> None:
        self.root = root
        self.port = _free_port()
        self.mark = f"TRAIND_FAULT_MARK={uuid.uuid4().hex}"
        self.process: subprocess.Popen[bytes] | None = None
        self.log = root.with_name(root.name + ".log")
        self.temporary = root.with_name(root.name + ".tmp")
        self._flags = flags

    def start(self) -> None:
        """Start the server; `wait_up` waits until it answers."""
        name, _, value = self.mark.partition("=")
        command = [sys.executable, "-m", "traind", "serve", "--root", str(self.root)]
        command += ["--port", str(self.port), "--slots", "2", *self._flags]
        self.temporary.mkdir(exist_ok=True)
        environment = {**os.environ, name: value, "TMPDIR": os.fspath(self.temporary)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)

    def trace(self, output: Path, *expressions: str) -> "subprocess.Popen[bytes]":
        """Put every process under strace, whose expressions may inject faults; return once it holds those alive."""
        pids = self.pids()
        flags = [flag for expression in expressions for flag in ("-e", expression)]
        held = [flag for pid in pids for flag in ("-p", str(pid))]
        # Not --seccomp-bpf: with it strace 6.1 injects nothing into threads.
        tracer = subprocess.Popen(["strace", "-f", "-q", "-o", str(output), *flags, *held], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while tracer.poll() is None and any(
            b"TracerPid:\t0\n" in _read(f"/proc/{pid}/status") for pid in pids if _is_alive(pid)
        ):
            assert time.monotonic() < deadline, "strace did not attach"
            time.sleep(0.01)
        return tracer

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Wait until a job would get a worker at once."""
        deadline = time.monotonic() + timeout_s
        while len(self.pids()) < 4 or self.call("GET", "/api/health?ready=true")[0] != 200:
            assert time.monotonic() < deadline, self.tail()
            time.sleep(0.05)

    def wait_up(self, timeout_s: float = 60.0) -> bool:
        """Wait until the server answers; False where it died first."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.has_left():
                return False
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.call("GET", "/health")[0] == 200:
                    return True
            time.sleep(0.02)
        raise TimeoutError(f"the server did not answer:\n{self.tail()}")

    def has_left(self) -> bool:
        """Tell whether the server is gone."""
        return self.process is None or self.process.poll() is not None

    def kill_after(self, seconds: float, work: "Workload", prefix: str) -> None:
        """Kill the server at that moment, whatever it and its clients are doing; return when it is dead."""
        killer = threading.Timer(seconds, self.kill)
        killer.start()
        while killer.is_alive():
            with contextlib.suppress(OSError, http.client.HTTPException):
                work.keep_busy(self, prefix)
            killer.join(0.05)

    def kill(self) -> None:
        """Kill the server alone, as the OOM killer would: what it started must leave by itself."""
        for pid in self.server_pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def signal(self, number: int) -> None:
        """Send the server a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait_left(self, timeout_s: float = 20.0) -> int:
        """Wait until the server has left by itself; return its exit code."""
        assert self.process is not None
        code = self.process.wait(timeout_s)
        self.process = None
        return code

    def server_pids(self) -> list[int]:
        """Return the pid of the server itself."""
        return [pid for pid in self.pids() if b"traind\0serve" in _read(f"/proc/{pid}/cmdline")]

    def pids(self) -> list[int]:
        """Return every process that carries the mark: server, fork server, workers, side workers."""
        found = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        return [pid for pid in found if self.mark.encode() in _read(f"/proc/{pid}/environ") and _is_alive(pid)]

    def worker_pids(self) -> list[int]:
        """Return the pids of the jobs that run, as the server names them."""
        return [job["pid"] for job in self.jobs() if job["pid"] is not None]

    def left_behind(self) -> list[str]:
        """Return the processes and temporary files still there some seconds after the server's end; none is right."""
        deadline = time.monotonic() + LEFT_S
        while (pids := self.pids()) and time.monotonic() < deadline:
            time.sleep(0.05)
        alive = [
            f"{pid} {_read(f'/proc/{pid}/stat')[:60]!r} {_read(f'/proc/{pid}/cmdline')[-200:]!r}" for pid in pids
        ]
        return alive + [os.fspath(path) for path in self.temporary.rglob("*")]

    def call(self, method: str, path: str, body: Any = None, timeout_s: float = 60.0) -> tuple[int, dict[str, Any]]:
        """Return status and body of one request; raises `OSError` where the server is gone."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            payload = None if body is None else json.dumps(body)
            headers = {} if body is None else {"Content-Type": "application/json"}
            connection.request(method, path, payload, headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def status(self, job_id: str) -> dict[str, Any]:
        """Return one job's status."""
        code, answer = self.call("GET", f"/api/train/status?job_id={job_id}")
        assert code == 200, answer
        return dict(answer["status"])

    def jobs(self) -> list[dict[str, Any]]:
        """Return all jobs, newest first."""
        return list(self.call("GET", "/api/train/jobs?limit=500")[1]["jobs"])

    def events(self, job_id: str) -> list[dict[str, Any]]:
        """Return every event of a job."""
        events: list[dict[str, Any]] = []
        while True:
            after = events[-1]["seq"] if events else 0
            page = self.call("GET", f"/api/train/events?job_id={job_id}&after={after}&limit=10000")[1]
            events += page["events"]
            if not page["events"] or events[-1]["seq"] >= page["last_seq"]:
                return events

    def wait_over(self, job_ids: list[str], timeout_s: float = 180.0) -> None:
        """Wait until every job is over; raises `TimeoutError` naming those that are not."""
        deadline = time.monotonic() + timeout_s
        while open_jobs := [job for job in self.jobs() if job["job_id"] in job_ids and job["status"] not in TERMINAL]:
            if time.monotonic() > deadline:
                raise TimeoutError(f"not over: {json.dumps(open_jobs, indent=1)[:4000]}\n{self.tail()}")
            time.sleep(0.05)

    def tail(self) -> str:
        """Return the end of what the server printed."""
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""


@dataclass
class Workload:
    """Jobs whose outcome is known beforehand: each spec with its seed trains the same weights, always."""

    specs: list[dict[str, Any]]
    accepted: dict[str, int] = field(default_factory=dict)  # job id to the spec's place

    def submit(self, server: Server, prefix: str) -> None:
        """Submit what is not accepted yet, under ids of our own; what got no answer is submitted again."""
        for place, spec in enumerate(self.specs):
            job_id = f"{prefix}_{place}"
            if job_id in self.accepted:
                continue
            code, answer = server.call("POST", "/api/train", {**spec, "job_id": job_id})
            assert code == 202, answer
            self.accepted[job_id] = place

    def keep_busy(self, server: Server, prefix: str, count: int = 6) -> None:
        """Submit more of the same until that many jobs are open; what was cut off is submitted again."""
        for _ in range(sum(job["finished_at"] is None for job in server.jobs()), count):
            number = len(self.accepted)
            job_id, place = f"{prefix}_{number}", number % len(self.specs)
            code, answer = server.call("POST", "/api/train", {**self.specs[place], "job_id": job_id})
            assert code == 202, answer
            self.accepted[job_id] = place


Calm = Callable[[Workload], list[str]]  # the fixture `calm`


def workload(count: int, seed: int, epochs: int = 30) -> Workload:
    """Return specs of about a second each, every one different."""
    chance = random.Random(seed)
    kinds = [
        {"kind": "mlp", "hidden": [32, 32], "dropout": 0.1, "embedding": "none"},
        {"kind": "linear"},
        {"kind": "mlp", "hidden": [32], "dropout": 0.0, "embedding": "none"},
    ]
    return Workload(
        [
            {
                "epochs": epochs,
                "batch_size": 32,
                "lr": 0.003,
                "seed": chance.randrange(1_000_000),
                "synthetic": {"rows": 8_000, "columns": 6},
                "model": kinds[place % len(kinds)],
                "optimizer": ["adam", "adamw", "sgd"][place % 3],
                "checkpoint_every": 0.1,
            }
            for place in range(count)
        ]
    )


def undisturbed(work: Workload, root: Path) -> list[str]:
    """Return the weights' digests of a run in which nothing happens."""
    server = Server(root)
    server.start()
    assert server.wait_up(), server.tail()
    calm = Workload(work.specs)
    calm.submit(server, "calm")
    server.wait_over(list(calm.accepted))
    digests = [server.status(f"calm_{place}")["weights_digest"] for place in range(len(work.specs))]
    server.signal(signal.SIGTERM)
    server.wait_left()
    assert all(digests), digests
    return digests


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_alive(pid: int) -> bool:
    return _read(f"/proc/{pid}/stat").rpartition(b") ")[2][:1] not in (b"Z", b"X", b"")


def _read(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""
