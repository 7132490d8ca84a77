"""The manual: it is built without a warning, what it shows runs, and every name of the code stands in it."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from traind.service.cli.app import COMMANDS
from traind.service.http import openapi
from traind.service.http.operations import OPERATIONS
from traind.service.http.telemetry import Telemetry
from traind.service.jobs.job import Job
from traind.service.settings import Settings
from traind.service.studies.events import AnyStudyEvent, StudyStatus, TrialStatus
from traind.service.studies.request import Dimension, SubmitStudy
from traind.service.studies.study import Study, Trial
from traind.trainer.contract.events import AnyEvent, Status
from traind.trainer.contract.spec import TrainSpec

DOCS = Path(__file__).parents[2] / "docs"
SPECIMENS = {path.name: path.read_text() for path in DOCS.glob("*.md")}
ELSEWHERE = {"embedding.md", "replay.md"}  # whose blocks other tests run
ALONE = ("scikit-learn.md", "studies.md", "training.md")  # each block is a program of its own


def blocks(page: str) -> list[tuple[str, str]]:
    """Return the kind and the text of a page's blocks that can run."""
    return re.findall(r"^```(bash|python)\n(.*?)^```", SPECIMENS[page], re.DOTALL | re.MULTILINE)


def test_every_page_with_blocks_that_can_run_is_run_somewhere() -> None:
    assert {page for page in SPECIMENS if blocks(page)} == {"tutorial.md", "backup.md", *ALONE} | ELSEWHERE


@pytest.mark.faults  # `.ci/run` builds it by `make docs`
@pytest.mark.timeout(300)
def test_it_is_built_without_a_warning_and_every_page_is_in_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "-n", "-q", "-b", "html"]
    built = subprocess.run([*command, str(DOCS), str(tmp_path)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    index = (tmp_path / "index.html").read_text()
    assert {page for page in SPECIMENS if f'href="{page.removesuffix(".md")}.html"' not in index} <= {"index.md"}
    assert not re.search(r'(?:src|href)="https?://[^"]*\.(?:js|css|woff2?)', index)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the reader has it: empty."""
    return tmp_path_factory.mktemp("manual")


@pytest.fixture
def environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.mark.timeout(300)
def test_the_tutorial_runs_from_top_to_bottom_and_then_the_backup(
    workshop: Path, server: Any, free_port: int, environment: dict[str, str]
) -> None:
    for page in ("tutorial.md", "backup.md"):
        for kind, text in blocks(page):
            here = text.replace("http://127.0.0.1:3001", server.url).replace("port=8080", f"port={free_port}")
            if kind == "python":
                (workshop / "app.py").write_text(here)
                continue
            shown = here.replace("curl ", "curl -sS --fail-with-body ")
            done = subprocess.run(
                ["bash", "-euc", shown], cwd=workshop, capture_output=True, text=True, env=environment, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
    assert (workshop / "predicted.csv").read_text().startswith("sqft_living,bedrooms,zipcode,price,prediction\n")
    assert (workshop / "restored/models/first.pt").is_file()
    house = "sqft_living=2000&bedrooms=3&zipcode=98103"
    with subprocess.Popen([sys.executable, "app.py"], cwd=workshop, stdout=subprocess.DEVNULL) as app:
        try:
            price = ask(f"http://127.0.0.1:{free_port}/price?{house}", app)["price"]
        finally:
            app.send_signal(signal.SIGINT)
    assert 300_000 < price < 1_000_000


@pytest.mark.parametrize("page", ALONE)
def test_blocks_that_are_programs_run(page: str, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "traind", "sample", "houses.csv"], cwd=tmp_path, check=True)
    for _, text in blocks(page):
        command = [sys.executable, "-W", "error", "-c", text]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def ask(url: str, app: subprocess.Popen[bytes]) -> Any:
    """Return what an app answers, once it listens."""
    while app.poll() is None:
        with suppress(urllib.error.URLError), urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)
    pytest.fail("the app ended")


def structs_of(union: Any) -> list[msgspec.inspect.StructType]:
    """Return the kinds of events that a union has."""
    found = msgspec.inspect.type_info(union)
    assert isinstance(found, msgspec.inspect.UnionType)
    return [kind for kind in found.types if isinstance(kind, msgspec.inspect.StructType)]


def names() -> dict[str, set[str]]:
    """Return every name that a reader may look up, by its kind."""
    structs, of_studies = structs_of(AnyEvent), structs_of(AnyStudyEvent)
    return {
        "setting": set(Settings.__struct_fields__),
        "flag of serve": {f"--{name.replace('_', '-')}" for name in Settings.__struct_fields__},
        "variable": {f"TRAIND_{name.upper()}" for name in Settings.__struct_fields__},
        "field of a spec": set(TrainSpec.__struct_fields__),
        "field of a job": set(Job.__struct_fields__),
        "event": {str(kind.tag) for kind in structs},
        "field of an event": {field.name for kind in structs for field in kind.fields},
        "state": set(Status),
        "event of a study": {str(kind.tag) for kind in of_studies},
        "field of a study's event": {field.name for kind in of_studies for field in kind.fields},
        "field of a study": {*Study.__struct_fields__, *Trial.__struct_fields__, *SubmitStudy.__struct_fields__},
        "field of a dimension": set(Dimension.__struct_fields__),
        "state of a study": {*StudyStatus, *TrialStatus},
        "error": openapi.codes() - {"service_error"},  # which only its children are raised as
        "call": {one.path for one in OPERATIONS},
        "command": {f"traind {name}" for name in COMMANDS},
        "metric": {family.name for family in Telemetry().registry.collect() if family.name.startswith("traind_")},
    }


@pytest.mark.parametrize("kind", names())
def test_every_name_of_the_code_stands_in_the_manual(kind: str) -> None:
    manual = "\n".join(SPECIMENS.values())
    missing = {name for name in names()[kind] if not re.search(rf"(?<![\w-]){re.escape(name)}(?!\w)", manual)}
    if kind == "metric":
        missing = {name for name in missing if f"{name}_total" not in manual}
    assert missing == set()
