"""Commands about what a job wrote, and about one that is left alone: on a real server with a trainer of our own."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from traind import Progress, SyncClient
from traind.service.cli.app import COMMANDS, app
from traind.service.cli.entry import run

Cli = Callable[..., str]


@pytest.fixture(scope="module")
def writing(make_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server whose trainer prints and writes files."""
    trainers = json.dumps({"writing": f"{Path(__file__).with_name('writing_trainer.py')}:train"})
    server = make_server(tmp_path_factory.mktemp("writing"), "--trainers", trainers).start()
    yield server
    assert server.stop() == 0


@pytest.fixture
def cli(writing: Any, capsys: pytest.CaptureFixture[str]) -> Cli:
    def call(*arguments: str, code: int = 0) -> str:
        assert run([*arguments, "--server", writing.url]) == code, capsys.readouterr()
        printed = capsys.readouterr()
        return printed.err if code else printed.out

    return call


@pytest.fixture
def go(tmp_path: Path) -> Path:
    return tmp_path / "go"


def submitted(cli: Cli, go: Path, *more: str) -> str:
    options = json.dumps({"go": str(go)})
    return cli("submit", "--trainer", "writing", "--options", options, *more).strip()


def test_submit_returns_the_id_at_once_and_the_job_goes_on(cli: Cli, go: Path, writing: Any) -> None:
    job_id = submitted(cli, go, "--name", "left alone", "--tags", "night")
    assert re.fullmatch(r"job_\d+_[0-9a-f]{6}", job_id)
    client = SyncClient(writing.url)
    assert client.status(job_id).finished_at is None
    go.touch()
    assert client.wait(job_id).status == "COMPLETED"
    (line,) = (line for line in cli("jobs").splitlines() if line.startswith(job_id))
    assert "accuracy 0.75" in line
    assert "left alone" in line
    assert "night" in line
    lines = (line.partition("  ") for line in cli("status", job_id).splitlines())
    facts = {name: text.strip() for name, _, text in lines}
    assert facts["trainer"] == "writing"
    assert str(go) in facts["settings"]
    assert re.fullmatch(r"accepted 2\d{3}-.*, started .*, ended .*", facts["times"])
    assert "training" in facts["spent"]


@pytest.mark.parametrize("flag", ["--follow", "--wait"])
def test_submit_stays_with_a_job_where_it_is_asked_to(cli: Cli, go: Path, flag: str) -> None:
    go.touch()
    printed = submitted(cli, go, flag)
    assert "COMPLETED" in printed
    assert ("epoch 1 ended" in printed) == (flag == "--follow")


def test_submit_takes_one_way_to_stay(cli: Cli) -> None:
    assert "exclude each other" in cli("submit", "--follow", "--wait", code=1)


def test_a_submit_that_is_refused_says_so(cli: Cli) -> None:
    assert "epochs" in cli("submit", "--epochs", "0", code=1)
    assert "no-such" in cli("submit", "--trainer", "no-such", code=1)


def test_what_a_submitted_table_is_trained_on_can_be_seen(cli: Cli, tmp_path: Path) -> None:
    table = tmp_path / "small.csv"
    table.write_text("a,y\n" + "\n".join(f"{n % 9},{2 * (n % 9)}" for n in range(200)) + "\n")
    job_id = "cli-submitted"
    spec = ("--dataset", str(table), "--target", "y", "--epochs", "2", "--lr", "0.01")
    cli("submit", *spec, "--job-id", job_id, "--wait")
    shown = cli("status", job_id)
    assert re.search(r"^data +small-[0-9a-f]{12}, version [0-9a-f]{12}, target y$", shown, re.MULTILINE)
    assert re.search(r"^settings +epochs 2, lr 0.01$", shown, re.MULTILINE)
    assert re.search(r"^chosen +.*batch_size \d+", shown, re.MULTILINE)
    (line,) = (line for line in cli("jobs", "--sort", "metric:accuracy").splitlines() if line.startswith(job_id))
    assert re.search(r"accuracy [\d.]+ \(baseline [\d.]+\) +small-", line)


