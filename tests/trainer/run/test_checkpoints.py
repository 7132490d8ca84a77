"""Checkpoints are whole or not there, and the newest whole one wins."""

import errno
import json
import os
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from traind.trainer.contract.control import Verb
from traind.trainer.contract.errors import DiskFailed, DiskFull, UserCodeError
from traind.trainer.contract.events import Checkpoint, Log, State, Status
from traind.trainer.model.tensor_file import unpacked
from traind.trainer.run.checkpoints import Checkpoints, manifest_path
from traind.trainer.run.rng import random_state, restore_random_state

SMALL = {"synthetic": {"rows": 80}, "batch_size": 16, "epochs": 4, "checkpoint_every": 0.0}


def write(folder: Path, *steps: int, best: int | None = None) -> list[Path]:
    checkpoints = Checkpoints(folder)
    return [checkpoints.write({"at": step}, step=step, epoch=0, is_best=step == best).path for step in steps]


def newest(folder: Path, *earlier: Path):
    reported: list[str] = []
    found = Checkpoints(folder, earlier).newest(lambda path, why: reported.append(f"{path.name}: {why}"))
    return (found[1]["at"] if found else None), reported


def test_last_two_and_the_best_are_kept(tmp_path):
    write(tmp_path, 1, 2, 3, 4, 5, best=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"checkpoint-00000{number}.{ending}" for number in (2, 4, 5) for ending in ("json", "pt")
    ]
    assert newest(tmp_path) == (5, [])


def test_only_the_newest_best_is_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in range(1, 7):
        checkpoints.write({"at": step}, step=step, epoch=0, is_best=step in (1, 3))
    assert sorted(path.name for path in tmp_path.glob("*.pt")) == [
        "checkpoint-000003.pt",
        "checkpoint-000005.pt",
        "checkpoint-000006.pt",
    ]


def test_as_many_are_kept_as_was_asked_and_the_pinned_ones(tmp_path):
    checkpoints = Checkpoints(tmp_path, kept=1)
    for step in range(1, 7):
        checkpoints.write({"at": step}, step=step, epoch=0, is_best=step == 3, is_pinned=step in (1, 4))
    assert [int(path.stem[-1]) for path in sorted(tmp_path.glob("*.pt"))] == [1, 3, 4, 6]
    assert newest(tmp_path) == (6, [])


def test_numbers_go_on_in_a_folder_that_has_checkpoints(tmp_path):
    write(tmp_path, 7)
    write(tmp_path, 3)  # later, though of an earlier step: the job went back
    assert newest(tmp_path)[0] == 3


def test_a_file_without_a_manifest_was_never_finished(tmp_path):
    _, last = write(tmp_path, 1, 2)
    manifest_path(last).unlink()
    assert newest(tmp_path) == (1, [])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "a flipped bit": flip,
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "manifest of another": lambda path: manifest_path(path).write_text(
        manifest_path(path).read_text().replace("sha256", "sha255")
    ),
    "manifest empty": lambda path: manifest_path(path).write_bytes(b""),
    "manifest no JSON": lambda path: manifest_path(path).write_bytes(b"\xff{"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_wins(damage, tmp_path):
    _, last = write(tmp_path, 1, 2)
    DAMAGES[damage](last)
    at, reported = newest(tmp_path)
    assert at == 1
    assert len(reported) == 1
    assert reported[0].startswith("checkpoint-000002.pt: ")
    assert list(tmp_path.glob("*.damaged"))
    assert newest(tmp_path) == (1, [])  # it is not tried twice


def test_a_manifest_that_matches_a_foreign_file_runs_no_code(tmp_path):
    class Canary:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    import hashlib

    (last,) = write(tmp_path, 1)
    data = pickle.dumps({"at": Canary()})
    last.write_bytes(data)
    manifest = json.loads(manifest_path(last).read_text())
    manifest |= {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest_path(last).write_text(json.dumps(manifest))
    assert newest(tmp_path)[0] is None
    assert not (tmp_path / "executed").exists()


def test_a_checkpoint_of_another_version_is_left_alone(tmp_path):
    _, last = write(tmp_path, 1, 2)
    manifest = json.loads(manifest_path(last).read_text()) | {"format": 99}
    manifest_path(last).write_text(json.dumps(manifest))
    at, reported = newest(tmp_path)
    assert at == 1
    assert "format 99" in reported[0]
    assert last.exists()


def test_earlier_attempts_are_searched_newest_first(tmp_path):
    own, before, first = (tmp_path / name for name in ("3", "2", "1"))
    for folder, step in ((own, None), (before, 20), (first, 10)):
        folder.mkdir()
        write(folder, *([step] if step else []))
    assert newest(own, before, first)[0] == 20
    flip(before / "checkpoint-000001.pt")
    assert newest(own, before, first)[0] == 10


@pytest.mark.parametrize(
    "state",
    [
        {"object": object()},
        {"function": lambda: 0},
        {"path": Path()},
        {"array": np.zeros(2)},
        {"set": {1}.__iter__()},
    ],
)
def test_what_could_not_be_loaded_is_refused_when_it_is_saved(state, tmp_path):
    with pytest.raises(UserCodeError, match="cannot be saved"):
        Checkpoints(tmp_path).write(state, step=1, epoch=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EIO, DiskFailed)]
)
def test_a_disk_that_cannot_be_written_is_told_by_name(number, error, tmp_path, monkeypatch):
    write(tmp_path, 1)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(number, os.strerror(number))))
    with pytest.raises(error, match=r"checkpoint-000002\.pt"):
        write(tmp_path, 2)
    monkeypatch.undo()
    assert newest(tmp_path) == (1, [])
    assert len(list(tmp_path.iterdir())) == 2  # no temporary file is left


def test_random_streams_go_on_where_they_were():
    def draw():
        return (
            torch.rand(3).tolist(),
            np.random.rand(3).tolist(),  # noqa: NPY002
            [random.random() for _ in range(3)],
            random.gauss(0, 1),
        )

    random.gauss(0, 1)  # leaves a spare number behind
    np.random.standard_normal()  # noqa: NPY002
    state = unpacked_again(random_state())
    expected = draw()
    restore_random_state(state)
    assert draw() == expected


def unpacked_again(state):
    import io

    buffer = io.BytesIO()
    torch.save(state, buffer)
    return unpacked(buffer.getvalue())


def test_a_job_whose_newest_checkpoint_is_damaged_makes_the_same_model(new_job):
    whole, job = new_job(**SMALL), new_job(**SMALL)
    expected = whole.attempt().result.weights_digest
    job.attempt(Verb.LEAVE, 14)
    flip(max(job.attempts[0].glob("checkpoint-*.pt")))
    last = job.attempt()
    assert last.result.weights_digest == expected
    assert any("is not used" in log.message for log in job.reported(Log))
    assert job.reported(State)[-2].resumed_from_step < 11


def test_a_job_with_no_whole_checkpoint_starts_over(new_job):
    whole, job = new_job(**SMALL), new_job(**SMALL)
    expected = whole.attempt().result.weights_digest
    job.attempt(Verb.LEAVE, 14)
    for path in job.attempts[0].glob("checkpoint-*.pt"):
        flip(path)
    assert job.attempt().result.weights_digest == expected
    assert any("starting over" in log.message for log in job.reported(Log))


def test_checkpoints_come_each_epoch_when_asked(new_job):
    job = new_job(**SMALL)
    job.attempt()
    assert [event.step for event in job.reported(Checkpoint)] == [4, 8, 12, 16]
    assert job.reported(State)[-1].status is Status.COMPLETED
