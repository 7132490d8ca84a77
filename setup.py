"""Stops a build that would make an empty package; all else about the build is in pyproject.toml."""

from pathlib import Path

from setuptools import setup

MISSING = [
    name for name in ("data", "trainer", "service") if not (Path(__file__).parent / "src/traind" / name).is_dir()
]

if MISSING:
    raise SystemExit(
        f"src/traind/{MISSING[0]} is not a folder here. In the repository it is a symbolic link, and "
        "unpacking a .zip of the sources loses it: clone with git, or install the wheel or the .tar.gz."
    )

setup()
