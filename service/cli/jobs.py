"""Commands about jobs of a running server."""

import time
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, cast

from cyclopts import Parameter

from traind.service.cli.entry import Failed
from traind.service.cli.flags import JobId, Json, Remote
from traind.service.client import calls

if TYPE_CHECKING:
    from traind.service.jobs.listing import Filters

ANYWHERE = Remote()


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Which:
    """The filters and the order of the list."""

    tag: Annotated[str | None, Parameter(help="only with this tag")] = None
    dataset: Annotated[str | None, Parameter(help="only on this data set")] = None
    name: Annotated[str | None, Parameter(help="only with this text in their name")] = None
    trainer: Annotated[str | None, Parameter(help="only of this trainer")] = None
    study: Annotated[str | None, Parameter(help="the trials of this study")] = None
    sort: Annotated[str | None, Parameter(help="created, -created, or metric:NAME for the best first")] = None

    @property
    def metric(self) -> str | None:
        """The metric that the jobs are sorted by."""
        order, _, metric = (self.sort or "").partition(":")
        return metric if order == "metric" else None

    def filters(self) -> "Filters":
        """Return the filters that were typed."""
        typed = {field.name: getattr(self, field.name) for field in fields(self)}
        return cast("Filters", {name: value for name, value in typed.items() if value is not None})


ALL = Which()


def jobs(
    *,
    status: Annotated[str | None, Parameter(help="only these states, separated by commas")] = None,
    limit: Annotated[int, Parameter(help="how many, newest first")] = 20,
    after: Annotated[str | None, Parameter(help="the cursor that the last page printed")] = None,
    which: Which = ALL,
    remote: Remote = ANYWHERE,
    as_json: Json = False,
) -> None:
    """List jobs, newest first, or the best by a metric."""
    from traind.service.cli.job_facts import data_of, score_of
    from traind.service.cli.show import number, print_json, print_table

    page = remote.connection().send(calls.jobs(status and status.upper(), limit, after, which.filters()))
    if as_json:
        print_json(page)
        return
    rows = [
        [
            job.job_id,
            job.status,
            f"{job.progress:.0f} %",
            number(job.loss) if job.step else "",
            score_of(job, which.metric),
            data_of(job),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(job.created_at)),
            job.name or "",
            ", ".join(job.spec.tags),
        ]
        for job in page.jobs
    ]
    print_table(["job", "status", "done", "loss", "score", "data set", "created", "name", "tags"], rows)
    if page.next is not None:
        print(f"more: --after {page.next}")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Changes:
    """The fields to change."""

    name: Annotated[str | None, Parameter(help="new name; empty: none")] = None
    tag: Annotated[
        tuple[str, ...], Parameter(help="new tags, which replace the old ones; repeat for more", negative="")
    ] = ()
    no_tags: Annotated[bool, Parameter(help="remove all its tags", negative="")] = False
    notes: Annotated[str | None, Parameter(help="free text about it; empty: none")] = None
    priority: Annotated[int | None, Parameter(help="higher starts first; only while it waits")] = None

    def values(self) -> dict[str, Any]:
        """Return the changes that were typed, as the server takes them."""
        texts = {"name": self.name, "notes": self.notes}
        typed: dict[str, Any] = {field: text or None for field, text in texts.items() if text is not None}
        if self.tag or self.no_tags:
            typed["tags"] = self.tag
        return typed if self.priority is None else typed | {"priority": self.priority}


NOTHING = Changes()


def edit(job_id: JobId, *, changes: Changes = NOTHING, remote: Remote = ANYWHERE, as_json: Json = False) -> None:
    """Change a job's name, tags, notes, or, while it waits, its priority."""
    from traind.service.cli.show import print_json

    if not (values := changes.values()):
        raise Failed("There is nothing to change.", hint="Give one: --name, --tag, --notes or --priority.")
    job = remote.connection().send(calls.edit(job_id, values))
    if as_json:
        print_json(job)
    else:
        print(f"{job.job_id}  {job.name or ''}  {', '.join(job.spec.tags)}".rstrip())


def status(job_id: JobId, *, remote: Remote = ANYWHERE, as_json: Json = False) -> None:
    """Show a job: progress, data, settings, scores, times."""
    from traind.service.cli.job_facts import job_facts
    from traind.service.cli.show import print_job, print_json

    job = remote.connection().send(calls.status(job_id))
    if as_json:
        print_json(job)
        return
    print_job(job)
    for name, text in job_facts(job):
        print(f"{name:8}  {text}")


def watch(
    job_id: JobId,
    *,
    after: Annotated[int, Parameter(help="only events after this seq")] = 0,
    remote: Remote = ANYWHERE,
    as_json: Json = False,
) -> None:
    """Follow a job until it ends. Ctrl-C leaves the job alone."""
    from traind.service.cli.show import follower, print_job
    from traind.trainer.contract.events import Status

    client = remote.client()
    with follower(as_json=as_json) as shown:
        for event in client.watch(job_id, after):
            shown.show(event)
    job = client.status(job_id)
    if not as_json:
        print_job(job)
    if job.status in {Status.FAILED, Status.CANCELLED}:
        raise Failed(f"The job {job_id} is {job.status.lower()}.")


def stop(job_id: JobId, *, remote: Remote = ANYWHERE, as_json: Json = False) -> None:
    """End a job and keep the best model so far."""
    _request(calls.verb("stop", job_id), remote, as_json=as_json)


def pause(job_id: JobId, *, remote: Remote = ANYWHERE, as_json: Json = False) -> None:
    """Have a job write its checkpoint and free its slot."""
    _request(calls.verb("pause", job_id), remote, as_json=as_json)


def resume(
    job_id: JobId,
    *,
    epochs: Annotated[int | None, Parameter(help="new number of all epochs")] = None,
    remote: Remote = ANYWHERE,
    as_json: Json = False,
) -> None:
    """Continue a paused, stopped, failed or (with more epochs) completed job."""
    _request(calls.verb("resume", job_id, epochs), remote, as_json=as_json)


def cancel(job_id: JobId, *, remote: Remote = ANYWHERE, as_json: Json = False) -> None:
    """End a job and keep only its record."""
    _request(calls.verb("cancel", job_id), remote, as_json=as_json)


def delete(job_id: JobId, *, as_json: Json = False, remote: Remote = ANYWHERE) -> None:
    """Remove a finished job with its files and its model."""
    remote.connection().send(calls.delete(job_id))
    if as_json:
        from traind.service.cli.show import print_json

        print_json({"ok": True, "deleted": job_id})


def _request(verb: calls.Call[str], remote: Remote, *, as_json: bool) -> None:
    """Send a verb and print the job's state after it."""
    from traind.service.cli.show import print_json

    connection = remote.connection()
    job = connection.send(calls.status(connection.send(verb)))
    if as_json:
        print_json(job)
    else:
        print(f"{job.job_id}  {job.status}{f'  {job.requested} requested' if job.requested else ''}")
