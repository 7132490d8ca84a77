"""A backup of a running root goes on elsewhere; a root's flaws are found and named."""

import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from traind.service.recovery.check import check_root
from traind.service.service import TrainingService
from traind.service.settings import Layout
from traind.trainer.contract.events import Checkpoint
from traind.trainer.contract.spec import MlpModel, Synthetic, TrainSpec

ROWS = [{"a": float(n % 17), "b": "xyz"[n % 3], "y": float(n % 17) * 2 + n % 3} for n in range(400)]
LONG = TrainSpec(
    synthetic=Synthetic(rows=4_000, columns=4),
    model=MlpModel(hidden=(16,), embedding="none"),
    epochs=20,
    batch_size=8,
    patience=None,
    checkpoint_every=0.0,
)


def traind(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "traind", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


async def test_a_backup_of_a_running_root_goes_on_elsewhere(
    tmp_path: Path, open_root: Callable[..., TrainingService]
) -> None:
    root, copy, archive = tmp_path / "root", tmp_path / "copy", tmp_path / "root.tar.gz"
    async with open_root(root=root, slots=1) as service:
        await service.put_dataset("t", ROWS)
        done = await service.wait((await service.submit(TrainSpec(dataset="t", target="y", epochs=2))).job_id)
        running = (await service.submit(LONG)).job_id
        async for event in service.watch(running):
            if isinstance(event, Checkpoint):
                break
        made = traind("backup", str(archive), "--root", str(root))
        assert made.returncode == 0, made.stderr
        undisturbed = await service.wait(running)
    copy.mkdir()
    with tarfile.open(archive) as files:
        files.extractall(copy, filter="data")
    async with open_root(root=copy, slots=1) as service:
        assert (await service.status(done.job_id)).weights_digest == done.weights_digest
        assert len((await service.predict(done.job_id, [{"a": 1.0, "b": "x"}])).predictions) == 1
        again = await service.wait(running)
        assert again.weights_digest == undisturbed.weights_digest
        assert again.resumed_from_step
        assert [one.name for one in (await service.datasets()).datasets] == ["t"]
    assert list(check_root(Layout(copy))) == []
    assert not list((root / "artifacts").glob(".tmp-*"))


def test_an_archive_is_not_written_over_and_a_root_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_text("mine")
    assert "exists" in traind("backup", str(tmp_path / "a.tar"), "--root", str(tmp_path)).stderr
    assert (tmp_path / "a.tar").read_text() == "mine"
    assert "no root" in traind("backup", str(tmp_path / "b.tar"), "--root", str(tmp_path)).stderr
    assert not (tmp_path / "b.tar").exists()


@pytest.fixture
async def finished(tmp_path: Path, open_root: Callable[..., TrainingService]) -> Path:
    """A root with a finished job and a data set."""
    root = tmp_path / "root"
    async with open_root(root=root, slots=1) as service:
        await service.put_dataset("t", ROWS)
        await service.wait((await service.submit(TrainSpec(dataset="t", target="y", epochs=1), job_id="j")).job_id)
    return root


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        ("models/j.pt", "models/j.pt"),
        ("artifacts/jobs/j.json", "artifacts/jobs/j.json"),
        ("artifacts/checkpoints/j/attempt-1/checkpoint-*.pt", "artifacts/checkpoints/j/attempt-1/checkpoint-"),
        ("artifacts/datasets/t/*/*.jsonl", "artifacts/datasets/t/"),
        ("artifacts/traind.db", "artifacts/traind.db"),
    ],
)
async def test_each_flaw_is_named_and_nothing_is_changed(finished: Path, pattern: str, named: str) -> None:
    assert list(check_root(Layout(finished))) == []
    (path,) = finished.glob(pattern)
    content = bytearray(path.read_bytes())
    start = 4_096 if path.suffix == ".db" else len(content) // 2  # of a database the first page is left
    content[start : start + 40_000] = bytes(min(40_000, len(content) - start))
    path.write_bytes(content)
    before = {file: file.read_bytes() for file in finished.rglob("*") if file.is_file()}
    checked = traind("check", "--root", str(finished), "--json")
    assert checked.returncode == 1
    flaws = msgspec.json.decode(checked.stdout)
    assert any(flaw["path"].startswith(named) for flaw in flaws), flaws
    after = {file: file.read_bytes() for file in finished.rglob("*") if file.is_file()}
    assert {file for file in before if after.get(file) != before[file]} == set()
