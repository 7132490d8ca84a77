"""`traind mcp`: at most ten tools over stdio, and jobs as resources. Each is one verb of the client.

An agent is shown what a job would do before it runs: `train` refuses what a dry run refuses, and answers with its
plan. Whoever starts this decides the server and the token; an agent cannot name another. Needs `traind[mcp]`.
"""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, ParamSpec, TypeVar

import msgspec
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

import traind
from traind.data.errors import DataError
from traind.service.client.asynchronous import Client
from traind.service.errors import ServiceError, described
from traind.service.jobs.job import TERMINAL, Job
from traind.service.mcp.shapes import as_json, job_facts, settings_help
from traind.trainer.contract.errors import TrainerError
from traind.trainer.contract.events import Status
from traind.trainer.contract.spec import TrainSpec

INSTRUCTIONS = """traind trains PyTorch models on tables and keeps them for predictions.

The usual way: `register_dataset` with a file, `describe_dataset` to see its columns and what is odd about them,
`plan_training` to see what a job would do, `train`, `follow_job` until it has ended, `predict`.
Every number a job reports is of rows it was not trained on, beside a baseline. Do not change settings that the plan
does not give a reason to change: the defaults are chosen for the table.
"""
FOLLOW_S = 60.0
ENDED_OR_PAUSED = TERMINAL | {Status.PAUSED}

JobId = Annotated[str, Field(description="the id that `train` answered with")]
DatasetName = Annotated[str, Field(description="name of a registered data set: letters, digits, `_`, `-`, `.`")]
Target = Annotated[str | None, Field(description="the column to predict; the last one where none is named")]
Settings = Annotated[
    dict[str, Any] | None, Field(description="other fields of a job, each optional: " + settings_help(TrainSpec))
]
P = ParamSpec("P")
T = TypeVar("T")
READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
CHANGES = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
DISCARDS = ToolAnnotations(read_only_hint=False, destructive_hint=True, open_world_hint=False)


def make_server(client: Client) -> MCPServer[None]:
    """Return the server of one traind server's tools. `client` is opened and closed with it."""

    @asynccontextmanager
    async def connected(_: MCPServer[None]) -> AsyncIterator[None]:
        async with client:
            yield

    server = MCPServer("traind", instructions=INSTRUCTIONS, version=traind.__version__, lifespan=connected)
    tools = Tools(client)
    for tool, hints in tools.listed():
        server.add_tool(_with_refusals(tool, ToolError), annotations=hints)
    read = functools.partial(server.resource, mime_type="application/json")
    read("traind://jobs/{job_id}", name="job", description="A job's whole status.")(
        _with_refusals(tools.read_job, ResourceError)
    )
    read("traind://jobs/{job_id}/curve", name="curve", description="A job's losses and metrics by step and epoch.")(
        _with_refusals(tools.read_curve, ResourceError)
    )
    return server


