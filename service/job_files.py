"""The files that a job's trainer wrote, listed and found by their paths below the job's folder.

Links are neither shown nor followed, and traind's own files are not shown. Called by the service in threads.
"""

import os
import re
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from traind.data.files import TEMPORARY_PREFIX
from traind.data.limits import clipped, how_many_fit
from traind.service.errors import JobFileNotFound
from traind.service.results import FilePage, JobFile

_TOP = re.compile(r"files|attempt-[0-9]+")
_OURS = re.compile(
    rf"attempt-[0-9]+/(checkpoint-[^/]*|model\.pt|assignment\.json|output\.log|stacks\.txt|{re.escape(TEMPORARY_PREFIX)}.*)"
)
_ENTRY_BYTES = 80  # of one file in an answer, beside its name


def list_files(job_dir: Path, limit: int, after: str | None) -> FilePage:
    """Return a page of a job's files, by name."""
    start = () if after is None else tuple(after.split("/"))
    found = list(islice(_walk(job_dir, start), limit + 1))
    fitting = min(how_many_fit(_ENTRY_BYTES + 6 * len(one.name) for one in found), limit)
    return FilePage(found[:fitting], found[fitting - 1].name if fitting < len(found) else None)


def find_file(job_dir: Path, name: str) -> Path:
    """Return where the file of that name is; raises `JobFileNotFound`."""
    parts = name.split("/")
    path = job_dir
    mode = 0
    if _TOP.fullmatch(parts[0]) and not _OURS.fullmatch(name) and not {"", ".", ".."} & set(parts):
        try:
            for part in parts:
                path /= part
                mode = path.lstat().st_mode
                if stat.S_ISLNK(mode):
                    break
        except (OSError, ValueError):  # absent, or a name that no file can have
            mode = 0
    if not stat.S_ISREG(mode):
        raise JobFileNotFound(f"The job has no file {clipped(name)!r}.")
    return path


def _walk(job_dir: Path, after: tuple[str, ...]) -> Iterator[JobFile]:
    """Yield the files whose path is beyond `after`, each folder's entries by name."""
    open_folders = [iter(_entries(job_dir))]
    while open_folders:
        entry = next(open_folders[-1], None)
        if entry is None:
            open_folders.pop()
            continue
        name = os.path.relpath(entry.path, job_dir)
        parts = Path(name).parts
        if not _TOP.fullmatch(parts[0]) or _OURS.fullmatch(name):
            continue
        if entry.is_dir(follow_symlinks=False):
            if parts >= after[: len(parts)]:
                open_folders.append(iter(_entries(Path(entry.path))))
        elif parts > after and len(parts) > 1 and entry.is_file(follow_symlinks=False):
            try:
                facts = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # just removed
                continue
            yield JobFile(name, facts.st_size, facts.st_mtime)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return a folder's entries by name, without unprintable names; none where it was just removed."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if entry.name.isprintable()), key=lambda entry: entry.name)
    except FileNotFoundError:
        return []
