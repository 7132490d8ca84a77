"""`traind train`: one job in this process without a server, or with `--server` on a server."""

import asyncio
import hashlib
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from traind.service.cli.entry import INTERRUPTED, Failed, about
from traind.service.cli.flags import Json
from traind.service.cli.spec import SpecFlags, typed_values
from traind.service.cli.surroundings import search_here
from traind.service.plain_text import plain

if TYPE_CHECKING:
    from traind.service.client.asynchronous import Client
    from traind.service.jobs.job import Job
    from traind.service.service import TrainingService

NOTHING_TYPED = SpecFlags()


@dataclass(slots=True)
class TrainCall:
    """The parsed command; `job_id` is set once the job has one."""

    spec: dict[str, Any]
    format: str | None  # of the data set's file; None: inferred
    job_id: str | None
    is_dry_run: bool
    as_json: bool
    is_quiet: bool = False  # show only the result


@Parameter(name="*")
@dataclass(frozen=True)
class Where:
    """Where to train: below a root, or on a server; and which tools show the job."""

    root: Annotated[Path, Parameter(env_var="TRAIND_ROOT", help="folder that holds everything")] = Path()
    server: Annotated[str | None, Parameter(env_var="TRAIND_SERVER", help="train on this server instead")] = None
    tensorboard: Annotated[str | None, Parameter(help="folder in which the job is a run of TensorBoard")] = None
    mlflow: Annotated[str | None, Parameter(help="MLflow's server, or its store, in which the job is a run")] = None

    def check_mirrors(self) -> None:
        """Refuse the flags of mirrors for a server, whose own settings they are."""
        if self.tensorboard or self.mlflow:
            hint = "Give them to `traind serve`."
            raise Failed("--tensorboard and --mlflow are not for jobs of a server.", hint=hint)

    def open_here(self, spec: dict[str, Any]) -> "TrainingService":
        """Return a service of this process that knows the trainer of the spec, which is then named as it knows it."""
        from traind.service.service import TrainingService

        search_here()
        trainers = own_trainer(spec)
        made = TrainingService(root=self.root, trainers=trainers, tensorboard=self.tensorboard, mlflow=self.mlflow)
        made.keep_files_private()
        return made


HERE = Where()


def train(
    *,
    job_id: Annotated[
        str | None, Parameter(help="id of the job; the same command again continues the same job")
    ] = None,
    dry_run: Annotated[bool, Parameter(negative="", help="show what the job would do, and train nothing")] = False,
    format: Annotated[  # noqa: A002 - the public word for it
        str | None,
        Parameter(help="format of the file, where its name does not show it: csv;charset=latin-1, jsonl ..."),
    ] = None,
    as_json: Json = False,
    where: Where = HERE,
    spec: SpecFlags = NOTHING_TYPED,  # type: ignore[valid-type]
) -> None:
    """Train one model and follow it to its end.

    Needs no server: the same engine runs here and writes the same files below the root. Ctrl-C writes a checkpoint;
    the same command with the same --job-id continues from there.
    """
    call = TrainCall(typed_values(spec), format, job_id, dry_run, as_json)
    if where.server is not None:
        where.check_mirrors()
        asyncio.run(train_on(call, where.server))
        return
    asyncio.run(_train(call, where))


def own_trainer(spec: dict[str, Any]) -> dict[str, str]:
    """Replace a trainer given by file or module by a name in the spec; return `{name: reference}` for the service."""
    reference = spec.get("trainer", "")
    module, colon, function = reference.rpartition(":")
    if not colon and reference.endswith(".py"):
        module, function = reference, "train"
    if not module:
        return {}
    stem = Path(module).stem if module.endswith(".py") else module.rpartition(".")[2]
    spec["trainer"] = re.sub(r"[^A-Za-z0-9_.-]+", "-", stem)[:64] or "own"
    return {spec["trainer"]: f"{module}:{function}"}


async def _train(call: TrainCall, where: Where) -> None:
    """Train in this process's own service."""
    leave_on_terminate()
    try:
        async with where.open_here(call.spec) as service:
            await _carry_out(service, call)
    except asyncio.CancelledError:
        again = f" The same command with --job-id {call.job_id} goes on." if call.job_id else ""
        raise Failed(f"Interrupted.{again}", code=INTERRUPTED) from None


