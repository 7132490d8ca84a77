"""A trainer's source: its import by reference, and its digest.

A reference is `module:function`, or `folder/file.py:function`. The digest covers the source files of the trainer's
own project that its import loaded. A process never imports code twice, so a long-lived one has to notice when a file
changes.
"""

import hashlib
import importlib
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import traind
from traind.trainer.contract.errors import UserCodeError
from traind.trainer.contract.values import text

_OURS = f"{Path(traind.__file__).parent}{os.sep}"
_INSTALLED = ("site-packages", "dist-packages", f"python{sys.version_info[0]}.{sys.version_info[1]}")


@dataclass(frozen=True, slots=True)
class Source:
    """The files of a trainer as they were when they were imported."""

    stamps: dict[Path, tuple[int, int]]  # of each file: time of its last change in ns, size in bytes
    digest: str  # sha256 over names and contents, hex
    module: str = ""  # name of the trainer's module

    def is_stale(self) -> bool:
        """Return whether a file has changed since it was imported."""
        return any(_stamp(path) != stamp for path, stamp in self.stamps.items())


_known: dict[str, Source] = {}


def imported(reference: str) -> tuple[Any, Source]:
    """Import `module:function` or `file.py:function`; return the function and its source.

    Raises `UserCodeError` with the error and its line where the import fails.
    """
    module, _, name = reference.rpartition(":")
    if not module or not name:
        raise UserCodeError(
            f"The trainer {reference!r} names no function.",
            hint='Write "package.module:function" or "file.py:function".',
        )
    try:
        found: Any = _module(module)
        source = _known.get(reference) or _known.setdefault(reference, _source(found))
        for part in name.split("."):
            found = getattr(found, part)
    except BaseException as error:  # a module may exit, too
        if isinstance(error, KeyboardInterrupt):
            raise
        raise UserCodeError(
            f"The trainer {reference} cannot be imported: {type(error).__name__}: "
            f"{text(error, 500)}{last_line(error)}",
            hint="Is it where Python looks for modules, in the current folder or installed where the server runs?",
        ) from error
    return found, source


def source_of(function: Any) -> Source:
    """Return the source of a function that is imported already."""
    module = sys.modules.get(getattr(function, "__module__", ""))
    return _source(module) if module is not None else Source({}, "")


def is_stale(reference: str) -> bool:
    """Return whether this process imported the trainer and its files have changed since."""
    return reference in _known and _known[reference].is_stale()


def note_loaded(reference: str) -> None:
    """Add the files that the trainer's project imported meanwhile, so that changes to them are noticed too."""
    if (known := _known.get(reference)) is not None and (module := sys.modules.get(known.module)) is not None:
        now = _source(module)
        _known[reference] = replace(known, stamps=now.stamps | known.stamps)


def _module(name: str) -> ModuleType:
    """Import a module by its name, or by its file, whose folder is then searched first, as `python file.py` does."""
    if not name.endswith(".py"):
        importlib.invalidate_caches()  # so that a file written just now is found
        return importlib.import_module(name)
    path = Path(name).resolve()
    if not path.is_file():
        raise ModuleNotFoundError(f"there is no file {path}")
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    importlib.invalidate_caches()
    module = importlib.import_module(path.stem)
    if Path(module.__file__ or "").resolve() != path:
        raise ImportError(
            f"another module is called {path.stem}: {module.__file__ or 'a built-in one'}; rename the file"
        )
    return module


def _source(module: ModuleType) -> Source:
    """Return the loaded files of a module's project: its package, or the folder of its file."""
    top = module.__name__.partition(".")[0]
    file = getattr(sys.modules.get(top, module), "__file__", None)
    if top == "traind" or not file:
        return Source({}, "")  # traind's own code: the version identifies it
    folder = f"{Path(file).parent}{os.sep}"
    own: dict[str, Path] = {}
    for name, other in list(sys.modules.items()):
        path = getattr(other, "__file__", None)
        if not isinstance(path, str) or not path.startswith(folder) or not path.endswith(".py"):
            continue
        package = name.partition(".")[0]
        if package == top or not (package == "traind" or _is_installed(Path(path))):
            own[name] = Path(path)
    digest = hashlib.sha256()
    for name, path in sorted(own.items()):
        digest.update(f"{name} {path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return Source({path: _stamp(path) for path in own.values()}, digest.hexdigest(), module.__name__)


def _is_installed(path: Path) -> bool:
    """Return whether a file belongs to an installed library or to Python."""
    return any(part in _INSTALLED for part in path.parts)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_mtime_ns, stat.st_size


def last_line(error: BaseException) -> str:
    """Return the file and line of user code where an import failed, as the end of a sentence."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({Path(error.filename).name}, line {error.lineno})"
    place, trace = "", error.__traceback__
    while trace is not None:
        if is_foreign(trace.tb_frame.f_code.co_filename):
            place = f" ({Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return place


def is_foreign(filename: str) -> bool:
    """Return whether a file is user code: neither traind's nor a library's."""
    return not filename.startswith(("<", _OURS)) and not _is_installed(Path(filename))
