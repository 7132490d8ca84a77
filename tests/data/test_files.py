"""The atomic writer against a model of a disk that loses power: what was not synced may be there, or not."""

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from traind.data.files import rename_durably, sweep_temporaries, write_atomically


@dataclass(frozen=True)
class Operation:
    """One call that reached the system: its kind, and the names it is about."""

    kind: str  # create, write, sync, rename, sync_dir, unlink
    name: str
    to: str = ""
    content: bytes = b""


def recorded(
    monkeypatch: pytest.MonkeyPatch, path: Path, content: bytes, *, is_durable: bool = True
) -> list[Operation]:
    """Write a file; return what was asked of the system, in order."""
    operations: list[Operation] = []
    names: dict[int, str] = {}
    real_open, real_write, real_fsync, real_rename = os.open, os.write, os.fsync, os.rename

    def spy_open(target, flags, *rest, **named):
        descriptor = real_open(target, flags, *rest, **named)
        names[descriptor] = "" if flags & os.O_DIRECTORY else Path(target).name
        if flags & os.O_CREAT:
            operations.append(Operation("create", Path(target).name))
        return descriptor

    def spy_write(descriptor, data):
        written = real_write(descriptor, data)
        operations.append(Operation("write", names[descriptor], content=bytes(data[:written])))
        return written

    def spy_fsync(descriptor):
        real_fsync(descriptor)
        operations.append(Operation("sync", names[descriptor]) if names[descriptor] else Operation("sync_dir", ""))

    def spy_rename(source, target, **named):
        real_rename(source, target, **named)
        operations.append(Operation("rename", Path(source).name, to=Path(target).name))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", spy_open)
        patch.setattr(os, "write", spy_write)
        patch.setattr(os, "fsync", spy_fsync)
        patch.setattr(os, "rename", spy_rename)
        patch.setattr(os, "replace", spy_rename)
        write_atomically(path, content, is_durable=is_durable)
    return operations


def after_power_loss(operations: list[Operation], done: int, before: dict[str, bytes]) -> Iterator[dict[str, bytes]]:
    """Yield each folder that may be found after the power went when `done` operations were carried out.

    Bytes that were not synced are lost or there, in any prefix; names that were not synced are old or new.
    """
    carried_out = operations[:done]
    last_dir_sync = max((place for place, op in enumerate(carried_out) if op.kind == "sync_dir"), default=-1)
    loose = [
        place for place, op in enumerate(carried_out) if op.kind in {"create", "rename"} and place > last_dir_sync
    ]
    for kept in itertools.product([True, False], repeat=len(loose)):
        lost = {place for place, is_kept in zip(loose, kept, strict=True) if not is_kept}
        for share in (0.0, 0.5, 1.0):
            yield _folder(carried_out, lost, share, before)


def _folder(operations: list[Operation], lost: set[int], share: float, before: dict[str, bytes]) -> dict[str, bytes]:
    names = {name: f"{name}#before" for name in before}
    contents = {f"{name}#before": content for name, content in before.items()}
    synced: dict[str, int] = {}
    inodes: dict[str, str] = {}
    for place, op in enumerate(operations):
        if op.kind == "create":
            inodes[op.name] = op.name
            contents[op.name] = b""
            if place not in lost:
                names[op.name] = op.name
        elif op.kind == "write":
            contents[inodes[op.name]] += op.content
        elif op.kind == "sync":
            synced[inodes[op.name]] = len(contents[inodes[op.name]])
        elif op.kind == "rename":
            inodes[op.to] = inodes.pop(op.name)
            if place not in lost:
                names.pop(op.name, None)
                names[op.to] = inodes[op.to]
    found = {}
    for name, inode in names.items():
        whole = contents[inode]
        safe = len(whole) if inode.endswith("#before") else synced.get(inode, 0)
        found[name] = whole[: safe + int((len(whole) - safe) * share)]
    return found


def breaches(operations: list[Operation], old: bytes | None, new: bytes) -> list[str]:
    """Return where the target is torn after a power cut, or not the new one after the end."""
    before = {} if old is None else {"target": old}
    found = []
    for done in range(len(operations) + 1):
        for folder in after_power_loss(operations, done, before):
            content = folder.get("target")
            allowed = {new} if done == len(operations) else {old, new}
            if content not in allowed:
                found.append(f"after {done} operations: {content!r}")
    return found


@pytest.mark.parametrize("old", [None, b"old bytes"])
def test_a_power_cut_leaves_the_old_file_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bytes | None
) -> None:
    path = tmp_path / "target"
    if old is not None:
        path.write_bytes(old)
    operations = recorded(monkeypatch, path, b"the new bytes")
    assert [op.kind for op in operations] == ["create", "write", "sync", "rename", "sync_dir"]
    assert breaches(operations, old, b"the new bytes") == []


@pytest.mark.parametrize("dropped", ["sync", "sync_dir"])
def test_without_one_of_its_syncs_the_model_finds_the_tear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dropped: str
) -> None:
    path = tmp_path / "target"
    path.write_bytes(b"old bytes")
    operations = [op for op in recorded(monkeypatch, path, b"the new bytes") if op.kind != dropped]
    assert breaches(operations, b"old bytes", b"the new bytes") != []


def test_a_write_that_is_not_durable_is_still_seen_whole_by_every_reader(tmp_path: Path) -> None:
    path = tmp_path / "target"
    for number in range(100):
        write_atomically(path, b"%d" % number * 1_000, is_durable=False)
        assert path.read_bytes() == b"%d" % number * 1_000
    assert [entry.name for entry in tmp_path.iterdir()] == ["target"]


def test_a_write_that_fails_leaves_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "target"
    path.mkdir()
    (path / "occupied").touch()
    with pytest.raises(OSError, match="target"):
        write_atomically(path, b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["target"]


def test_leftovers_are_swept_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".tmp-0a-half").write_bytes(b"half")
    (tmp_path / ".tmp-deleted").mkdir()
    (tmp_path / "kept").touch()
    assert sweep_temporaries(tmp_path) == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept"]


def test_a_folder_moves_durably(tmp_path: Path) -> None:
    source = tmp_path / "a"
    source.mkdir()
    (source / "inside").write_bytes(b"1")
    (tmp_path / "there").mkdir()
    rename_durably(source, tmp_path / "there" / "b")
    assert (tmp_path / "there/b/inside").read_bytes() == b"1"


def test_a_removed_folder_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "removed" / "deeper" / "file"
    write_atomically(path, b"content")
    assert path.read_bytes() == b"content"
    assert [one.name for one in path.parent.iterdir()] == ["file"]