def test_logs_are_followed_until_the_job_is_over(cli: Cli, go: Path, writing: Any) -> None:
    job_id = submitted(cli, go)
    command = [sys.executable, "-m", "traind", "logs", job_id, "--follow", "--server", writing.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as following:
        assert following.stdout is not None
        assert _read_until(following.stdout.fileno(), b"begun\n") == b"begun\n"
        go.touch()
        rest, _ = following.communicate(timeout=60)
    assert (rest, following.returncode) == (b"over\n", 0)
    assert cli("logs", job_id) == "begun\nover\n"


def test_files_are_listed_and_fetched_and_outlive_their_attempt(
    cli: Cli, go: Path, writing: Any, tmp_path: Path
) -> None:
    job_id = submitted(cli, go)
    client = SyncClient(writing.url)
    for event in client.watch(job_id):
        if isinstance(event, Progress):
            break
    client.pause(job_id)
    for event in client.watch(job_id):
        if getattr(event, "status", None) == "PAUSED":
            break
    assert {one["name"] for one in json.loads(cli("files", job_id, "--json"))} == {
        *("attempt-1/scratch.txt", "files/attempts.txt", "files/plots/curve.svg"),
    }
    go.touch()
    client.resume(job_id)
    assert client.wait(job_id).status == "COMPLETED"
    shown = cli("files", job_id)
    assert "files/plots/curve.svg" in shown
    fetched = tmp_path / "fetched.txt"
    cli("fetch", job_id, "files/attempts.txt", "-o", str(fetched))
    assert fetched.read_text() == "one more\none more\n"
    assert "exists" in cli("fetch", job_id, "files/attempts.txt", "-o", str(fetched), code=1)
    cli("fetch", job_id, "-o", str(tmp_path))
    assert (tmp_path / job_id / "files/plots/curve.svg").read_text() == "<svg/>"
    assert "no file" in cli("fetch", job_id, "files/none", "-o", str(tmp_path / "x"), code=1)
    assert "nobody" in cli("files", "nobody", code=1)
    assert not list(tmp_path.glob(".tmp-*"))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_are_told_how_to_complete(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "batch-size" in script
    assert "predict" in script


def test_bash_completes_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", "bash"]) == 0
    script = tmp_path / "traind.bash"
    script.write_text(capsys.readouterr().out)
    typed = "COMP_WORDS=(traind sub); COMP_CWORD=1"
    ask = f'source {script}; {typed}; _traind; echo "${{COMPREPLY[@]}}"'
    shown = subprocess.run(["bash", "-c", ask], check=True, capture_output=True, text=True, timeout=60)
    assert "submit" in shown.stdout


def test_completion_is_installed_where_the_shell_looks(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "traind", "completion", "bash", "--install"]
    shown = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=60, env={**os.environ, "HOME": str(tmp_path)}
    )
    assert Path(shown.stdout.partition(":")[0]).is_file()
    assert str(tmp_path) in shown.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_each_command_says_what_it_takes(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "traind" in shown
    if command in {"train", "submit"}:
        assert re.search(r"1\s+│?\s*│?\s*to\s+100000", re.sub(r"[│\n]", " ", shown))
        assert "[default: auto]" in re.sub(r"[│\s]+", " ", shown)


def test_every_command_is_listed() -> None:
    assert {name for name in app if not name.startswith("-")} == set(COMMANDS)


def _read_until(descriptor: int, end: bytes) -> bytes:
    """Return what a pipe gives up to its `end`."""
    data, until = b"", time.monotonic() + 60
    while not data.endswith(end):
        ready, _, _ = select.select([descriptor], [], [], max(0.0, until - time.monotonic()))
        assert ready, data
        data += os.read(descriptor, 65_536)
    return data


def test_ctrl_c_leaves_one_bar_and_the_terminal_as_it_was(writing: Any, go: Path) -> None:
    """A terminal's own `^C` in the bar's line would move it, and the bar would be drawn a second time."""
    terminal, shell = pty.openpty()
    before = termios.tcgetattr(shell)
    options = json.dumps({"go": str(go)})
    command = ["submit", "--trainer", "writing", "--options", options, "--follow", "--server", writing.url]
    with subprocess.Popen(
        [sys.executable, "-m", "traind", *command], stdin=shell, stdout=shell, stderr=shell, start_new_session=True
    ) as following:
        shown = _read_past(terminal, b"loss")
        assert not termios.tcgetattr(shell)[3] & termios.ECHOCTL
        following.send_signal(signal.SIGINT)
        assert following.wait(60) == 130
    assert termios.tcgetattr(shell) == before
    go.touch()
    (job_id,) = re.findall(r"job_\d+_[0-9a-f]{6}", (shown + os.read(terminal, 65_536)).decode())[-1:]
    assert SyncClient(writing.url).wait(job_id).status == "COMPLETED"
    os.close(terminal)
    os.close(shell)


def _read_past(terminal: int, text: bytes) -> bytes:
    """Return what a terminal shows up to a text."""
    data, until = b"", time.monotonic() + 60
    while text not in data:
        ready, _, _ = select.select([terminal], [], [], max(0.0, until - time.monotonic()))
        assert ready, data
        data += os.read(terminal, 65_536)
    return data


@pytest.mark.parametrize(("token", "words"), [("", "export TRAIND_TOKEN="), ("wrong", "does not know")])
def test_what_to_do_about_a_token_is_said_for_the_command_line(
    token: str, words: str, make_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("alice:abcdefghijklmnopqrstuvwxyz\n")
    tokens.chmod(0o600)
    server = make_server(tmp_path / "root", "--token-file", str(tokens)).start()
    try:
        monkeypatch.setenv("TRAIND_TOKEN", token)
        command = [sys.executable, "-m", "traind", "jobs", "--server", server.url]
        refused = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    finally:
        server.stop()
    assert refused.returncode == 1
    assert words in refused.stderr
    assert "Bearer" not in refused.stderr
