"""`traind completion`: the shell's completion of commands and flags."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from traind.service.cli.entry import Failed

Shell = Literal["bash", "zsh", "fish"]


def completion(
    shell: Annotated[Shell | None, Parameter(help="the shell; by default the one that this runs in")] = None,
    *,
    install: Annotated[
        bool,
        Parameter(negative="", help="write it and a line in the shell's start-up file"),
    ] = False,
) -> None:
    """Print the completion script of commands and flags, or install it for this user."""
    from cyclopts.completion.detect import ShellDetectionError

    from traind.service.cli.app import app

    try:
        if install:
            print(f"{_installed(shell)}: begin a new shell to use it")
        else:
            print(app.generate_completion(prog_name="traind", shell=shell))
    except ShellDetectionError:
        raise Failed("The shell cannot be detected.", hint="Name it: bash, zsh or fish.") from None


def _installed(shell: Shell | None) -> Path:
    from traind.service.cli.app import app

    return app.install_completion(shell=shell)