class Tools:
    """The tools of one client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def listed(self) -> list[tuple[Callable[..., Awaitable[Any]], ToolAnnotations]]:
        """Return each tool with what it may do."""
        return [
            (self.register_dataset, CHANGES),
            (self.describe_dataset, READS),
            (self.plan_training, READS),
            (self.train, CHANGES),
            (self.follow_job, READS),
            (self.job_status, READS),
            (self.list_jobs, READS),
            (self.change_job, DISCARDS),
            (self.predict, READS),
        ]

    async def register_dataset(
        self,
        name: DatasetName,
        path: Annotated[str, Field(description="a CSV, TSV, JSON lines, Parquet or Excel file on this machine")],
    ) -> dict[str, Any]:
        """Register a table; its name again makes a new version. Returns its columns and warnings."""
        try:
            dataset = await self._client.put_dataset(name, Path(path))
        except OSError as error:
            raise ToolError(f"{path}: {error.strerror or error}") from error
        return as_json(dataset)

    async def describe_dataset(
        self,
        name: DatasetName,
        rows: Annotated[int, Field(ge=0, le=50, description="how many of the first rows to show")] = 5,
    ) -> dict[str, Any]:
        """Describe a data set: each column's kind with the evidence, what is odd about it, and its first rows."""
        dataset = await self._client.dataset(name)
        preview = await self._client.preview(name, rows) if rows else {}
        return {**as_json(dataset), "preview": preview}

    async def plan_training(
        self, dataset: DatasetName, target: Target = None, settings: Settings = None
    ) -> dict[str, Any]:
        """Say what a job would do without running it: columns used and why, warnings, model size, memory, seconds."""
        return await self._client.dry_run(_fields(dataset, target, settings))

    async def train(
        self, ctx: Context, dataset: DatasetName, target: Target = None, settings: Settings = None
    ) -> dict[str, Any]:
        """Start a training job and return its id with its plan; it runs on by itself: see `follow_job`."""
        fields = _fields(dataset, target, settings)
        await ctx.report_progress(0, 100, "planning")
        plan = await self._client.dry_run(fields)
        job = await self._client.submit(fields)
        return {"job": job_facts(job), "plan": plan}

    async def follow_job(
        self,
        ctx: Context,
        job_id: JobId,
        seconds: Annotated[float, Field(gt=0, le=3_600, description="how long to wait at most")] = FOLLOW_S,
    ) -> dict[str, Any]:
        """Wait until a job has ended or is paused, reporting its progress; returns how it is after that time."""
        job = await self._client.status(job_id)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while job.status not in ENDED_OR_PAUSED:
                    await ctx.report_progress(job.progress, 100, job.message)
                    job = await self._after(job)
        await ctx.report_progress(job.progress, 100, job.message)
        return job_facts(job)

    async def job_status(self, job_id: JobId) -> dict[str, Any]:
        """Say how a job is: state, progress, loss, metrics on validation rows beside the baseline, error."""
        return job_facts(await self._client.status(job_id))

    async def list_jobs(
        self,
        status: Annotated[str | None, Field(description="only these states, separated by commas")] = None,
        limit: Annotated[int, Field(ge=1, le=100, description="how many, newest first")] = 20,
    ) -> list[dict[str, Any]]:
        """List jobs, newest first."""
        page = await self._client.jobs(status and status.upper(), limit)
        return [job_facts(job) for job in page.jobs]

    async def change_job(
        self,
        job_id: JobId,
        action: Annotated[
            Literal["stop", "pause", "resume", "cancel"],
            Field(
                description="stop keeps the best model so far; pause keeps the place; resume goes on; "
                "cancel discards everything but the record"
            ),
        ],
        epochs: Annotated[int | None, Field(description="with resume: train up to this many epochs")] = None,
    ) -> dict[str, Any]:
        """Stop, pause, resume or cancel a job."""
        if action == "resume":
            return job_facts(await self._client.resume(job_id, epochs))
        if epochs is not None:
            raise ToolError("epochs goes with resume only.")
        verbs = {"stop": self._client.stop, "pause": self._client.pause, "cancel": self._client.cancel}
        return job_facts(await verbs[action](job_id))

    async def predict(
        self,
        model: Annotated[str, Field(description="a job's id, or an alias")],
        rows: Annotated[
            list[dict[str, Any]],
            Field(description="one object a row, by column name", min_length=1, max_length=1_000),
        ],
    ) -> dict[str, Any]:
        """Predict rows with a finished model, or with the best one so far of a running job."""
        return as_json(await self._client.predict(model, rows))

    async def read_job(self, job_id: str) -> str:
        """Return a job's status as JSON."""
        return msgspec.json.encode(await self._client.status(job_id)).decode()

    async def read_curve(self, job_id: str) -> str:
        """Return a job's curves as JSON."""
        return msgspec.json.encode(await self._client.curve(job_id)).decode()

    async def _after(self, job: Job) -> Job:
        """Return the job after its next event."""
        async with contextlib.aclosing(self._client.watch(job.job_id, after=job.seq)) as events:
            await anext(events, None)
        return await self._client.status(job.job_id)


def _fields(dataset: str, target: str | None, settings: dict[str, Any] | None) -> dict[str, Any]:
    named = {"dataset": dataset} | ({"target": target} if target is not None else {})
    return {**(settings or {}), **named}


def _with_refusals(
    function: Callable[P, Awaitable[T]], kind: type[ToolError | ResourceError]
) -> Callable[P, Awaitable[T]]:
    """Translate what the server refuses into a sentence with its code, its hint and the fields it names."""

    @functools.wraps(function)
    async def translated(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await function(*args, **kwargs)
        except (ServiceError, DataError, TrainerError) as error:
            raise kind(msgspec.json.encode(described(error)).decode()) from error

    return translated
