"""What the fault tests share: the digests of runs in which nothing happens, and the count of what was survived."""

import json
import threading
from collections.abc import Callable

import pytest
from fault_harness import Workload, undisturbed
from tally import Tally

TALLY = pytest.StashKey[Tally]()
COUNTED = {
    "tests/trainer/run/test_resume.py": "resumed runs equal to the undisturbed one"
}  # each case a test of its own


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TALLY] = Tally()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Tell what was survived, after the long runs."""
    tally = config.stash[TALLY]
    if "not faults" in config.option.markexpr or not tally.cases:
        return
    terminalreporter.section("faults")
    for line in tally.lines():
        terminalreporter.write_line(line)
    for path, name in COUNTED.items():
        counts = {
            outcome: sum(report.nodeid.startswith(path) for report in terminalreporter.stats.get(outcome, []))
            for outcome in ("passed", "failed")
        }
        if any(counts.values()):
            terminalreporter.write_line(f"{name}: {counts['passed']} of {sum(counts.values())}")
    terminalreporter.write_line('replay: SEEDS=<seed>[,<seed>...] make faults ARGS="-k <test>"')


@pytest.fixture(scope="session")
def tally(pytestconfig: pytest.Config) -> Tally:
    """Where cases are counted."""
    return pytestconfig.stash[TALLY]


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Workload], list[str]]:
    """What the weights of a workload's jobs must be."""
    made: dict[str, list[str]] = {}
    turn = threading.Lock()

    def digests(work: Workload) -> list[str]:
        key = json.dumps(work.specs)
        with turn:
            if key not in made:
                made[key] = undisturbed(work, tmp_path_factory.mktemp("calm") / "root")
            return made[key]

    return digests
