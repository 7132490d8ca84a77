"""Encoded tables on disk, as arrays that are mapped, not read: a second job on the same data starts at once.

An entry is a folder, written beside its place and renamed into it, so that it is whole or absent. Whoever else
made it meanwhile made the same.
"""

import hashlib
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from traind.data.files import TEMPORARY_PREFIX

VERSION = 1  # of what is stored and of the rules that made it: another one is another entry
_META = "meta.json"


def key_of(*facts: Any) -> str:
    """Return the name of the entry that these facts lead to."""
    return hashlib.sha256(msgspec.json.encode((VERSION, facts))).hexdigest()[:32]


def load(entry: Path) -> tuple[bytes, dict[str, np.ndarray[Any, Any]]] | None:
    """Return the entry's meta and its arrays, read-only and mapped; None if there is none, or not a whole one."""
    try:
        meta = (entry / _META).read_bytes()
        names: list[str] = msgspec.json.decode((entry / "arrays.json").read_bytes())
        return meta, {name: np.load(entry / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names}
    except (OSError, ValueError, msgspec.DecodeError):
        return None


def save(entry: Path, meta: bytes, arrays: dict[str, np.ndarray[Any, Any]]) -> None:
    """Store the entry, if the disk lets us; where another process was first, its entry stays."""
    made = entry.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    try:
        made.mkdir(parents=True)
        for name, array in arrays.items():
            np.save(made / f"{name}.npy", array, allow_pickle=False)
        (made / "arrays.json").write_bytes(msgspec.json.encode(list(arrays)))
        (made / _META).write_bytes(meta)
        os.rename(made, entry)  # noqa: PTH104 - must fail where the entry exists and is not empty
    except OSError:
        shutil.rmtree(made, ignore_errors=True)
