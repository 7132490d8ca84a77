"""Every command against a real server, called as `traind` calls it."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from traind.service.cli.entry import run

SMALL = ("--epochs", "2", "--batch-size", "256", "--lr", "0.01", "--synthetic", '{"rows": 2000}')


class Cli:
    """Calls commands in this process and keeps what they print."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._url = url
        self._capsys = capsys

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """Run one command against the server; return what it printed, errors where it must fail."""
        assert run([*arguments, "--server", self._url]) == code, self._capsys.readouterr()
        printed = self._capsys.readouterr()
        return printed.err if code else printed.out

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json"))


@pytest.fixture
def cli(server: Any, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(server.url, capsys)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A small table with a pattern: y is 2 a + 1, c says whether a is large."""
    path = tmp_path / "small.csv"
    lines = (f"{a % 60},{a % 7},{'large' if a % 60 > 30 else 'small'},{2 * (a % 60) + 1}" for a in range(300))
    path.write_text("a,b,c,y\n" + "\n".join(lines) + "\n")
    return path


def test_train_on_a_server_shows_its_events_and_what_came_of_it(cli: Cli) -> None:
    printed = cli("train", *SMALL, "--job_id", "cli-train")
    assert "epoch 2/2 ended" in printed
    assert "validation  baseline" in printed
    assert "model     models/cli-train.pt" in printed


def test_train_prints_json_for_programs_and_the_job_last(cli: Cli) -> None:
    *events, job = [json.loads(line) for line in cli("train", *SMALL, "--json", "--name", "night").splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert (job["status"], job["name"], job["seq"]) == ("COMPLETED", "night", len(events))
    assert cli.json("status", job["job_id"]) == job
    assert "on     cpu" in cli("status", job["job_id"]).splitlines()  # a GPU by its maker's name


def test_the_same_train_again_is_the_same_job(cli: Cli) -> None:
    first = cli.json("status", _trained(cli, "cli-again"))
    assert "COMPLETED" in cli("train", *SMALL, "--job-id", "cli-again")
    assert cli.json("status", "cli-again") == first


def test_another_spec_under_the_same_id_is_refused(cli: Cli) -> None:
    _trained(cli, "cli-taken")
    assert "cli-taken" in cli("train", "--epochs", "9", "--job-id", "cli-taken", code=1)


def test_watch_follows_a_job_from_anywhere(cli: Cli) -> None:
    job_id = _trained(cli, "cli-watch")
    lines = cli("watch", job_id, "--json").splitlines()
    assert [json.loads(line)["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert len(cli("watch", job_id, "--json", "--after", str(len(lines) - 1)).splitlines()) == 1


def test_jobs_are_listed_newest_first_by_pages(cli: Cli) -> None:
    for job_id in ("cli-list-1", "cli-list-2"):
        _trained(cli, job_id)
    page = cli.json("jobs", "--limit", "1", "--status", "completed")
    assert [job["job_id"] for job in page["jobs"]] == ["cli-list-2"]
    shown = cli("jobs", "--limit", "1", "--after", str(page["next"]))
    assert "cli-list-1" in shown
    assert f"more: --after {page['next'] - 1}" in shown or "more: --after" in shown


def test_the_verbs_reach_the_job(cli: Cli, server: Any) -> None:
    from traind import SyncClient

    client = SyncClient(server.url)
    job_id = client.submit(epochs=100_000, batch_size=16, synthetic={"rows": 2000}).job_id
    for event in client.watch(job_id):
        if event.seq > 6:
            break
    assert job_id in cli("pause", job_id)
    for event in client.watch(job_id, client.status(job_id).seq - 1):
        if getattr(event, "status", None) == "PAUSED":
            break
    resumed = cli("resume", job_id)
    assert any(state in resumed for state in ("QUEUED", "STARTING", "LOADING", "RUNNING"))
    assert job_id in cli("stop", job_id)
    assert client.wait(job_id).status == "STOPPED"
    assert "stopped" in cli("cancel", job_id, code=1)
    cli("delete", job_id)
    assert job_id in cli("status", job_id, code=1)


def test_data_sets_are_put_listed_shown_previewed_and_deleted(cli: Cli, table: Path) -> None:
    put = cli.json("datasets", "put", "cli-small", str(table))
    assert (put["name"], put["format"], put["size_bytes"]) == ("cli-small", "csv", table.stat().st_size)
    assert "cli-small" in cli("datasets", "list")
    assert "c " in cli("datasets", "show", "cli-small")
    assert cli("datasets", "preview", "cli-small", "--rows", "2").splitlines()[1].split() == ["0", "0", "small", "1"]
    cli("datasets", "delete", "cli-small")
    assert "cli-small" in cli("datasets", "show", "cli-small", code=1)


def test_a_file_is_registered_by_its_digest_and_trained_on(cli: Cli, table: Path, tmp_path: Path) -> None:
    job = json.loads(cli("train", "--dataset", str(table), "--epochs", "2", "--json").splitlines()[-1])
    assert job["dataset"]["digest"].startswith(job["spec"]["dataset"].removeprefix("small-"))
    out = tmp_path / "out.csv"
    cli("predict", job["job_id"], str(table), "-o", str(out))
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 300
    assert set(rows[0]) == {"a", "b", "c", "y", "prediction"}


def test_how_a_file_is_written_can_be_said(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes("\n".join(["größe,y", *(f"{n % 7},{n % 7 * 2}" for n in range(60))]).encode("latin-1"))
    assert "charset=cp1252" in cli("train", "--dataset", str(path), "--dry-run", code=1)
    assert "größe" in cli("train", "--dataset", str(path), "--format", "csv;charset=latin-1", "--dry-run")
    assert "xls" in cli("train", "--dataset", str(path), "--format", "xls", "--dry-run", code=1)
    assert run(["train", "--dataset", str(path), "--format", "xls", "--dry-run", "--root", str(tmp_path)]) == 1


def test_predictions_of_classes_have_a_column_for_each_label(cli: Cli, table: Path, tmp_path: Path) -> None:
    job_id = "cli-classes"
    cli("train", "--dataset", str(table), "--target", "c", "--epochs", "20", "--job-id", job_id)
    out = tmp_path / "out.csv"
    cli("predict", job_id, str(table), "-o", str(out))
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert {row["prediction"] for row in rows} == {"small", "large"}
    assert all(abs(float(row["probability_small"]) + float(row["probability_large"]) - 1) < 1e-4 for row in rows)


def test_a_model_is_exported_by_its_file_by_its_job_and_by_a_server(
    cli: Cli, server: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job_id = _trained(cli, "cli-export")
    made = [tmp_path / f"{name}.safetensors" for name in ("by-server", "by-file", "by-job")]
    cli("export", job_id, "--format", "safetensors", "-o", str(made[0]))
    file = server.root / "models" / f"{job_id}.pt"
    cli("export", str(file), "--format", "safetensors", "-o", str(made[1]))
    assert run(["export", job_id, "--root", str(server.root), "--format", "safetensors", "-o", str(made[2])]) == 0
    assert len({path.stat().st_size for path in made}) == 1
    assert run(["export", str(tmp_path / "no.pt")]) == 1
    assert "There is no file" in capsys.readouterr().err


def test_a_dry_run_says_what_would_be_done_and_trains_nothing(cli: Cli, table: Path) -> None:
    before = cli.json("jobs")
    plan = cli.json("train", "--dataset", str(table), "--dry-run")
    assert {column["name"] for column in plan["schema"]["columns"]} >= {"a", "b", "c"}
    shown = cli("train", "--dataset", str(table), "--ignore", "b", "--dry-run")
    assert "left out, as set by the request; 7 distinct" in shown
    assert "the target; 60 distinct numbers" in shown
    assert cli.json("jobs") == before


def test_logs_are_printed(cli: Cli) -> None:
    assert cli("logs", _trained(cli, "cli-logs")) == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("status", "nobody"), "nobody"),
        (("train", "--epochs", "0"), "epochs"),
        (("train", "--epochs", "many"), "epochs"),
        (("train", "--tensorboard", "runs"), "Give them to `traind serve`."),
        (("train", "--lr", "NaN"), "lr"),
        (("train", "--dataset", "nowhere"), "nowhere"),
        (("train", "--dataset", "./nowhere.csv"), "nowhere.csv is not there"),
        (("train", "--optimizer", "magic"), "optimizer"),
        (("datasets", "put", "cli-gone", "nowhere.csv"), "nowhere.csv"),
        (("datasets", "show", "cli-gone"), "cli-gone"),
        (("jobs", "--status", "FAILED,odd"), "must be one of QUEUED, STARTING"),
        (("predict", "nobody", __file__, "-o", "/nowhere/out.csv"), "There is no folder /nowhere."),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(cli: Cli, arguments: tuple[str, ...], words: str) -> None:
    told = cli(*arguments, code=1)
    assert told.startswith("traind: ")
    assert words in told
    assert "Traceback" not in told


@pytest.mark.parametrize("arguments", [("status",), ("fly",), ("train", "--wings", "2"), ("jobs", "--limit", "x")])
def test_a_wrong_command_line_says_where_help_is(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(list(arguments)) == 2
    assert "--help" in capsys.readouterr().err


def test_an_unknown_command_is_not_sent_to_its_own_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fly"]) == 2
    assert "See `traind --help`." in capsys.readouterr().err


def test_no_server_is_said_at_once(free_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["jobs", "--server", f"http://127.0.0.1:{free_port}"]) == 1
    told = capsys.readouterr().err
    assert f"http://127.0.0.1:{free_port}" in told
    assert "traind serve" in told


def test_training_on_a_root_that_a_server_holds_offers_the_server(
    server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", *SMALL, "--root", str(server.root)]) == 1
    told = capsys.readouterr().err
    assert str(server.root) in told
    assert "--server" in told


def test_a_second_server_on_the_same_root_is_refused(server: Any) -> None:
    serve = [sys.executable, "-m", "traind", "serve", "--port", "0", "--root", str(server.root)]
    done = subprocess.run(serve, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert str(server.root) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_refused(server: Any, tmp_path: Path) -> None:
    serve = [sys.executable, "-m", "traind", "serve", "--port", str(server.port), "--root", str(tmp_path)]
    done = subprocess.run(serve, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert str(server.port) in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_settings_are_all_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--slots", "0", "--grace-s", "x"]) == 1
    told = capsys.readouterr().err
    assert "slots" in told
    assert "grace_s" in told


def test_output_that_nobody_reads_on_is_no_error(server: Any) -> None:
    traind = shutil.which("traind", path=str(Path(sys.executable).parent))
    command = f"{traind} jobs --server {server.url} --json | true"
    done = subprocess.run(["bash", "-c", command], check=False, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""


def _trained(cli: Cli, job_id: str) -> str:
    cli("train", *SMALL, "--job-id", job_id)
    return job_id
