"""Encoded tables on disk as memory-mapped arrays, so that a second job on the same data starts at once.

An entry is a folder, written under a temporary name and renamed, so that it is complete or absent. Concurrent writers
write the same. It lists its files with checksums, so that damaged ones are not used.
"""

import hashlib
import mmap
import os
import secrets
import shutil
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from traind.data.files import TEMPORARY_PREFIX

VERSION = 5  # of the stored form and of the encoding rules; part of the entry's name
_META = "meta.json"
_FILES = "files.json"  # each file of the entry and its checksum


def key_of(*facts: Any) -> str:
    """Return the name of the entry for these facts."""
    return hashlib.sha256(msgspec.json.encode((VERSION, facts))).hexdigest()[:32]


def load(entry: Path) -> tuple[bytes, dict[str, np.ndarray[Any, Any]]] | None:
    """Return the entry's meta and its arrays, read-only and mapped; None without one. A damaged one is removed."""
    if not entry.is_dir():
        return None
    try:
        listed = msgspec.json.decode((entry / _FILES).read_bytes(), type=dict[str, int])
        if any(_checksum(entry / name) != checksum for name, checksum in listed.items()):
            raise ValueError(f"{entry} is damaged")  # noqa: TRY301 - as a file that cannot be read
        names = [name.removesuffix(".npy") for name in listed if name != _META]
        arrays = {name: np.load(entry / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names}
        return (entry / _META).read_bytes(), arrays
    except (OSError, ValueError, msgspec.DecodeError):
        shutil.rmtree(entry, ignore_errors=True)  # it is made again
        return None


def is_newer(path: Path, entry: Path) -> bool:
    """Return whether a file has changed since the entry was made."""
    return path.stat().st_mtime_ns > (entry / _FILES).stat().st_mtime_ns


def save(entry: Path, meta: bytes, arrays: dict[str, np.ndarray[Any, Any]]) -> None:
    """Store the entry unless the disk fails; an entry of another process stays."""
    made = entry.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    try:
        made.mkdir(parents=True)
        for name, array in arrays.items():
            np.save(made / f"{name}.npy", array, allow_pickle=False)
        (made / _META).write_bytes(meta)
        listed = {path.name: _checksum(path) for path in made.iterdir()}
        (made / _FILES).write_bytes(msgspec.json.encode(listed))
        os.rename(made, entry)  # noqa: PTH104 - must fail where the entry exists and is not empty
    except OSError:
        shutil.rmtree(made, ignore_errors=True)


def _checksum(path: Path) -> int:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return zlib.crc32(content)
