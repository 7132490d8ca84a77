"""Files between the server's disk and a seat's, in pieces, several of them under way at a time.

Runs in the gateway, which is on the server's machine and root. What is pulled is written beside its place, synced
and moved there once its sha256 is right; a checkpoint's manifest, which makes it one, comes last.
"""

import asyncio
import hashlib
import os
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO, Any

import msgspec
from msgspec import Struct

from traind.data.files import sync_dir, sync_file, write_atomically
from traind.service.executor.ray.protocol import Held
from traind.service.threads import in_thread

PIECE_BYTES = 4 * 1024 * 1024
MANIFESTS = "checkpoint-[0-9]*.json"  # each of them makes the file beside it a checkpoint
AHEAD = 4  # pieces under way
Read = Callable[[str, int, int], Awaitable[bytes]]  # name, offset, size
Write = Callable[[int, bytes], Awaitable[Any]]  # offset, data


class NotWhole(Exception):
    """A file did not arrive as it was sent, or is not there as it should be."""


class _Manifest(Struct, frozen=True):
    """What is looked at of a checkpoint's manifest (`trainer.run.checkpoints.Manifest`)."""

    size_bytes: int
    sha256: str


async def pull(read: Read, name: str, size_bytes: int, target: Path, digest: str | None = None) -> None:
    """Bring a seat's file here. Raises `NotWhole`, `OSError`, and what `read` raises."""
    part = target.with_name(f"{target.name}.part")
    digester = hashlib.sha256()
    try:
        with await in_thread(part.open, "wb") as file:
            pieces: deque[asyncio.Task[bytes]] = deque()
            offset = 0
            while offset < size_bytes or pieces:
                while offset < size_bytes and len(pieces) < AHEAD:
                    pieces.append(asyncio.ensure_future(read(name, offset, PIECE_BYTES)))
                    offset += PIECE_BYTES
                piece = await pieces.popleft()
                await in_thread(_append, file, digester, piece)
        written = part.stat().st_size
        if written != size_bytes or digester.hexdigest() != (digest or digester.hexdigest()):
            raise NotWhole(f"{name} did not arrive whole")
        await in_thread(_settle, part, target)
    finally:
        part.unlink(missing_ok=True)


async def bring(read: Read, name: str, size_bytes: int, target: Path, digest: str, content: bytes) -> None:
    """Bring a seat's file here, whose content has come already where it is small. Raises as `pull` does."""
    if not content:
        await pull(read, name, size_bytes, target, digest)
    elif hashlib.sha256(content).hexdigest() == digest:
        await in_thread(write_atomically, target, content)
    else:
        raise NotWhole(f"{name} did not arrive whole")


async def mirror_checkpoints(read: Read, held: list[Held], folder: Path) -> None:
    """Make the checkpoints of an attempt here those that its seat holds: new ones come, superseded ones go."""
    for one in held:
        target = folder / one.name
        manifest_path = target.with_suffix(".json")
        if manifest_path.exists():
            continue
        digest = msgspec.json.decode(one.manifest, type=_Manifest).sha256
        await bring(read, one.name, one.size_bytes, target, digest, one.content)
        await in_thread(write_atomically, manifest_path, one.manifest)
    kept = {one.name for one in held}
    await in_thread(_prune, folder, kept)


async def push(path: Path, write: Write, digest: str | None = None) -> str:
    """Send a file of ours; return its sha256. Raises `NotWhole` where it is not the one of that digest."""
    digester = hashlib.sha256()
    pieces: deque[asyncio.Task[Any]] = deque()
    with await in_thread(path.open, "rb") as file:
        offset = 0
        while piece := await in_thread(file.read, PIECE_BYTES):
            digester.update(piece)
            if offset == 0:  # the first one makes the file
                await write(0, piece)
            else:
                pieces.append(asyncio.ensure_future(write(offset, piece)))
            offset += len(piece)
            if len(pieces) >= AHEAD:
                await pieces.popleft()
        while pieces:
            await pieces.popleft()
    if offset == 0:
        await write(0, b"")
    if digester.hexdigest() != (digest or digester.hexdigest()):
        raise NotWhole(f"{path.name} is not what it was: its sha256 has changed")
    return digester.hexdigest()


def newest_checkpoint(folders: tuple[str, ...]) -> tuple[Path, bytes] | None:
    """Return the newest whole checkpoint of earlier attempts, newest folder first, with its manifest."""
    for folder in folders:
        for manifest_path in sorted(Path(folder).glob(MANIFESTS), reverse=True):
            path = manifest_path.with_suffix(".pt")
            try:
                words = manifest_path.read_bytes()
                manifest = msgspec.json.decode(words, type=_Manifest)
                with path.open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() == manifest.sha256:
                        return path, words
            except (OSError, msgspec.MsgspecError):  # damaged: the one before it then, as everywhere
                continue
    return None


def manifests_in(folder: Path) -> list[str]:
    """Return the names of the manifests, one of each whole checkpoint, oldest first."""
    return [path.name for path in sorted(folder.glob(MANIFESTS))]


def _append(file: IO[bytes], digester: Any, piece: bytes) -> None:
    file.write(piece)
    digester.update(piece)


def _settle(part: Path, target: Path) -> None:
    sync_file(part)
    part.replace(target)
    sync_dir(target.parent)


def _prune(folder: Path, kept: set[str]) -> None:
    for path in folder.glob("checkpoint-[0-9]*.pt"):
        if path.name not in kept:
            path.with_suffix(".json").unlink(missing_ok=True)  # first: a file without a manifest is nothing
            path.unlink(missing_ok=True)


def append_output(path: Path, start: int, output: bytes) -> None:
    """Add what a job printed to its output here; from 0 on the file is begun anew."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if start == 0 else 0), 0o644)
    try:
        os.pwrite(descriptor, output, start)
    finally:
        os.close(descriptor)