async def train_on(call: TrainCall, server: str) -> None:
    """Train on a running server; an interrupt leaves the job alone."""
    from traind.service.client.asynchronous import Client

    leave_on_terminate()
    try:
        async with Client(server) as client:
            await _carry_out(client, call)
    except asyncio.CancelledError:
        again = f" The job goes on: traind watch {call.job_id} --server {server}" if call.job_id else ""
        raise Failed(f"Interrupted.{again}", code=INTERRUPTED) from None


def leave_on_terminate() -> None:
    """Make SIGTERM end the command as Ctrl-C does."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


async def _carry_out(service: "TrainingService | Client", call: TrainCall) -> None:
    """Submit the job, follow it and print its result."""
    from traind.service.cli.show import Nothing, follower, print_job, print_json
    from traind.trainer.contract.events import Status

    table = call.spec.get("dataset")
    if call.is_dry_run:
        with _about(table):
            await _show_plan(service, await with_dataset(service, call), as_json=call.as_json)
        return
    job = await accepted(service, call)
    is_known = job.attempt > 1 or job.status is Status.PAUSED  # its earlier events are not shown again
    if job.status is Status.PAUSED:
        job = await service.resume(job.job_id)
    with Nothing() if call.is_quiet else follower(as_json=call.as_json) as shown:
        async for event in service.watch(job.job_id, after=job.seq - 1 if is_known else 0):
            shown.show(event)
    job = await service.status(job.job_id)
    (print_json if call.as_json else print_job)(job)
    if job.error is not None:
        raise Failed(f"The job {job.job_id}{f' on {table}' if table else ''} failed: {job.error.message}")
    if job.status in {Status.FAILED, Status.CANCELLED}:
        raise Failed(f"The job {job.job_id} is {job.status.lower()}.")


async def accepted(service: "TrainingService | Client", call: TrainCall) -> "Job":
    """Register the file if there is one, submit the job and return it; sets the call's `job_id`."""
    with _about(call.spec.get("dataset")):
        job = await service.submit(await with_dataset(service, call), job_id=call.job_id)
    call.job_id = job.job_id
    return job


@contextmanager
def _about(table: str | None) -> Iterator[None]:
    """Put the name of the file, or missing file, before an error about it."""
    from traind.data.errors import DatasetNotFound

    if table is None:
        yield
        return
    with about(Path(table)):
        try:
            yield
        except DatasetNotFound:
            hint = "A file is named by its path; `traind datasets list` shows the data sets of a server."
            raise Failed(f"There is no file {table}, and no data set of that name.", hint=hint) from None


async def with_dataset(service: "TrainingService | Client", call: TrainCall) -> dict[str, Any]:
    """Return the spec with a file replaced by its data set's name; register the file if it is new."""
    from traind.data.errors import DatasetNotFound

    path = await asyncio.to_thread(_file_of, call.spec.get("dataset"))
    if path is None:
        return call.spec
    name = await asyncio.to_thread(_name_of, path, call.format or "")
    try:
        await service.dataset(name)
    except DatasetNotFound:
        await service.put_dataset(name, path, call.format)
    return call.spec | {"dataset": name}


def _file_of(given: str | None) -> Path | None:
    """Return the file, or None for a data set's name."""
    if given is None or not (Path(given).exists() or "/" in given):
        return None
    path = Path(given)
    if not path.is_file():
        raise Failed(f"{path} is {'not a file' if path.exists() else 'not there'}.")
    return path


def _name_of(path: Path, form: str) -> str:
    """Return a data set name made of the file's name and a digest of its content and format."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(form.encode())
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", path.name.split(".")[0])[:40].strip("-_")
    return f"{stem or 'file'}-{digest.hexdigest()[:12]}"


async def _show_plan(service: "TrainingService | Client", spec: dict[str, Any], *, as_json: bool) -> None:
    """Print what a job would do."""
    from traind.service.cli.datasets import print_summary
    from traind.service.cli.show import print_json

    plan = await service.dry_run(spec)
    if as_json:
        print_json(plan)
        return
    for name, value in plan.items():
        if isinstance(value, str | int | float):
            print(plain(f"{name}  {value}"))
    schema = plan.get("schema")
    if schema:
        print_summary(schema | {"warnings": plan.get("warnings", schema.get("warnings", ()))})
