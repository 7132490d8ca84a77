import contextlib
import hashlib
import itertools
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from traind.data.catalog import Catalog, Version
from traind.data.errors import DatasetInUse, DatasetNotFound, InvalidName
from traind.data.files import TEMPORARY_PREFIX


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "datasets"


@pytest.fixture
def catalog(root: Path) -> Catalog:
    opened = Catalog(root)
    opened.open()
    return opened


def put(catalog: Catalog, root: Path, name: str, content: bytes, form: str = "csv") -> Version:
    digest = hashlib.sha256(content).hexdigest()
    upload = root / f"{TEMPORARY_PREFIX}{name}-{digest[:8]}"
    upload.write_bytes(content)
    return catalog.register(upload, name, digest, form, {"n_rows": len(content)})


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_a_data_set_is_where_its_digest_says(catalog: Catalog, root: Path) -> None:
    version = put(catalog, root, "houses", b"a,b\n", "csv.gz")
    assert version.path == root / "houses" / version.digest / "data.csv.gz"
    assert version.path.read_bytes() == b"a,b\n"
    assert (version.format, version.size_bytes, version.summary) == ("csv.gz", 4, {"n_rows": 4})
    assert catalog.get("houses") == version
    assert Catalog(root).get("houses") == version
    assert not list(root.glob(TEMPORARY_PREFIX + "*"))


def test_putting_again_makes_a_new_version(catalog: Catalog, root: Path) -> None:
    one, two = put(catalog, root, "d", b"1"), put(catalog, root, "d", b"2")
    assert catalog.get("d").digest == two.digest
    assert two.versions == (two.digest, one.digest)
    assert catalog.get("d", one.digest).path.read_bytes() == b"1"


def test_the_same_content_again_is_the_newest_again(catalog: Catalog, root: Path) -> None:
    one = put(catalog, root, "d", b"1")
    put(catalog, root, "d", b"2")
    (one.cache_dir).mkdir()
    again = put(catalog, root, "d", b"1", "csv;charset=latin-1")
    assert (again.digest, again.path, again.format) == (one.digest, one.path, "csv;charset=latin-1")
    assert again.versions[0] == one.digest
    assert len(again.versions) == 2
    assert one.cache_dir.exists()


def test_what_is_learned_of_a_version_is_kept_unless_it_was_registered_anew(catalog: Catalog, root: Path) -> None:
    one = put(catalog, root, "d", b"1")
    assert catalog.describe(one, {"n_rows": 7}).summary == {"n_rows": 7}
    again = put(catalog, root, "d", b"1", "csv;charset=latin-1")
    assert catalog.describe(one, {"n_rows": 8}) == again == catalog.get("d")


def test_data_sets_are_listed_by_name(catalog: Catalog, root: Path) -> None:
    for name in ("b", "a", "c"):
        put(catalog, root, name, name.encode())
    assert [version.name for version in catalog.list()] == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", ".hidden", "a" * 65, "a\n", "-a", "ä", "a b", "a\0"])
def test_names_that_could_leave_the_folder_are_refused(catalog: Catalog, root: Path, name: str) -> None:
    with pytest.raises(InvalidName):
        catalog.check_name(name)
    with pytest.raises(DatasetNotFound):
        catalog.get(name)
    upload = root / f"{TEMPORARY_PREFIX}x"
    upload.write_bytes(b"1")
    with pytest.raises(InvalidName):
        catalog.register(upload, name, "0" * 64, "csv")


def test_what_is_not_there_is_not_found(catalog: Catalog, root: Path) -> None:
    put(catalog, root, "d", b"1")
    for name, digest in (("e", None), ("d", "0" * 64)):
        with pytest.raises(DatasetNotFound):
            catalog.get(name, digest)
    with pytest.raises(DatasetNotFound):
        catalog.delete("e")


def test_a_version_in_use_is_not_deleted(catalog: Catalog, root: Path) -> None:
    one, two = put(catalog, root, "d", b"1"), put(catalog, root, "d", b"2")
    for used in (one, two):
        with pytest.raises(DatasetInUse, match=used.digest[:12]):
            catalog.delete("d", {used.digest, "0" * 64})
    catalog.delete("d", {"0" * 64})
    assert files(root) == []
    assert catalog.list() == []


CALLS = ("open", "write", "fsync", "rename", "replace", "unlink", "rmdir")  # of the system, that change a disk


def test_a_crash_at_any_moment_leaves_the_old_or_the_new(
    catalog: Catalog, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = put(catalog, root, "d", b"1")
    for call in itertools.count():
        with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
            left = _end_at(patch, call)
            put(catalog, root, "d", b"2")
        opened = Catalog(root)
        opened.open()
        found = opened.get("d")
        assert found.path.read_bytes() in {b"1", b"2"}
        assert not list(root.rglob(TEMPORARY_PREFIX + "*"))
        assert {path.parent.name for path in root.glob("d/*/meta.json")} == set(found.versions)
        if left:  # it was over before
            break
        if found.digest != one.digest:
            opened.delete("d")
            one = put(opened, root, "d", b"1")
    assert call > 8


def _end_at(patch: pytest.MonkeyPatch, call: int) -> list[int]:
    """Make the given call of the system the last thing that happens; what is returned is empty once it came."""
    left = [0] * (call + 1)

    def counted(real: Any) -> Any:
        def reach(*args: Any, **named: Any) -> Any:
            if left:
                left.pop()
                if not left:
                    raise KeyboardInterrupt
            return real(*args, **named)

        return reach

    for name in CALLS:
        patch.setattr(os, name, counted(getattr(os, name)))
    return left


def test_leftovers_are_swept(catalog: Catalog, root: Path) -> None:
    version = put(catalog, root, "d", b"1")
    (root / f"{TEMPORARY_PREFIX}upload").write_bytes(b"torn")
    (version.cache_dir / f"{TEMPORARY_PREFIX}arrays").mkdir(parents=True)
    (root / "d" / ("f" * 64)).mkdir()
    (root / "empty").mkdir()
    before = files(root)
    Catalog(root).open()
    assert files(root) == [name for name in before if "upload" not in name]
    assert not (root / "empty").exists()
    assert catalog.get("d") == version


def test_threads_may_put_at_once(catalog: Catalog, root: Path) -> None:
    threads = [threading.Thread(target=put, args=(catalog, root, "d", str(i).encode())) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(catalog.get("d").versions)) == 8


def test_a_lost_list_of_versions_is_made_anew_of_what_is_there(catalog: Catalog, root: Path) -> None:
    one, two = put(catalog, root, "d", b"1"), put(catalog, root, "d", b"2")
    path = root / "d" / "versions.json"
    for damage in (b"", b"{", b'["\xff"]', None, path.read_bytes().replace(one.digest[:4].encode(), b"dddd")):
        path.unlink() if damage is None else path.write_bytes(damage)
        opened = Catalog(root)
        opened.open()
        assert set(opened.get("d").versions) == {one.digest, two.digest}
        assert opened.get("d", one.digest).path.read_bytes() == b"1"


@pytest.mark.parametrize("damage", [b"", b'{"format": "\xff"}', b"\0"])
def test_a_damaged_record_hides_its_data_set_and_no_other(catalog: Catalog, root: Path, damage: bytes) -> None:
    one = put(catalog, root, "one", b"1")
    put(catalog, root, "other", b"2")
    (one.path.parent / "meta.json").write_bytes(damage)
    opened = Catalog(root)
    opened.open()
    assert [version.name for version in opened.list()] == ["other"]
    assert put(opened, root, "one", b"1").digest == one.digest
    assert opened.get("one").path.read_bytes() == b"1"
