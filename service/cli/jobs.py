"""Commands about jobs of a running server."""

import time
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from traind.service.cli.entry import Failed
from traind.service.cli.flags import JobId, Json, Remote

if TYPE_CHECKING:
    from traind.service.jobs.job import Job

ANYWHERE = Remote()


def jobs(
    *,
    status: Annotated[str | None, Parameter(help="only these states, separated by commas")] = None,
    limit: Annotated[int, Parameter(help="how many, newest first")] = 20,
    after: Annotated[str | None, Parameter(help="the cursor that the page before ended with")] = None,
    remote: Remote = ANYWHERE,
    as_json: Json = False,
) -> None:
    """List jobs, newest first."""
    from traind.service.cli.show import number, print_json, print_table

    page = remote.client().jobs(status and status.upper(), limit, after)
    if as_json:
        print_json(page)
        return
    rows = (
        [
            job.job_id,
            job.status,
            f"{job.progress:.0f} %",
            number(job.loss) if job.step else "",
            time.strftime("%Y-%m-%d %H:%M", time.localtime(job.created_at)),
            job.name or "",
        ]
        for job in page.jobs
    )
    print_table(["job", "status", "done", "loss", "created", "name"], rows)
    if page.next is not None:
        print(f"more: --after {page.next}")


def status(job_id: JobId, *, remote: Remote = ANYWHERE, as_json: Json = False) -> None:
    """Show how a job is."""
    from traind.service.cli.show import print_job, print_json

    job = remote.client().status(job_id)
    (print_json if as_json else print_job)(job)


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
    _show_asked(remote.client().stop(job_id), as_json=as_json)


def pause(job_id: JobId, *, remote: Remote = ANYWHERE, as_json: Json = False) -> None:
    """Let a job write its checkpoint and give its slot back."""
    _show_asked(remote.client().pause(job_id), as_json=as_json)


def resume(
    job_id: JobId,
    *,
    epochs: Annotated[int | None, Parameter(help="train to this many epochs now")] = None,
    remote: Remote = ANYWHERE,
    as_json: Json = False,
) -> None:
    """Let a paused, stopped, failed or (with more epochs) completed job go on."""
    _show_asked(remote.client().resume(job_id, epochs), as_json=as_json)


def cancel(job_id: JobId, *, remote: Remote = ANYWHERE, as_json: Json = False) -> None:
    """End a job and keep nothing but its record."""
    _show_asked(remote.client().cancel(job_id), as_json=as_json)


def delete(job_id: JobId, *, as_json: Json = False, remote: Remote = ANYWHERE) -> None:
    """Remove a finished job with its files and its model."""
    remote.client().delete(job_id)
    if as_json:
        from traind.service.cli.show import print_json

        print_json({"ok": True, "deleted": job_id})


def logs(
    job_id: JobId,
    *,
    limit_bytes: Annotated[int, Parameter(help="how much of the end")] = 65_536,
    as_json: Json = False,
    remote: Remote = ANYWHERE,
) -> None:
    """Print the end of what a job itself wrote."""
    written = remote.client().logs(job_id, limit_bytes)
    if as_json:
        from traind.service.cli.show import print_json

        print_json({"job_id": job_id, "logs": written})
    else:
        print(written, end="")


def _show_asked(job: "Job", *, as_json: bool) -> None:
    from traind.service.cli.show import print_json

    if as_json:
        print_json(job)
    else:
        asked = f"  {job.requested} asked" if job.requested else ""
        print(f"{job.job_id}  {job.status}{asked}")
