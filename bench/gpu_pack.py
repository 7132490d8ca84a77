"""The check of GPUs as one script, for a machine that has nothing but Python, torch and numpy."""

import sys
import zipfile
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parent.parent
CARRIED = ("msgspec", "rtdl_num_embeddings", "safetensors", "tabm", "typing_extensions", "aiofiles")
OURS = ("data", "trainer", "service")
START = """import os, runpy, sys, tempfile, zipfile
if sys.version_info[:2] != {version}:
    sys.exit("this script carries modules of Python {version}")
with tempfile.TemporaryDirectory() as folder:  # compiled modules are not imported from an archive
    zipfile.ZipFile(sys.argv[0]).extractall(folder)
    sys.path.insert(0, folder)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
    os.environ["TRAIND_BENCH_RESULTS"] = os.path.abspath("gpu-results")
    runpy.run_module("bench.gpu", run_name="__main__", alter_sys=True)
"""


def pack(path: Path) -> None:
    """Write a script that runs `bench.gpu` with what this environment has installed for it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__main__.py", START.format(version=sys.version_info[:2]))
        for file in sorted((ROOT / "src/traind").glob("*.py")):
            archive.write(file, f"traind/{file.name}")
        for name in OURS:
            _add(archive, ROOT / name, f"traind/{name}")
        _add(archive, ROOT / "bench", "bench")
        for name in (*CARRIED, "traind"):
            for file in metadata.files(name) or ():
                is_ours = name == "traind" and ".dist-info" not in str(file)
                if ".." not in file.parts and file.suffix != ".pyc" and not is_ours and file.locate().exists():
                    archive.write(str(file.locate()), str(file))
    print(f"written to {path}, {path.stat().st_size / 1e6:.1f} MB")


def _add(archive: zipfile.ZipFile, folder: Path, name: str) -> None:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts and "results" not in file.parts:
            archive.write(file, f"{name}/{file.relative_to(folder)}")
