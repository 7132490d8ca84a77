"""Commands about a root on this machine's disk, which need no server."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from traind.service.cli.entry import Failed
from traind.service.cli.flags import Json
from traind.service.plain_text import plain

Root = Annotated[Path, Parameter(env_var="TRAIND_ROOT", help="the folder that holds everything")]
HERE = Path()


def backup(
    file: Annotated[Path, Parameter(help="the archive to write: .tar or .tar.gz")],
    *,
    root: Root = HERE,
    force: Annotated[bool, Parameter(negative="", help="write over a file that is there")] = False,
    as_json: Json = False,
) -> None:
    """Write a root to one archive, also while a server runs on it. Unpack it into an empty folder to restore it."""
    from traind.service.cli.datasets import size_text
    from traind.service.cli.show import print_json
    from traind.service.recovery.backup import back_up
    from traind.service.settings import Layout

    if file.exists() and not force:
        raise Failed(f"{file} exists.", hint="--force writes over it.")
    made = back_up(Layout(root), file.absolute())
    if as_json:
        print_json(made)
    else:
        print(f"{file}: {made.jobs} jobs, {made.files} files, {size_text(made.size_bytes)}")


def check(*, root: Root = HERE, as_json: Json = False) -> None:
    """Check every file of a root and list what is damaged or missing. Changes nothing; also while a server runs."""
    from traind.service.cli.show import print_json
    from traind.service.recovery.check import check_root
    from traind.service.settings import Layout

    flaws = list(check_root(Layout(root)))
    if as_json:
        print_json(flaws)
    else:
        for flaw in flaws:
            print(plain(f"{flaw.path}: {flaw.message}"))
    if flaws:
        raise Failed(f"{len(flaws)} files in {root.absolute()} are damaged or missing.")
    if not as_json:
        print(f"{root.absolute()} is whole")
