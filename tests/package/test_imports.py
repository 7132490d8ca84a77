"""Who imports whom, and what importing costs."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOMS = ("data", "trainer", "service")
LIGHT = {"traind.trainer.contract"}  # what service may import of trainer
HEAVY = {"torch", "polars", "numpy", "ray"}
REPOSITORY = Path(__file__).parents[2]


def sources(room: str) -> list[Path]:
    return sorted((REPOSITORY / room).rglob("*.py"))


def imports_of(path: Path) -> Iterator[str]:
    """The full names of what a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(path: Path) -> set[str]:
    """The modules of traind that a file imports, as `traind.<package>.<room>`."""
    names = {name for name in imports_of(path) if name.split(".")[0] == "traind"}
    return {".".join(name.split(".")[:3]) for name in names if name.count(".") >= 2}


def run_python(code: str, **options: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60, **options
    )
    return done.stdout


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_is_looked_at(room: str) -> None:
    assert len(sources(room)) >= 2


def test_data_imports_nothing_of_ours() -> None:
    for path in sources("data"):
        assert {name for name in ours(path) if not name.startswith("traind.data")} == set(), path


def test_trainer_imports_only_data() -> None:
    for path in sources("trainer"):
        assert {name for name in ours(path) if name.startswith("traind.service")} == set(), path


def test_service_imports_only_data_and_the_contract() -> None:
    for path in sources("service"):
        foreign = {name for name in ours(path) if name.startswith("traind.trainer.")}
        assert foreign <= LIGHT, path


@pytest.mark.parametrize("room", ROOMS)
def test_no_file_uses_the_bare_names(room: str) -> None:
    for path in sources(room):
        assert not {name.split(".")[0] for name in imports_of(path)} & set(ROOMS), path


def test_only_the_http_adapter_and_the_clients_load_aiohttp() -> None:
    loaded = run_python("import sys, traind.service.service; print(*sys.modules)").split()
    assert "aiohttp" not in loaded


def test_http_calls_the_service_and_nothing_below_it() -> None:
    for path in (REPOSITORY / "service/http").rglob("*.py"):
        reached = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
        assert not reached & {"engine", "journal", "store"}, path


def test_an_import_against_the_direction_would_be_seen(tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text("def f():\n    from traind.service.engine import engine\n    import traind.trainer.run.attempt\n")
    assert ours(path) == {"traind.service.engine", "traind.trainer.run"}


@pytest.mark.parametrize(
    "statement",
    [
        "import traind",
        "import traind.service",
        "from traind import Client, SyncClient, TrainSpec, Job, ServiceError, Progress",
        "from traind import TrainingService",
        "import traind.service.cli",
    ],
)
def test_the_server_side_loads_nothing_heavy(statement: str) -> None:
    loaded = json.loads(run_python(f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"))
    assert not HEAVY & set(loaded)
    assert not set(ROOMS) & set(loaded), "a bare name makes different classes"


SERVER_ONLY = ("torch", "numpy", "polars", "prometheus_client", "sqlite3", "traind.service.service")


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        (["--help"], ("aiohttp", *SERVER_ONLY)),
        (["status", "j", "--server", "http://127.0.0.1:9"], ("aiohttp", "asyncio", *SERVER_ONLY)),
    ],
)
def test_quick_commands_load_no_more_than_they_use(arguments: list[str], unwanted: tuple[str, ...]) -> None:
    code = (
        "import contextlib, io, sys\n"
        "from traind.service.cli.entry import run\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):\n"
        f"    run({arguments})\n"
        "print(*sys.modules)"
    )
    assert not set(unwanted) & set(run_python(code).split())


def test_importing_starts_nothing() -> None:
    code = (
        "import logging, signal, sys, threading, traind\n"
        "from traind import Client, TrainingService\n"
        "assert threading.active_count() == 1\n"
        "assert not logging.getLogger().handlers\n"
        "assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL\n"
        "assert 'multiprocessing.forkserver' not in sys.modules or "
        "sys.modules['multiprocessing.forkserver']._forkserver._forkserver_pid is None\n"
        "print('still')"
    )
    assert run_python(code) == "still\n"


def test_every_public_name_is_there_and_listed() -> None:
    code = (
        "import traind\n"
        "missing = [name for name in traind.__all__ if getattr(traind, name, None) is None]\n"
        "assert not missing, missing\n"
        "assert set(traind.__all__) <= set(dir(traind))\n"
        "print(*traind.__all__)"
    )
    assert run_python(code).split() == [
        "AliasNotFound", "AutoModel", "BadTable", "BestModel", "ChangeRefused", "Checkpoint",
        "CheckpointDamaged", "Client", "ControlRequested", "CursorAhead", "DataError", "DatasetInUse",
        "DatasetNotFound", "DatasetTooLarge", "Dimension", "DiskFailed", "DiskFull", "DiskLow",
        "Diverged", "EngineFailed", "Epoch", "ExecutorRefused", "ExportFailed", "FastModel", "Forbidden",
        "IdTaken", "InvalidName", "InvalidSpec", "Job", "JobFileNotFound", "JobFinished",
        "JobNotFinished", "JobNotFound", "JobNotRunning", "LinearModel", "Log", "Metric", "MlpModel",
        "ModelDamaged", "ModelNotReady", "NoModelYet", "NoSuchDevice", "NotBetter", "NotResumable",
        "NotRunning", "NotWaiting", "OutOfMemory", "PredictionFailed", "Progress", "QueueFull",
        "RootBusy", "RootTooNew", "Run", "ServiceError", "SideWorkerBusy", "SideWorkerFailed",
        "SlowWatcher", "SpecError", "State", "Status", "StoreFailed", "Study", "StudyFinished",
        "StudyIdTaken", "StudyNotFinished", "StudyNotFound", "StudyRequest", "SyncClient", "Synthetic",
        "TabmModel", "TimedOut", "TooMany", "TrainSpec", "TraindError", "TrainerError", "TrainingService",
        "Trial", "UserCodeError", "Validation", "WebhookNotFound", "__version__", "load_model",
        "run_trainer",
    ]  # fmt: skip


def test_every_error_can_be_imported_and_has_one_root() -> None:
    import traind
    from traind.data import errors as data
    from traind.service import errors as service
    from traind.trainer.contract import errors as trainer

    kinds = {
        kind
        for module in (data, service, trainer)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    }
    assert len(kinds) > 40
    for kind in kinds:
        assert issubclass(kind, traind.TraindError)
        assert getattr(traind, kind.__name__) is kind


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    import traind

    with pytest.raises(AttributeError, match="'traind' has no attribute 'Trainer'"):
        traind.Trainer  # noqa: B018
