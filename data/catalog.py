"""The registered data sets on disk: `<root>/<name>/<digest>/` holds one version's file and its summary.

A version is complete or absent: it is made in a temporary folder, renamed, then added to the data set's list of
versions, newest first. Leftovers of a crash are removed at the next start. Blocking; imports neither numpy nor
polars, since the server calls it, in threads.
"""

import contextlib
import logging
import re
import shutil
import threading
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, structs

from traind.data.errors import DatasetInUse, DatasetNotFound, InvalidName
from traind.data.files import (
    TEMPORARY_PREFIX,
    rename_durably,
    sweep_temporaries,
    sync_dir,
    sync_file,
    write_atomically,
)

LOG = logging.getLogger(__name__)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_VERSIONS = "versions.json"  # of a data set: digests, newest first
_META = "meta.json"  # of a version
ENCODED = "encoded"  # of a version: its cache, made by workers


class _Meta(Struct, frozen=True):
    format: str
    file: str
    size_bytes: int
    created_at: float
    summary: dict[str, Any] = {}


class _ListedSummary(Struct, frozen=True):
    n_rows: int = 0
    columns: list[msgspec.Raw] = []  # only counted
    warnings: list[msgspec.Raw] = []


class _ListedMeta(Struct, frozen=True):
    format: str
    file: str
    size_bytes: int
    created_at: float
    summary: _ListedSummary = _ListedSummary()


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a data set; `versions` are the digests of all, newest first."""

    name: str
    digest: str
    path: Path
    format: str
    size_bytes: int
    created_at: float
    versions: tuple[str, ...]
    summary: dict[str, Any]

    @property
    def cache_dir(self) -> Path:
        """Return the folder of its encoded arrays, which workers write."""
        return self.path.parent / ENCODED


class Catalog:
    """The data sets below one folder. Safe for threads; other processes must not write to it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()

    def open(self) -> None:
        """Make the folder, and remove what interrupted uploads, deletions and encodings left."""
        self._root.mkdir(parents=True, exist_ok=True)
        sweep_temporaries(self._root)
        for folder in self._folders():
            sweep_temporaries(folder)
            versions = self._versions(folder.name)
            if not versions or any(not (folder / version).is_dir() for version in versions):
                versions = self._adopted(folder)
            if not versions:
                shutil.rmtree(folder)
                continue
            for version in folder.iterdir():
                if version.is_dir() and version.name not in versions:
                    shutil.rmtree(version)
                    continue
                if version.is_dir() and self._read(version) is None:
                    LOG.warning("the record of the data set %s is damaged: put its file again", folder.name)
                sweep_temporaries(version / ENCODED)

    def check_name(self, name: str) -> None:
        """Raise `InvalidName` unless `name` is a valid name of a data set."""
        if not NAME.match(name):
            hint = "letters, digits, '_', '-' and '.', a letter or digit first, at most 64"
            raise InvalidName(f"{name[:100]!r} cannot be the name of a data set", hint=hint)

    def register(
        self, temporary: Path, name: str, digest: str, form: str, summary: dict[str, Any] | None = None
    ) -> Version:
        """Move the file `temporary`, on the same file system, to the newest version of `name`.

        The same content again becomes the newest version once more, with what is now known of it.
        """
        self.check_name(name)
        assert _DIGEST.match(digest), digest
        with self._lock:
            place = self._root / name / digest
            known = self._read(place)
            file = known.file if known else f"data.{form.partition(';')[0]}"
            meta = _Meta(form, file, temporary.stat().st_size, time.time(), summary or {})
            if known:
                write_atomically(place / _META, msgspec.json.encode(meta))
                temporary.unlink()
            else:
                self._place(temporary, place, meta)
            versions = [digest, *(one for one in self._versions(name) if one != digest)]
            write_atomically(self._root / name / _VERSIONS, msgspec.json.encode(versions))
        return self.get(name)

    def describe(self, version: Version, summary: dict[str, Any]) -> Version:
        """Replace the summary of a version by one that knows more; raises `DatasetNotFound`, `OSError`.

        One that was registered anew since `version` was read, in another format perhaps, keeps what is known now.
        """
        with self._lock:
            place = version.path.parent
            known = self._read(place)
            if known is not None and (known.format, known.created_at) == (version.format, version.created_at):
                write_atomically(place / _META, msgspec.json.encode(structs.replace(known, summary=summary)))
        return self.get(version.name, version.digest)

    def list(self, limit: int = 1_000, after: str | None = None) -> list[Version]:
        """Return the newest version of up to `limit` data sets, by name, those after a name where it is given.

        Their summaries are in short: numbers of rows, columns and warnings.
        """
        found: list[Version] = []
        for name in sorted(folder.name for folder in self._folders()):
            if after is not None and name <= after:
                continue
            if len(found) >= limit:
                break
            with contextlib.suppress(DatasetNotFound):  # deleted meanwhile
                found.append(self._get(name, None, _read_short))
        return found

    def count(self) -> int:
        """Return the number of data sets."""
        return len(self._folders())

    def has(self, name: str) -> bool:
        """Return whether there is a data set of that name."""
        return bool(self._versions(name))

    def get(self, name: str, digest: str | None = None) -> Version:
        """Return a version of the data set, by default the newest; raises `DatasetNotFound`."""
        return self._get(name, digest, self._read)

    def _get(self, name: str, digest: str | None, read: Callable[[Path], _Meta | None]) -> Version:
        versions = self._versions(name) if NAME.match(name) else ()
        wanted = digest or next(iter(versions), None)
        meta = read(self._root / name / wanted) if wanted in versions else None
        if wanted is None or meta is None:
            hint = "GET /api/datasets and `traind datasets list` show what there is"
            raise DatasetNotFound(f"no data set is called {name[:100]!r}", hint=hint)
        path = (self._root / name / wanted / meta.file).absolute()
        return Version(name, wanted, path, meta.format, meta.size_bytes, meta.created_at, versions, meta.summary)

    def delete(self, name: str, in_use: AbstractSet[str] = frozenset()) -> None:
        """Remove the data set and all its versions; raises `DatasetNotFound`, `DatasetInUse`."""
        with self._lock:
            self.get(name)
            if used := in_use & set(self._versions(name)):
                raise DatasetInUse(
                    f"{name!r} is used by a job that is not finished: version {min(used)[:12]}",
                    hint="wait for the job, or cancel it",
                )
            grave = self._root / f"{TEMPORARY_PREFIX}deleted-{time.time_ns()}"
            rename_durably(self._root / name, grave)
        shutil.rmtree(grave, ignore_errors=True)

    def _place(self, temporary: Path, place: Path, meta: _Meta) -> None:
        """Put the file and its meta at `place`, atomically."""
        shutil.rmtree(place, ignore_errors=True)  # incomplete, else it would be in the list
        made = self._root / f"{TEMPORARY_PREFIX}version-{time.time_ns()}"
        made.mkdir()
        try:
            sync_file(temporary)
            rename_durably(temporary, made / meta.file)
            write_atomically(made / _META, msgspec.json.encode(meta))
            place.parent.mkdir(exist_ok=True)
            sync_dir(self._root)
            rename_durably(made, place)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise

    def _adopted(self, folder: Path) -> tuple[str, ...]:
        """Rebuild a missing or damaged list of versions from the folders."""
        found = [version for version in folder.iterdir() if version.is_dir() and _DIGEST.match(version.name)]
        versions = tuple(one.name for one in sorted(found, key=lambda one: one.stat().st_mtime, reverse=True))
        if versions:
            LOG.warning(
                "the data set %s had no whole list of its versions; %d were found", folder.name, len(versions)
            )
            write_atomically(folder / _VERSIONS, msgspec.json.encode(versions))
        return versions

    def _folders(self) -> tuple[Path, ...]:
        return tuple(path for path in self._root.iterdir() if path.is_dir() and NAME.match(path.name))

    def _versions(self, name: str) -> tuple[str, ...]:
        try:
            return msgspec.json.decode((self._root / name / _VERSIONS).read_bytes(), type=tuple[str, ...])
        except (OSError, ValueError):  # no JSON, or not even text
            return ()

    def _read(self, place: Path) -> _Meta | None:
        try:
            return msgspec.json.decode((place / _META).read_bytes(), type=_Meta)
        except (OSError, ValueError):  # no JSON, or not even text
            return None


def _read_short(place: Path) -> _Meta | None:
    """Return a version's record without column details."""
    try:
        whole = msgspec.json.decode((place / _META).read_bytes(), type=_ListedMeta)
    except (OSError, ValueError):  # no JSON, or not even text
        return None
    summary = whole.summary
    counts = {"n_rows": summary.n_rows, "n_columns": len(summary.columns), "n_warnings": len(summary.warnings)}
    return _Meta(whole.format, whole.file, whole.size_bytes, whole.created_at, counts)
