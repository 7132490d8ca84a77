"""Commands about a job's output and the files of its trainer."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from traind.service.cli.entry import Failed
from traind.service.cli.flags import JobId, Json, Remote
from traind.service.plain_text import plain, plain_lines

if TYPE_CHECKING:
    from traind.service.client.synchronous import SyncClient
    from traind.service.results import JobFile

ANYWHERE = Remote()
HERE = Path()


def logs(
    job_id: JobId,
    *,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative="", help="go on until it is over")] = False,
    limit_bytes: Annotated[int, Parameter(help="how much of the end, in bytes, 1 to 1048576")] = 65_536,
    as_json: Json = False,
    remote: Remote = ANYWHERE,
) -> None:
    """Print the end of a job's output, and with --follow what it prints until it is over."""
    client = remote.client()
    pieces = client.follow_logs(job_id, limit_bytes) if follow else [client.logs(job_id, limit_bytes)]
    for piece in pieces:
        if as_json:
            from traind.service.cli.show import print_json

            print_json({"job_id": job_id, "logs": piece})
        else:
            print(plain_lines(piece), end="")
        sys.stdout.flush()


def files(job_id: JobId, *, as_json: Json = False, remote: Remote = ANYWHERE) -> None:
    """List the files that a job's trainer wrote: files/ are kept with the job, attempt-N/ with that attempt."""
    from traind.service.cli.datasets import size_text
    from traind.service.cli.show import print_json, print_table

    found = list(_all_files(remote.client(), job_id))
    if as_json:
        print_json(found)
        return
    rows = ([one.name, size_text(one.size_bytes), _clock(one.modified_at)] for one in found)
    print_table(["file", "size", "written"], rows)


def fetch(
    job_id: JobId,
    name: Annotated[tuple[str, ...], Parameter(help="names of files as `traind files` lists them; none: all")] = (),
    *,
    output: Annotated[
        Path, Parameter(name=["--output", "-o"], help="folder to write to, or for a single file also a file name")
    ] = HERE,
    force: Annotated[bool, Parameter(negative="", help="write over files that are there")] = False,
    as_json: Json = False,
    remote: Remote = ANYWHERE,
) -> None:
    """Download files that a job's trainer wrote; without names all of them, below a folder named as the job."""
    from traind.service.cli.show import print_json

    client = remote.client()
    targets = _targets(client, job_id, name, output)
    if not force and (there := next((path for path in targets.values() if path.exists()), None)) is not None:
        raise Failed(f"{there} exists.", hint="--force writes over it.")
    for one, path in targets.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        client.file_path(job_id, one, to=path)
        if not as_json:
            print(plain(str(path)))
    if as_json:
        print_json({one: str(path) for one, path in targets.items()})


def _targets(client: "SyncClient", job_id: str, names: tuple[str, ...], output: Path) -> dict[str, Path]:
    """Return where each file goes."""
    if not names:
        return {one.name: output / job_id / one.name for one in _all_files(client, job_id)}
    if len(names) == 1 and not output.is_dir():
        return {names[0]: output}
    targets = {one: output / PurePosixPath(one).name for one in names}
    if len(set(targets.values())) < len(targets):
        raise Failed("Two of the files have the same name.", hint="Fetch them one by one, or all without naming any.")
    return targets


def _all_files(client: "SyncClient", job_id: str) -> Iterator["JobFile"]:
    """Yield a job's files, page by page."""
    page = client.files(job_id)
    yield from page.files
    while page.next is not None:
        page = client.files(job_id, after=page.next)
        yield from page.files


def _clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
