"""A job's curves for drawing: folded from its events, rewound at resumed attempts, thinned.

Thinning keeps the first, last, lowest and highest point of each bucket, so that a spike stays a spike. Read-only;
called by the service.
"""

import asyncio
from itertools import islice
from typing import Any

from traind.service.engine.engine import Engine
from traind.service.jobs.points import points_of
from traind.trainer.contract.events import AnyEvent, Epoch, Metric, Progress, State, decode_event

PAGE = 5_000
MOST_POINTS, LEAST_POINTS = 16_000, 10  # of all curves together, and of one: an answer stays below a megabyte
MOST_SERIES = 500
MOST_EPOCHS = 2_000
MOST_ATTEMPTS = 1_000
Points = list[tuple[int, float | None]]


class Curves:
    """Every series of one job so far."""

    def __init__(self) -> None:
        self.series: dict[str, Points] = {}
        self.epochs: list[dict[str, Any]] = []
        self.attempts: list[dict[str, Any]] = []
        self._attempt = 1

    def add(self, event: AnyEvent) -> None:
        """Fold one event in; the first state of a resumed attempt takes back the points after its step."""
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
        if isinstance(event, Progress | Epoch | Metric):
            for name, value in points_of(event):
                self.series.setdefault(name, []).append((event.step, value))

    def thinned(self, points: int) -> dict[str, Any]:
        """Return the series as `{"step": [...], "value": [...]}`, and the epochs."""
        series = {}
        points = max(LEAST_POINTS, min(points, MOST_POINTS // max(1, len(self.series))))
        for name, values in islice(self.series.items(), MOST_SERIES):
            kept = _thin(values, points)
            series[name] = {"step": [step for step, _ in kept], "value": [value for _, value in kept]}
        stride = max(1, len(self.epochs) // min(points, MOST_EPOCHS))
        best = [epoch for epoch in self.epochs if epoch["is_best"]][-1:]
        epochs = [epoch for epoch in self.epochs[::-stride][::-1] if epoch not in best] + best
        return {"series": series, "epochs": sorted(epochs, key=_step), "attempts": self.attempts[-MOST_ATTEMPTS:]}

    def _rewind(self, step: int) -> None:
        for values in self.series.values():
            while values and values[-1][0] > step:
                values.pop()
        while self.epochs and self.epochs[-1]["step"] > step:
            self.epochs.pop()


async def curve(engine: Engine, job_id: str, points: int) -> dict[str, Any]:
    """Return a job's thinned curves and the `seq` up to which they go."""
    curves = Curves()
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
        curves.add(decode_event(body))


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
