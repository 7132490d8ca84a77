"""`traind compare`: jobs beside each other: how good each is, and what they differ in; the best first."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import Parameter

from traind.service.cli.entry import Failed
from traind.service.cli.flags import Json, Remote

if TYPE_CHECKING:
    from traind.service.client.synchronous import SyncClient
    from traind.service.jobs.job import Job
    from traind.service.studies.study import Study

ANYWHERE = Remote()
FEWEST = 2
PAGE = 500
LONGEST = 60  # characters of a name or a setting in the table


def compare(
    *job_id: Annotated[str, Parameter(help="the jobs, two or more")],
    study: Annotated[str | None, Parameter(help="the trials of this study, by its id or its name")] = None,
    metric: Annotated[str | None, Parameter(help="the best by this come first; none: what decides")] = None,
    remote: Remote = ANYWHERE,
    as_json: Json = False,
) -> None:
    """Print what jobs, or a study's trials, differ in and how good they are, the best first."""
    from traind.service.cli.show import print_json, print_table

    client = remote.client()
    found = None if study is None else _study(client, study)
    jobs = [client.status(one) for one in dict.fromkeys(job_id)]
    if found is not None:
        jobs += [one for one in _jobs_of(client, found.study_id) if one.job_id not in job_id]
    if len(jobs) < FEWEST:
        raise Failed("There are not two jobs to compare.", hint="Name two or more, or a study by --study.")
    chosen = metric or (found.metric if found is not None else _decisive(jobs))
    is_higher = _is_higher(chosen, found)
    told = _compared(jobs, chosen, is_higher=is_higher)
    if as_json:
        print_json(told)
        return
    print_table(*_table(told))
    if metric is not None and not any(metric in one["metrics"] for one in told["jobs"]):
        print(f"None of them has {metric}.")


def _study(client: "SyncClient", wanted: str) -> "Study":
    """Return the study of that id, or the one of that name."""
    from traind.service.errors import StudyNotFound

    try:
        return client.study(wanted, importance=False)
    except StudyNotFound as error:
        named, after = [], None
        while True:
            page = client.studies(limit=PAGE, after=after)
            named += [one for one in page.studies if one.name == wanted]
            if (after := page.next) is None:
                break
        if len(named) > 1:
            hint = f"Say which: {', '.join(one.study_id for one in named)}."
            raise Failed(f"{len(named)} studies are called {wanted}.", hint=hint) from error
        if not named:
            raise
        return named[0]


def _jobs_of(client: "SyncClient", study_id: str) -> "list[Job]":
    """Return the jobs of a study's trials, as far as they are not deleted."""
    found: list[Job] = []
    after: str | int | None = None
    while True:
        page = client.jobs(None, PAGE, after, study=study_id)
        found += [job for job in page.jobs if job.trial is not None]  # the ensemble has settings of its own
        if (after := page.next) is None:
            return found


def _decisive(jobs: "Sequence[Job]") -> str:
    """Return the metric that most of them have, their monitor before others."""
    from traind.service.jobs.job import scores

    measured = [scores(job) for job in jobs]
    names = dict.fromkeys([*(job.spec.monitor for job in jobs), *(name for values in measured for name in values)])
    return max(names, key=lambda name: sum(name in values for values in measured))


def _is_higher(metric: str, study: "Study | None") -> bool:
    from traind.trainer.contract.metrics import is_higher_better

    if study is not None and study.metric == metric:
        return study.is_higher_better
    return is_higher_better(metric)


def _compared(jobs: "Sequence[Job]", metric: str, *, is_higher: bool) -> dict[str, Any]:
    """Return the jobs with their metrics and the settings that differ, the best by the metric first."""
    from traind.service.jobs.job import scores
    from traind.service.jobs.trained_with import differing, trained_with

    settings = {job.job_id: trained_with(job) for job in jobs}
    paths = differing(list(settings.values()))

    def rank(job: "Job") -> tuple[bool, float]:
        value = scores(job).get(metric)
        return (True, 0.0) if value is None else (False, -value if is_higher else value)

    rows = [
        {
            "job_id": job.job_id,
            "name": job.name,
            "status": job.status,
            "metrics": scores(job),
            "settings": {path: settings[job.job_id].get(path) for path in paths},
            "running_s": job.timings.get("running_s"),
        }
        for job in sorted(jobs, key=rank)
    ]
    return {"metric": metric, "direction": "maximize" if is_higher else "minimize", "differ_in": paths, "jobs": rows}


def _table(told: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows: the metric that decides is the first."""
    from traind.service.cli.show import number

    jobs, paths = told["jobs"], told["differ_in"]
    names = dict.fromkeys(name for job in jobs for name in job["metrics"])
    metrics = [name for name in (told["metric"],) if name in names] + [
        name for name in names if name != told["metric"]
    ]
    rows = [
        [
            job["job_id"],
            _short(job["name"] or ""),
            str(job["status"]),
            *(number(job["metrics"][name]) if name in job["metrics"] else "" for name in metrics),
            *(_written(job["settings"][path]) for path in paths),
        ]
        for job in jobs
    ]
    return ["job", "name", "status", *metrics, *paths], rows


def _written(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return _short(text)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
