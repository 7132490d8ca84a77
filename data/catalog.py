"""The registered data sets of one root: which versions there are, and where.

A data set is a folder, a version a folder in it named by the sha256 of its bytes:

    <folder>/<name>/<digest>/table.<format>   the file as it was uploaded
    <folder>/<name>/<digest>/version.json     its record; the folder counts from when this stands
    <folder>/<name>/<digest>/encoded/         encodings of it, made by jobs

Knows neither numpy nor duckdb: the server uses it. Called by `service/datasets`.
"""

import json
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from traind.data.errors import DatasetInUse, DatasetNotFound, InvalidName
from traind.data.files import rename_durably, sweep_temporaries, sync_dir, write_atomically

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_RECORD = "version.json"


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a data set, the newest unless said otherwise."""

    name: str
    digest: str  # sha256 of the bytes as uploaded, hex
    format: str
    size_bytes: int
    created_at: float  # seconds since 1970
    path: Path  # absolute
    versions: tuple[str, ...] = ()  # digests of all versions, newest first
    summary: dict[str, Any] = field(default_factory=dict)  # what `describe` says of it


class Catalog:
    """The data sets below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self) -> None:
        """Make the folder and remove what interrupted uploads left behind."""
        self._folder.mkdir(parents=True, exist_ok=True)
        sweep_temporaries(self._folder)
        for version_dir in self._folder.glob("*/*"):
            if not (version_dir / _RECORD).exists():
                shutil.rmtree(version_dir, ignore_errors=True)

    @staticmethod
    def check_name(name: str) -> None:
        """Raise `InvalidName` for what is no name of a data set."""
        if NAME.fullmatch(name) is None:
            raise InvalidName(
                f"{name!r} cannot name a data set.",
                hint="Use up to 64 letters, digits, '.', '_' and '-', beginning with a letter or digit.",
            )

    def register(self, source: Path, name: str, digest: str, format: str, summary: dict[str, Any]) -> Version:  # noqa: A002
        """Move a synced file in as the newest version of a data set, durably; return it.

        The same bytes again become the newest version, and are stored once.
        """
        self.check_name(name)
        folder = self._folder / name / digest
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"table.{format}"
        size_bytes = source.stat().st_size
        rename_durably(source, path)
        sync_dir(folder.parent)
        sync_dir(self._folder)
        record = {"format": format, "size_bytes": size_bytes, "created_at": time.time(), "summary": summary}
        write_atomically(folder / _RECORD, json.dumps(record).encode())
        return self.get(name)

    def get(self, name: str) -> Version:
        """Return the newest version of a data set; raises `DatasetNotFound`."""
        versions = self._versions(name) if NAME.fullmatch(name) else []
        if not versions:
            known = ", ".join(sorted(self._names())[:10])
            raise DatasetNotFound(
                f"There is no data set {name!r}.",
                hint=f"There are: {known}." if known else "None is registered yet: PUT /api/datasets/<name>.",
            )
        return replace(versions[0], versions=tuple(version.digest for version in versions))

    def list(self) -> list[Version]:
        """Return the newest version of every data set, by name."""
        return [self.get(name) for name in sorted(self._names()) if self._versions(name)]

    def delete(self, name: str, in_use: set[str]) -> None:
        """Remove a data set with all its versions; raises `DatasetNotFound`, `DatasetInUse`."""
        used = in_use.intersection(self.get(name).versions)
        if used:
            raise DatasetInUse(
                f"The data set {name!r} is used by a job that is not finished.",
                hint="Wait for the job, stop it or cancel it.",
            )
        aside = self._folder / f".tmp-deleted-{name}-{time.time_ns()}"
        rename_durably(self._folder / name, aside)
        shutil.rmtree(aside, ignore_errors=True)

    def _names(self) -> Iterator[str]:
        if self._folder.is_dir():
            yield from (entry.name for entry in self._folder.iterdir() if NAME.fullmatch(entry.name))

    def _versions(self, name: str) -> "list[Version]":
        """Return the versions of a data set, newest first; a damaged record is no version."""
        found = []
        for path in (self._folder / name).glob(f"*/{_RECORD}"):
            try:
                record = json.loads(path.read_bytes())
                found.append(
                    Version(
                        name=name,
                        digest=path.parent.name,
                        format=record["format"],
                        size_bytes=record["size_bytes"],
                        created_at=record["created_at"],
                        path=path.with_name(f"table.{record['format']}").resolve(),
                        summary=record["summary"],
                    )
                )
            except (OSError, ValueError, KeyError):
                continue
        return sorted(found, key=lambda version: version.created_at, reverse=True)
