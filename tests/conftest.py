"""What tests of every room need: the repository, a free port, the house prices that ship, a server."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from traind.service.processes.fork_server import ForkServer
from traind.service.service import TrainingService
from traind.service.settings import PRIVATE_UMASK

GONE_S = 15.0  # for the processes of a server that has ended; the promise is 5 s, the machine may be busy

MAY_BE_SKIPPED = {"the real data sets are not here", "the cases are not here"}
_skipped: dict[str, str] = {}


def pytest_configure() -> None:
    """Let the programs under test hear Ctrl-C: a shell has what it starts in the background ignore it."""
    slow = [HealthCheck.too_slow]  # the machine may be busy
    count = int(os.environ.get("TRAIND_EXAMPLES", "40"))
    settings.register_profile("counted", max_examples=count, suppress_health_check=slow, deadline=None)
    settings.load_profile("counted")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note why a test was skipped: `.ci/run` has all that tests need, so there a skip is a failure."""
    if report.skipped and not hasattr(report, "wasxfail") and isinstance(report.longrepr, tuple):
        _skipped[report.nodeid] = report.longrepr[2].removeprefix("Skipped: ")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where a test was skipped that should not be, if the environment says so."""
    unwanted = {test: why for test, why in _skipped.items() if why not in MAY_BE_SKIPPED}
    if os.environ.get("TRAIND_NO_SKIPS") and unwanted and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        for test, why in unwanted.items():
            sys.stderr.write(f"\nskipped, which is a failure here: {test}: {why}\n")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that the tests stand in."""
    return Path(__file__).parent.parent


@pytest.fixture(scope="session")
def houses(repository: Path) -> Path:
    """Real sales with a `price` column: the data set that ships."""
    return repository / "data/samples/house_prices.csv.gz"


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """One fork server for all tests of a process: torch is loaded once."""
    server = ForkServer(umask=PRIVATE_UMASK)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def is_on_cluster() -> bool:
    """Whether jobs run on a Ray cluster, as `make cluster` has it for the tests that are marked `anywhere`."""
    return os.environ.get("TRAIND_EXECUTOR") == "ray"


@pytest.fixture(scope="session")
def open_root(is_on_cluster: bool, request: pytest.FixtureRequest) -> Callable[..., TrainingService]:
    """Make services whose processes come from the one fork server: `async with open_root(root, slots=1)`."""
    if is_on_cluster:
        return partial(TrainingService, executor="ray", ray_address=os.environ["TRAIND_RAY_ADDRESS"])
    return partial(TrainingService, fork_server=request.getfixturevalue("fork_server"))


@pytest.fixture
def worker_of() -> Callable[[str], int]:
    """Find the process that trains a job, on whatever node of this machine."""
    return lambda job_id: workers_with(job_id)[0]


@pytest.fixture
def workers_of() -> Callable[[str], list[int]]:
    """Find all processes that train a job, on whatever nodes of this machine."""
    return workers_with


def workers_with(job_id: str) -> list[int]:
    """Return the processes whose output goes to a file of the job's, oldest first."""
    found = []
    for path in Path("/proc").glob("[0-9]*/fd/1"):
        try:
            target = str(path.readlink())
        except OSError:
            continue
        if f"/{job_id}/attempt-" in target and target.endswith("output.log"):
            found.append(int(path.parent.parent.name))
    if not found:
        raise LookupError(f"no process has the job {job_id}")
    return sorted(found)


@pytest.fixture
def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """`traind serve` as a process of its own; it keeps its port over restarts."""

    def __init__(self, root: Path, *flags: str) -> None:
        self.root = root
        self.port = 0
        self.process: subprocess.Popen[str]
        self._flags = flags
        self._mark = uuid.uuid4().hex

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "Server":
        """Start, and return when it answers."""
        flags = ("--root", str(self.root), "--port", str(self.port), *self._flags)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "traind", "serve", *flags],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TRAIND_TEST_MARK": self._mark},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert found, f"the server did not start: {line!r}"
        self.port = int(found[1])
        return self

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """End it as Ctrl-C does; return its exit code."""
        return self._end(signal.SIGTERM)

    def stop_twice(self) -> int:
        """End it as two Ctrl-C in a row do."""
        self.process.send_signal(signal.SIGINT)
        return self._end(signal.SIGINT)

    def _end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        code = self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def left(self) -> list[int]:
        """Return the processes of this server that live, its workers' included."""
        mark = f"TRAIND_TEST_MARK={self._mark}".encode()
        return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if mark in _read(path)]

    def check_nothing_is_left(self) -> None:
        """Fail where a process is still there some seconds after the end."""
        until = time.monotonic() + GONE_S
        while self.left() and time.monotonic() < until:
            time.sleep(0.05)
        assert self.left() == []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it ended meanwhile, or is not ours
        return b""


@pytest.fixture(scope="session")
def make_server() -> type[Server]:
    """The class of servers, for fixtures of a module's own."""
    return Server


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers; at the end they are stopped, and must leave nothing behind."""
    servers: list[Server] = []

    def start(*flags: str, root: Path = tmp_path) -> Server:
        servers.append(Server(root, *flags))
        return servers[-1].start()

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.stop()
        server.check_nothing_is_left()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server that many tests share: each uses names of its own and leaves no job running."""
    shared = Server(tmp_path_factory.mktemp("server")).start()
    yield shared
    assert shared.stop() == 0
    shared.check_nothing_is_left()
