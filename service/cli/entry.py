"""Runs a command: exit codes, errors as sentences, Ctrl-C. Only faults of traind itself show a traceback.

0    done; a job that was followed is completed or stopped
1    refused or failed, with a message on standard error
2    the command line itself is wrong
70   the server's engine stopped by an internal error; it goes on when it is started again
130  interrupted
"""

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from traind.data.errors import DataError
from traind.service.errors import ServiceError, described
from traind.service.plain_text import plain_lines
from traind.trainer.contract.errors import TrainerError

OK, REFUSED, MISUSED, BROKEN, INTERRUPTED = 0, 1, 2, 70, 130


class Failed(Exception):
    """Ends a command with a message and an exit code."""

    def __init__(
        self, message: str, *, hint: str | None = None, details: Sequence[str] = (), code: int = REFUSED
    ) -> None:
        super().__init__(message)
        self.hint = hint
        self.details = details
        self.code = code


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    from cyclopts import CycloptsError

    from traind.service.cli.app import app

    try:
        app(_dashed(arguments), exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        return _say(f"{error}", hint=_usage(arguments), code=MISUSED)
    except Failed as failed:
        return _say(str(failed), hint=failed.hint, details=failed.details, code=failed.code)
    except (ServiceError, DataError, TrainerError) as error:
        shown = described(error)
        hint = _token_hint() if error.code == "unauthorized" else shown["hint"]
        return _say(shown["message"], hint=hint, details=_details(shown["details"]))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has closed it
        _close_output()
        return OK
    except OSError as error:
        return _say(f"{error.filename}: {error.strerror}." if error.filename else f"{error}.")
    return OK


def _dashed(arguments: list[str]) -> list[str]:
    """Return the arguments with `--batch_size` as `--batch-size`: elsewhere the fields have underscores."""
    flags = [part for part in arguments if part.startswith("--")]
    renamed = {flag: flag.split("=", 1)[0].replace("_", "-") + flag[len(flag.split("=", 1)[0]) :] for flag in flags}
    return [renamed.get(part, part) for part in arguments]


@contextlib.contextmanager
def about(path: Path) -> Iterator[None]:
    """Put the file's name before an error about its content."""
    try:
        yield
    except DataError as error:
        shown = described(error)
        raise Failed(f"{path}: {shown['message']}", hint=shown["hint"], details=_details(shown["details"])) from None


def _details(details: Iterable[dict[str, Any]]) -> list[str]:
    """Return one line for each problem of an error, if there are several."""
    lines = dict.fromkeys(": ".join(filter(None, (_place(detail), detail.get("msg", "")))) for detail in details)
    return list(lines) if len(lines) > 1 else []


def _place(detail: dict[str, Any]) -> str:
    line = detail.get("line")
    return ", ".join(filter(None, (f"line {line}" if line else "", detail.get("loc", ""))))


def _say(message: str, *, hint: str | None = None, details: Sequence[str] = (), code: int = REFUSED) -> int:
    """Write an error to standard error and return the exit code."""
    with contextlib.suppress(BrokenPipeError):
        for line in (f"traind: {message}", *(f"  {detail}" for detail in details), *((f"  {hint}",) if hint else ())):
            print(plain_lines(line), file=sys.stderr)
    return code


def _token_hint() -> str:
    """Return what to do about a missing or wrong token."""
    if os.environ.get("TRAIND_TOKEN"):
        return "TRAIND_TOKEN is set to a token that this server does not know: ask its operator."
    return "Put the server's token into the environment: export TRAIND_TOKEN=..."


def _usage(arguments: list[str]) -> str:
    from traind.service.cli.app import COMMANDS

    command = next((part for part in arguments if not part.startswith("-")), None)
    return f"See `traind {command} --help`." if command in COMMANDS else "See `traind --help`."


def _close_output() -> None:
    """Keep Python from complaining about the closed pipe when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
