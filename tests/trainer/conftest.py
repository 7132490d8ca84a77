"""A job run attempt by attempt in this process, told to leave at any of its looks at the control."""

import csv
import hashlib
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
import torch

from traind.trainer.contract.change import RequestedChange, put
from traind.trainer.contract.control import Verb
from traind.trainer.contract.events import AnyEvent, State
from traind.trainer.contract.spec import DatasetFile, Place, TrainSpec
from traind.trainer.model.tensor_file import unpacked
from traind.trainer.run.attempt import run


class Control:
    """Gives `verb` from the `at`-th look on; the built-in trainer looks before each epoch and after each step.

    `asks` are changes that are requested at a look, by its number.
    """

    def __init__(
        self, verb: Verb = Verb.NONE, at: int = 0, asks: Mapping[int, RequestedChange] = MappingProxyType({})
    ) -> None:
        self.beat = 0
        self.phase = 0
        self.newest = 0
        self.box = b""
        self.looks = 0
        self._verb = verb
        self._at = at
        self._asks = asks
        self._asked: list[RequestedChange] = []

    @property
    def verb(self) -> int:
        self.looks += 1
        if (change := self._asks.get(self.looks)) is not None:
            self._asked.append(change)
            put(self, self._asked)
        return self._verb if self.looks >= self._at else Verb.NONE


@dataclass
class Job:
    """One job: each attempt has a folder of its own, and goes on from the one before."""

    root: Path
    spec: TrainSpec
    dataset: DatasetFile | None = None
    trainer: str = "traind.trainer.tabular.train:train"
    attempts: list[Path] = field(default_factory=list)
    events: list[AnyEvent] = field(default_factory=list)
    job_id: str = "job"

    def attempt(
        self,
        verb: Verb = Verb.NONE,
        at: int = 0,
        asks: Mapping[int, RequestedChange] = MappingProxyType({}),
        emit: Callable[[AnyEvent], None] | None = None,
        **place: Any,
    ) -> State:
        """Run one attempt that is told `verb` at its `at`-th look."""
        folder = self.root / f"attempt-{len(self.attempts) + 1}"
        folder.mkdir(parents=True)
        place = Place(
            job_id=self.job_id,
            attempt=len(self.attempts) + 1,
            attempt_dir=str(folder),
            earlier_dirs=tuple(str(earlier) for earlier in reversed(self.attempts)),
            dataset=self.dataset,
            trainer=self.trainer,
            **place,
        )
        self.attempts.append(folder)
        return run(self.spec, emit or self.events.append, place, Control(verb, at, asks))

    def extended(self, **fields: Any) -> None:
        """Change fields of the spec, as `resume` with more epochs does."""
        self.spec = msgspec.structs.replace(self.spec, **fields)

    def reported(self, kind: type) -> list[Any]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def checkpoint(self) -> dict[str, Any]:
        """Return the content of the newest checkpoint."""
        folder = next(one for one in reversed(self.attempts) if list(one.glob("checkpoint-*.pt")))
        return unpacked(max(folder.glob("checkpoint-*.pt")).read_bytes())


@pytest.fixture
def new_job(tmp_path: Path) -> Callable[..., Job]:
    """Make jobs below the test's folder: `new_job(file=None, **fields of the spec)`."""
    made: list[Job] = []

    def make(file: DatasetFile | None = None, runs: str = "traind.trainer.tabular.train:train", **fields: Any) -> Job:
        spec = msgspec.convert(fields, TrainSpec)
        made.append(Job(tmp_path / f"job-{len(made)}", spec, file, runs))
        return made[-1]

    return make


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], DatasetFile]:
    """Make small files of numbers, categories and gaps whose target is `value`, `flag` (2 classes) or `kind` (3)."""
    folder = tmp_path_factory.mktemp("tables")

    def make(target: str, rows: int = 80) -> DatasetFile:
        path = folder / f"{target}-{rows}.csv"
        if not path.exists():
            with path.open("w", newline="") as file:
                csv.writer(file).writerows([["a", "b", "colour", "shop", target], *_rows(target, rows)])
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return DatasetFile(target, digest, str(path), "csv", path.stat().st_size)

    return make


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, table: Callable[[str], DatasetFile]) -> dict[str, Any]:
    """A finished model of each task, made once: target -> (path, data set)."""
    made = {}
    for target in ("value", "flag", "kind"):
        fields = {"dataset": target, "epochs": 6, "batch_size": 16, "validation": {"test_fraction": 0.1}}
        job = Job(tmp_path_factory.mktemp(target), msgspec.convert(fields, TrainSpec), table(target))
        last = job.attempt()
        assert last.result is not None, last
        made[target] = (Path(str(last.result.model_path)), table(target))
    return made


def _rows(target: str, rows: int) -> Iterator[list[Any]]:
    draw = random.Random(1)
    for _ in range(rows):
        a, b = draw.gauss(0, 1), draw.gauss(5, 3)
        colour, shop = draw.choice(["red", "green", "blue"]), f"s{draw.randrange(12)}"
        value = a * 2 + (colour == "red") * b + draw.gauss(0, 0.3)
        said = {"value": round(value, 4), "flag": "yes" if value > 1 else "no"}
        said["kind"] = "low" if value < 0 else "mid" if value < 2 else "high"
        yield [round(a, 4), "" if draw.random() < 0.1 else round(b, 4), colour, shop, said[target]]


def fingerprint(tree: Any) -> str:
    """Return a digest of every bit in nested tensors and plain values, in the order of the keys."""
    digest = hashlib.sha256()

    def add(node: Any) -> None:
        if isinstance(node, torch.Tensor):
            digest.update(f"{node.dtype}{list(node.shape)}".encode())
            digest.update(node.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        elif isinstance(node, dict):
            for key in sorted(node, key=str):
                digest.update(f"{key}:".encode())
                add(node[key])
        elif isinstance(node, list | tuple):
            for item in node:
                add(item)
        else:
            digest.update(repr(node).encode())

    add(tree)
    return digest.hexdigest()


@pytest.fixture(scope="session", name="fingerprint")
def _fingerprint() -> Callable[[Any], str]:
    return fingerprint
