"""A job's curves for drawing, made from its events: rewound at resumed attempts and thinned.

Thinning keeps the first, last, lowest and highest point of each bucket, so that no spike disappears. Called by the
service; changes nothing.
"""

import asyncio
from collections.abc import Collection
from itertools import islice
from typing import Any

import msgspec
from msgspec import Struct

from traind.service.engine.engine import Engine
from traind.service.jobs.points import points_of
from traind.trainer.contract.events import AnyEvent, Epoch, Metric, Progress, State, Status, decode_event

PAGE = 5_000
MOST_POINTS, LEAST_POINTS = 16_000, 10  # of all curves together, and of one curve: answers stay below a megabyte
MOST_SERIES = 500
MOST_EPOCHS = 2_000
MOST_ATTEMPTS = 1_000
Points = list[tuple[int, float | None]]
OF_STEPS = frozenset({"loss", "lr", "samples_per_s"})
UNWANTED_STEPS = 8  # of so many steps one is looked at where only other series are wanted: for the time
PROGRESS = b'{"type":"progress",'  # what most events begin with


class Step(Struct, tag="progress", gc=False):
    """What a curve needs of a progress event: a job has thousands of them."""

    step: int
    ts: float
    loss: float | None = None
    lr: float | None = None
    samples_per_s: float | None = None
    metrics: dict[str, float | None] | None = None


_decode_step = msgspec.json.Decoder(Step).decode


class RunningTime:
    """Seconds of running at each step, over all attempts; while nobody worked on the job none pass."""

    def __init__(self) -> None:
        self.points: Points = []
        self._ran_s = 0.0  # by the stretches before
        self._began: float | None = None  # when this stretch began
        self._newest = 0.0  # time of its newest point

    def enter(self, event: State) -> None:
        """Begin a stretch, or end it where its newest point was."""
        if self._began is not None:
            self._ran_s += max(0.0, self._newest - self._began)
        self._began = event.ts if event.status is Status.RUNNING else None
        self._newest = event.ts

    def add(self, step: int, ts: float) -> None:
        """Note when a step was taken."""
        self._newest = ts
        ran_s = self._ran_s + (0.0 if self._began is None else max(0.0, ts - self._began))
        if not self.points or step > self.points[-1][0]:
            self.points.append((step, round(ran_s, 3)))


class Curves:
    """Every series of one job so far, or only those that are wanted."""

    def __init__(self, wanted: Collection[str] = ()) -> None:
        self._wanted = wanted
        self._has_steps = not wanted or any(name in OF_STEPS or name.startswith("custom.") for name in wanted)
        self._steps = 0
        self.series: dict[str, Points] = {}
        self.epochs: list[dict[str, Any]] = []
        self.attempts: list[dict[str, Any]] = []
        self._time = RunningTime()
        self._attempt = 1

    def add(self, event: AnyEvent) -> None:
        """Add the points of one event; the first state of a resumed attempt removes the points after its step."""
        match event:
            case State(resumed_from_step=int(step), attempt=attempt) if attempt != self._attempt:
                self._attempt = attempt or self._attempt + 1
                self.attempts.append({"attempt": self._attempt, "resumed_from_step": step})
                self._rewind(step)
            case Epoch():
                ended = {"epoch": event.epoch, "step": event.step, "is_best": event.is_best}
                self.epochs.append(ended if event.monitor is None else {**ended, "monitor": event.monitor})
            case _:
                pass
        if isinstance(event, State):
            self._time.enter(event)
        if isinstance(event, Progress | Epoch | Metric):
            for name, value in points_of(event):
                self._point(name, event.step, value)
            self._time.add(event.step, event.ts)

    def add_body(self, body: bytes) -> None:
        """Fold one encoded event in: progress by a shorter way, and little of it where none is wanted."""
        if not body.startswith(PROGRESS):
            self.add(decode_event(body))
            return
        self._steps += 1
        if not self._has_steps and self._steps % UNWANTED_STEPS != 1:
            return
        event = _decode_step(body)
        step = event.step
        self._point("loss", step, event.loss)
        if event.lr is not None:
            self._point("lr", step, event.lr)
        if event.samples_per_s is not None:
            self._point("samples_per_s", step, event.samples_per_s)
        if event.metrics:
            for name, value in event.metrics.items():
                self._point(f"custom.{name}", step, value)
        self._time.add(step, event.ts)

    def _point(self, name: str, step: int, value: float | None) -> None:
        values = self.series.get(name)
        if values is None:
            values = self.series[name] = []
        values.append((step, value))

    def thinned(self, points: int) -> dict[str, Any]:
        """Return the series and the time as `{"step": [...], "value": [...]}`, the names of all, and the epochs."""
        chosen = {name: values for name, values in self.series.items() if not self._wanted or name in self._wanted}
        points = max(LEAST_POINTS, min(points, MOST_POINTS // max(1, len(chosen))))
        series = {name: _listed(_thin(values, points)) for name, values in islice(chosen.items(), MOST_SERIES)}
        stride = max(1, len(self.epochs) // min(points, MOST_EPOCHS))
        best = [epoch for epoch in self.epochs if epoch["is_best"]][-1:]
        epochs = [epoch for epoch in self.epochs[::-stride][::-1] if epoch not in best] + best
        return {
            "series": series,
            "names": list(islice(self.series, MOST_SERIES)),
            "seconds": _listed(self._time.points[:: -max(1, len(self._time.points) // points)][::-1]),
            "epochs": sorted(epochs, key=_step),
            "attempts": self.attempts[-MOST_ATTEMPTS:],
        }

    def _rewind(self, step: int) -> None:
        for values in (*self.series.values(), self._time.points):
            while values and values[-1][0] > step:
                values.pop()
        while self.epochs and self.epochs[-1]["step"] > step:
            self.epochs.pop()


async def curve(engine: Engine, job_id: str, points: int, wanted: Collection[str] = ()) -> dict[str, Any]:
    """Return a job's thinned curves and the `seq` up to which they go; `wanted` names series, none: all."""
    curves = Curves(wanted)
    seq = 0
    job = await engine.job(job_id)
    while rows := await engine.journal.store.events(job_id, seq, PAGE):
        seq = rows[-1][0]
        await asyncio.to_thread(_add_all, curves, [body for _, body in rows])
        if seq >= job.seq:
            break
    return {"job_id": job_id, "last_seq": seq, **await asyncio.to_thread(curves.thinned, points)}


def _add_all(curves: Curves, bodies: list[bytes]) -> None:
    for body in bodies:
        curves.add_body(body)


def _listed(points: Points) -> dict[str, Any]:
    return {"step": [step for step, _ in points], "value": [value for _, value in points]}


def _step(epoch: dict[str, Any]) -> int:
    return int(epoch["step"])


def _thin(values: Points, points: int) -> Points:
    """Return about `points` of the values: of each bucket the first, last, lowest and highest, in order."""
    if len(values) <= points:
        return values
    size = -(-len(values) * 4 // points)
    kept: Points = []
    for start in range(0, len(values), size):
        bucket = values[start : start + size]
        numbers = [place for place, (_, value) in enumerate(bucket) if value is not None]
        places = {0, len(bucket) - 1}
        if numbers:
            places |= {min(numbers, key=lambda place: bucket[place][1] or 0.0)}
            places |= {max(numbers, key=lambda place: bucket[place][1] or 0.0)}
        kept += [bucket[place] for place in sorted(places)]
    return kept
