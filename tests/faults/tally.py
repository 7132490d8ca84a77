"""What was done to servers, what they survived and what they did not: counted as the tests run, told at the end."""

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

BREACHES = ("job lost", "run twice", "torn file", "gap in seq", "other weights", "left behind", "other")
LANES = 2  # cases side by side: each is one server, and mostly waits for it


class Breach(NamedTuple):
    """One thing that must not be: its kind, of `BREACHES`, and what was seen."""

    kind: str
    text: str


@dataclass(eq=False)
class Case:
    """One server's life under one kind of fault."""

    fault: str
    seed: int | None
    asked: int = 0  # faults inflicted
    breaches: list[Breach] = field(default_factory=list)


class Tally:
    """Every case of a test run."""

    def __init__(self) -> None:
        self.cases: list[Case] = []
        self._lock = threading.Lock()

    @contextmanager
    def case(self, fault: str, seed: int | None = None) -> Iterator[Case]:
        """Count the faults of one server's life; at its end every breach is an error that names the seed."""
        case = Case(fault, seed)
        with self._lock:
            self.cases.append(case)
        try:
            yield case
        except BaseException as error:
            case.breaches.append(Breach("other", repr(error)))
            error.add_note(f"{fault}, seed {seed}")
            raise
        assert not case.breaches, f"{fault}, seed {seed}:\n" + "\n".join(map(str, case.breaches))

    def lines(self) -> Iterator[str]:
        """Say it as a table, with how to replay what failed."""
        faults = list(dict.fromkeys(case.fault for case in self.cases))
        width = max(map(len, faults), default=0)
        yield f"{'fault':{width}}  asked  survived  " + "  ".join(BREACHES) + "  seeds"
        for fault in faults:
            cases = [case for case in self.cases if case.fault == fault]
            asked = sum(case.asked for case in cases)
            survived = sum(case.asked for case in cases if not case.breaches)
            seen = Counter(breach.kind for case in cases for breach in case.breaches)
            counts = "  ".join(f"{seen[kind]:{len(kind)}}" for kind in BREACHES)
            yield f"{fault:{width}}  {asked:5}  {survived:8}  {counts}  {_span([case.seed for case in cases])}"
        for case in self.cases:
            if case.breaches and case.seed is not None:
                yield f"replay: SEEDS={case.seed} and the test of {case.fault!r}"


def _span(seeds: list[int | None]) -> str:
    known = sorted({seed for seed in seeds if seed is not None})
    if not known:
        return "-"
    return f"{known[0]}-{known[-1]}" if len(known) > 1 else str(known[0])


def seeds(usual: Iterable[int]) -> list[int]:
    """Return the seeds or numbers of a test's cases: those in `SEEDS` where it is set, to replay them."""
    asked = os.environ.get("SEEDS")
    return [int(seed) for seed in asked.split(",")] if asked else list(usual)


def side_by_side(case: Callable[[int], None], places: list[int]) -> None:
    """Run the case for each seed or number, two at a time, all of them; raise what they raised."""
    with ThreadPoolExecutor(LANES) as lanes:
        done = [lanes.submit(case, place) for place in places]
    errors = [error for one in done if (error := one.exception()) is not None]
    if errors:
        raise BaseExceptionGroup(f"{len(errors)} of {len(places)} cases", errors)
