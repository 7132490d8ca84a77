"""Files on a node: whole or not there, found by digest, and nothing outside the seat's folder."""

import hashlib
from pathlib import Path

import pytest

from traind.service.executor.ray.node_files import SMALL_BYTES, NodeFiles
from traind.service.executor.ray.protocol import Held

CONTENT = b"some rows" * 100
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def files(tmp_path: Path) -> NodeFiles:
    return NodeFiles("root", "seat-1", str(tmp_path))


def test_content_counts_once_it_is_whole(files: NodeFiles) -> None:
    assert not files.has_shared(DIGEST, "d.csv")
    files.write_shared(DIGEST, "d.csv", 0, CONTENT[:10])
    files.write_shared(DIGEST, "d.csv", 10, CONTENT[10:])
    assert not files.has_shared(DIGEST, "d.csv")
    files.seal_shared(DIGEST, "d.csv")
    assert files.has_shared(DIGEST, "d.csv")
    assert files.shared_path(DIGEST, "d.csv").read_bytes() == CONTENT


def test_content_that_is_not_what_was_meant_is_refused(files: NodeFiles) -> None:
    files.write_shared(DIGEST, "d.csv", 0, CONTENT[:-1])
    with pytest.raises(ValueError, match="whole"):
        files.seal_shared(DIGEST, "d.csv")
    assert not files.has_shared(DIGEST, "d.csv")


def test_a_checkpoint_that_is_held_outlives_its_removal(files: NodeFiles) -> None:
    folder, content = files.open_attempt("job", 1), CONTENT * (2 * SMALL_BYTES // len(CONTENT))
    (folder / "checkpoint-000001.pt").write_bytes(content)
    (folder / "checkpoint-000001.json").write_bytes(b"{}")
    [held] = files.hold(folder, [])
    (folder / held.name).unlink()
    assert (held.size_bytes, held.content) == (len(content), b"")
    assert files.read(folder, held.name, 5, 10) == content[5:15]
    files.release(folder)
    with pytest.raises(FileNotFoundError):
        files.read(folder, held.name, 0, 1)


def test_small_content_comes_with_the_answer_that_names_it_and_what_is_known_by_name_only(files: NodeFiles) -> None:
    folder = files.open_attempt("job", 1)
    for number in (1, 2):
        (folder / f"checkpoint-00000{number}.pt").write_bytes(CONTENT)
        (folder / f"checkpoint-00000{number}.json").write_bytes(b"{}")
    known, new = files.hold(folder, ["checkpoint-000001.json"])
    assert known == Held("checkpoint-000001.pt")
    assert new == Held("checkpoint-000002.pt", len(CONTENT), b"{}", CONTENT)
    assert files.look(folder, new.name) == (len(CONTENT), DIGEST, CONTENT)


def test_what_a_job_left_is_known_from_one_answer(files: NodeFiles) -> None:
    folder, large = files.open_attempt("job", 1), CONTENT * (2 * SMALL_BYTES // len(CONTENT))
    for number, content in ((1, CONTENT), (2, large)):
        (folder / f"checkpoint-00000{number}.pt").write_bytes(content)
        (folder / f"checkpoint-00000{number}.json").write_bytes(b"{}")
    (folder / "model.pt").write_bytes(CONTENT)
    names, held, model = files.left(folder)
    assert ("model.pt", len(CONTENT)) in names
    assert held == [
        Held("checkpoint-000001.pt", len(CONTENT), b"{}", CONTENT),
        Held("checkpoint-000002.pt", len(large), b"{}"),
    ]
    assert model == (len(CONTENT), DIGEST, CONTENT)
    (folder / "model.pt").write_bytes(large)
    assert files.left(folder)[2] is None


def test_an_attempt_finds_nothing_of_the_one_before(files: NodeFiles) -> None:
    (files.open_attempt("job", 1) / "left").write_bytes(b"x")
    assert list(files.open_attempt("job", 2).iterdir()) == []
    assert not files.attempt_dir("job", 1).exists()


def test_what_a_killed_seat_left_is_swept_and_what_is_used_stays(files: NodeFiles) -> None:
    dead = files.seat_dir.with_name("seat-2.999999999")
    (dead / "job/attempt-1").mkdir(parents=True)
    mine = files.open_attempt("job", 1)
    files.write_shared(DIGEST, "d.csv", 0, CONTENT)
    files.seal_shared(DIGEST, "d.csv")
    files.sweep()
    assert not dead.exists()
    assert mine.exists()
    assert files.has_shared(DIGEST, "d.csv")


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "/etc/passwd", "x\0y"])
def test_names_are_one_component_of_a_path(files: NodeFiles, name: str) -> None:
    folder = files.open_attempt("job", 1)
    with pytest.raises(ValueError, match="no name of a file"):
        files.read(folder, name, 0, 1)
    with pytest.raises(ValueError, match="no name of a file"):
        files.write(folder, name, 0, b"")
