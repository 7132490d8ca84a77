"""`traind completion`: the script by which a shell completes commands and flags."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from traind.service.cli.entry import Failed

Shell = Literal["bash", "zsh", "fish"]


def completion(
    shell: Annotated[Shell | None, Parameter(help="whose; by default the one that this runs in")] = None,
    *,
    install: Annotated[
        bool,
        Parameter(negative="", help="write it and a line in the shell's start-up file"),
    ] = False,
) -> None:
    """Print the script by which a shell completes commands and flags, or install it for this user."""
    from cyclopts.completion.detect import ShellDetectionError

    from traind.service.cli.app import app

    try:
        if install:
            print(f"{_installed(shell)}: begin a new shell to use it")
        else:
            print(app.generate_completion(prog_name="traind", shell=shell))
    except ShellDetectionError:
        raise Failed("Which shell this is cannot be told.", hint="Say it: bash, zsh or fish.") from None


def _installed(shell: Shell | None) -> Path:
    from traind.service.cli.app import app

    return app.install_completion(shell=shell)
