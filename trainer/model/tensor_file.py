"""Files of tensors and plain values: packed, written durably, read again with `weights_only`, and their digests.

Model files and checkpoints are both such files. Nothing in them is code.
"""

import errno
import hashlib
import io
import re
import shutil
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from traind.data.files import write_atomically
from traind.trainer.contract.errors import DiskFailed, DiskFull, UserCodeError
from traind.trainer.model.stored_values import is_plain

FORMAT = 1  # of a model file
_TERMINAL_CODES = re.compile("\x1b\\[[0-9;]*m")
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def packed(content: dict[str, Any]) -> bytes:
    """Return `content` as the bytes of a `torch.save` file that loads with `weights_only=True`.

    Raises `UserCodeError` where it does not: better now than when the job must go on.
    """
    buffer = io.BytesIO()
    try:
        torch.save(content, buffer)
        data = buffer.getvalue()
        if not is_plain(content):
            unpacked(data)
    except Exception as error:
        raise UserCodeError(
            f"The state cannot be saved so that it can be loaded again: {_first_line(error)}",
            hint="Save tensors and plain values (numbers, strings, lists, dicts): state_dict() of what you have.",
        ) from error
    return data


def unpacked(data: bytes) -> dict[str, Any]:
    """Return the packed content. Raises `ValueError` for other bytes."""
    if not data.startswith(b"PK"):  # torch also reads older formats, which traind never wrote
        raise ValueError("not a torch file")
    _check_stored(data)
    try:
        content = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(f"not a file of tensors and plain values: {_first_line(error)}") from error
    if not isinstance(content, dict):  # a foreign file
        raise ValueError(f"not a file of ours: it holds a {type(content).__name__}")  # noqa: TRY004
    return content


def _check_stored(data: bytes) -> None:
    """Raise `ValueError` where a file's parts are compressed, or more than the file: torch writes neither."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            parts = file.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise ValueError(f"not a whole torch file: {error}") from error
    if any(part.compress_type != zipfile.ZIP_STORED or part.file_size != part.compress_size for part in parts):
        raise ValueError("its parts are compressed, as those of a model never are")
    if sum(part.file_size for part in parts) > len(data):
        raise ValueError("its parts are larger than the file")


def write_file(path: Path, data: bytes) -> None:
    """Write durably. Raises `DiskFull` where there is no space, `DiskFailed` where the disk cannot be written."""
    try:
        write_atomically(path, data)
    except OSError as error:
        failed = f"{path.name} could not be written: {error.strerror or error}"
        if error.errno in _NO_SPACE:
            needed, free = len(data) / 2**20, shutil.disk_usage(path.parent).free / 2**20
            raise DiskFull(
                f"{failed}: it has {needed:,.1f} MiB, and {free:,.1f} are free.",
                hint="Make room on the disk; the job goes on from its last checkpoint.",
                needed_bytes=len(data),
            ) from error
        raise DiskFailed(failed, hint="Check the disk, then resume the job.") from error


def write_model(path: Path, model: dict[str, Any], head: dict[str, Any]) -> str:
    """Write a model file of a trainer's `model` and traind's data about it; return the digest of its weights.

    Raises `UserCodeError` where it could not be loaded again.
    """
    digest = weights_digest(model.get("weights", model))
    whole = {"format": FORMAT, "weights_digest": digest, **head}
    if taken := sorted(whole.keys() & model.keys()):
        raise UserCodeError(f"The names {', '.join(taken)} are traind's own in a model file.")
    write_file(path, packed({**whole, **model}))
    return digest


def weights_digest(weights: Any) -> str:
    """Return the sha256 over every tensor: its place, type, shape and bytes, dicts in the order of their keys."""
    digest = hashlib.sha256()
    for place, tensor in _tensors(weights, ""):
        digest.update(f"{place} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _tensors(tree: Any, place: str) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of nested dicts and sequences with their places, in a fixed order."""
    if isinstance(tree, Tensor):
        yield place, tree
    elif isinstance(tree, Mapping):
        for key in sorted(tree, key=str):
            yield from _tensors(tree[key], f"{place}/{key}")
    elif isinstance(tree, list | tuple):
        for number, item in enumerate(tree):
            yield from _tensors(item, f"{place}/{number}")


def _first_line(error: BaseException) -> str:
    """Return the first line of an error's message, without torch's terminal codes."""
    return _TERMINAL_CODES.sub("", str(error).strip() or type(error).__name__).splitlines()[0]
