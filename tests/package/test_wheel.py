"""What people install: the wheel holds everything and trains, away from the repository."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

LEFT_OUT = shutil.ignore_patterns(".*", "tests", "build", "dist", "*.egg-info", "artifacts", "models", "var", "bench")


def build(source: Path, into: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(into), str(source)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)


def copy_sources(repository: Path, into: Path) -> Path:
    return Path(shutil.copytree(repository, into, symlinks=True, ignore=top_level_only(repository)))


def top_level_only(repository: Path):
    """Leave out only at the top: `service/http/models.py` is not the folder `models`."""
    return lambda folder, names: (
        LEFT_OUT(folder, names) if Path(folder) == repository else {"__pycache__"} & set(names)
    )


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sdist, as `python -m build` does."""
    place = tmp_path_factory.mktemp("wheel")
    done = build(copy_sources(repository, place / "sources"), place / "dist")
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = (place / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel in it. Its dependencies are this environment's: a path file lends them, and
    the repository itself is not lent along, since path files of a lent folder are not read."""
    place = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True, timeout=60)
    (site,) = place.glob("lib/python*/site-packages")
    (site / "lent.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(place / "bin/python"), "install", "--no-deps", "--quiet"]
    subprocess.run([*pip, "--ignore-installed", str(wheel)], check=True, timeout=60)
    return place


def test_the_wheel_holds_every_module_and_file(repository: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for room in ("data", "trainer", "service"):
        for path in (repository / room).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert f"traind/{path.relative_to(repository)}" in names
    assert "traind/py.typed" in names
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"traind"}


def test_the_wheel_trains_away_from_the_repository(bare: Path, tmp_path: Path) -> None:
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    train = [bare / "bin/traind", "train", "--epochs", "2", "--batch-size", "256", "--lr", "0.01", "--job_id", "j"]
    done = subprocess.run(train, check=False, cwd=tmp_path, env=alone, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "artifacts/jobs/j.json").read_bytes())["status"] == "COMPLETED"
    code = "import traind; print(traind.__file__); print(type(traind.load_model('models/j.pt')).__module__)"
    ask = [bare / "bin/python", "-c", code]
    told = subprocess.run(
        ask, check=True, cwd=tmp_path, env=alone, capture_output=True, text=True, timeout=60
    ).stdout.split()
    assert Path(told[0]).is_relative_to(bare)
    assert told[1].startswith("traind.")


def test_sources_that_lost_the_links_refuse_to_build(repository: Path, tmp_path: Path) -> None:
    """As `zipfile` unpacks them: each link a text file with the target's name."""
    sources = copy_sources(repository, tmp_path / "sources")
    for room in ("data", "trainer", "service"):
        link = sources / "src/traind" / room
        target = str(link.readlink())
        link.unlink()
        link.write_text(target)
    done = build(sources, tmp_path / "dist")
    assert done.returncode != 0
    assert "src/traind/data is not a folder here" in done.stdout + done.stderr
    assert not list(tmp_path.glob("dist/*"))
