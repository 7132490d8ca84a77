"""The lines of `traind status` and columns of `traind jobs` about a job's data, settings, score and times."""

import time
from typing import Any

import msgspec

from traind.service.cli.show import COMPARED, number
from traind.service.jobs.job import Job, scores
from traind.service.plain_text import plain
from traind.trainer.contract.spec import TrainSpec

_DEFAULTS = msgspec.to_builtins(TrainSpec())
_ELSEWHERE = {"dataset", "target", "trainer", "name", "tags", "start_from"}  # have lines of their own
_CHOSEN = ("epochs", "batch_size", "lr", "optimizer", "schedule")  # the fields of a recipe that are shown
_PHASES = {"queued_s": "waited", "loading_s": "loading", "running_s": "training"}
MINUTE_S, HOUR_S, DAY_S = 60.0, 3_600.0, 86_400.0


def job_facts(job: Job) -> list[tuple[str, str]]:
    """Return a job's facts as pairs of a name and a text."""
    facts = [("data", _data(job)), ("trainer", "" if job.spec.trainer == "tabular" else job.spec.trainer)]
    facts += [("settings", _settings(job)), ("chosen", _chosen(job)), ("device", job.device or "")]
    facts += [("begun", f"at step {job.parent.step} of {job.parent.job_id}" if job.parent is not None else "")]
    facts += [("tags", ", ".join(job.spec.tags)), ("name", job.name or ""), ("notes", job.notes or "")]
    facts += [("times", _times(job)), ("spent", _spent(job))]
    return [(name, plain(text)) for name, text in facts if text]


def score_of(job: Job, metric: str | None = None) -> str:
    """Return name and value of a metric, and the baseline's; by default of the job's monitor, or a common one."""
    measured = scores(job)
    wanted = (metric,) if metric else (*(() if job.spec.monitor == "val_loss" else (job.spec.monitor,)), *COMPARED)
    name = next((one for one in wanted if one in measured), None if metric else next(iter(measured), None))
    if name is None:
        return ""
    baseline = job.baseline.get(name)
    return f"{name} {number(measured[name])}" + (f" (baseline {number(baseline)})" if baseline is not None else "")


def data_of(job: Job) -> str:
    """Return the name of a job's data set, or `synthetic`."""
    if job.spec.dataset is not None:
        return job.spec.dataset
    return "synthetic" if job.spec.trainer == "tabular" else ""


def duration(seconds: float) -> str:
    """Return a duration as people read it."""
    if seconds < MINUTE_S:
        return f"{seconds:.1f} s"
    if seconds < HOUR_S:
        return f"{int(seconds // MINUTE_S)} min {int(seconds % MINUTE_S)} s"
    if seconds < DAY_S:
        return f"{int(seconds // HOUR_S)} h {int(seconds % HOUR_S // MINUTE_S)} min"
    return f"{int(seconds // DAY_S)} d {int(seconds % DAY_S // HOUR_S)} h"


def _data(job: Job) -> str:
    target = job.spec.target or job.report.get("schema", {}).get("target")
    version = f", version {job.dataset.digest[:12]}" if job.dataset is not None else ""
    return f"{data_of(job)}{version}{f', target {target}' if target else ''}".removeprefix(", ")


def _settings(job: Job) -> str:
    """Return the settings that differ from the defaults."""
    values = msgspec.to_builtins(job.spec)
    changed = {name: one for name, one in values.items() if one != _DEFAULTS[name] and name not in _ELSEWHERE}
    return _listed(changed)


def _chosen(job: Job) -> str:
    """Return the recipe's choices for fields that are auto in the spec."""
    recipe = job.report.get("recipe", {})
    chosen = {name: recipe[name] for name in _CHOSEN if name in recipe and getattr(job.spec, name) == "auto"}
    kind = recipe.get("network", {}).get("kind")
    return _listed(({"model": kind} if kind and job.spec.model == TrainSpec().model else {}) | chosen)


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_shown(value)}" for name, value in values.items())


def _shown(value: Any) -> str:
    if isinstance(value, dict) and set(value) == {"kind"}:
        return str(value["kind"])
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _times(job: Job) -> str:
    stamps = {"accepted": job.created_at, "started": job.started_at, "ended": job.finished_at}
    return ", ".join(f"{name} {_clock(at)}" for name, at in stamps.items() if at is not None)


def _spent(job: Job) -> str:
    spent = [f"{word} {duration(job.timings[name])}" for name, word in _PHASES.items() if name in job.timings]
    attempts = [f"{job.attempt} attempts"] if job.attempt > 1 else []
    return ", ".join([*spent, *attempts])


def _clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
