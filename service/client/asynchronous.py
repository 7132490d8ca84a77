"""`Client`: a running server with the verbs, types and errors of `TrainingService`, for asyncio programs."""

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable, Mapping
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self, Unpack

from traind.service.client import calls
from traind.service.client.calls import Rows
from traind.service.client.connection import Connection
from traind.service.client.cursor import STREAM_SILENCE_S, Cursor
from traind.service.client.errors import Away
from traind.service.client.study_calls import StudyVerbs
from traind.service.client.transfers import upload_of
from traind.service.jobs.job import Job
from traind.service.jobs.listing import Filters
from traind.service.logs import followed
from traind.service.results import (
    Alias,
    AliasSet,
    Controlled,
    Dataset,
    DatasetPage,
    EventPage,
    FilePage,
    IfBetter,
    JobPage,
    LogPage,
    Prediction,
    Score,
)
from traind.service.sources import OnProgress, Source
from traind.service.webhooks.outbox import Delivery
from traind.trainer.contract.events import AnyEvent, Status
from traind.trainer.contract.spec import TrainSpec


class Client(StudyVerbs):
    """A running server. `async with Client() as client:` - the verbs are those of `TrainingService`.

    A server that has answered may be away for `patience_s` seconds (a restart, a broken network): repeatable requests
    are sent again, and watches go on after the last event seen. `timeout_s` is the longest silence within an answer.
    The token is taken from TRAIND_TOKEN where none is given.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:3001",
        token: str | None = None,
        *,
        timeout_s: float = 120.0,
        patience_s: float = 90.0,
    ) -> None:
        self._connection = Connection(base_url, token or os.environ.get("TRAIND_TOKEN"), timeout_s, patience_s)

    async def __aenter__(self) -> Self:
        await self._connection.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()

    async def submit(
        self, spec: TrainSpec | Mapping[str, Any] | None = None, *, job_id: str | None = None, **fields: Any
    ) -> Job:
        """Submit a job: a `TrainSpec`, a mapping, or its fields as keywords.

        With a `job_id` of your own, repeating the call returns the same job.
        """
        return await self.status(await self._connection.send(calls.submit(fields if spec is None else spec, job_id)))

    async def dry_run(self, spec: TrainSpec | Mapping[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
        """Return what a job would do: schema, warnings, parameters, memory, seconds."""
        return await self._connection.send(calls.dry_run(fields if spec is None else spec))

    async def status(self, job_id: str) -> Job:
        """Return one job."""
        return await self._connection.send(calls.status(job_id))

    async def jobs(
        self,
        status: Status | str | Iterable[Status | str] | None = None,
        limit: int = 100,
        after: str | int | None = None,
        **filters: Unpack[Filters],
    ) -> JobPage:
        """Return a page of jobs, newest first unless `sort` says otherwise; `filters` as `TrainingService.jobs`."""
        return await self._connection.send(calls.jobs(status, limit, after, filters))

    async def events(self, job_id: str, after: int = 0, limit: int = 1000) -> EventPage:
        """Return a page of a job's events."""
        return await self._connection.send(calls.events(job_id, after, limit))

    async def watch(self, job_id: str, after: int = 0) -> AsyncGenerator[AnyEvent]:
        """Yield a job's events, each `seq` once and in order, until the job has ended.

        Lost connections and server restarts are bridged. After a `State` with `resumed_from_step`, steps are repeated
        from there: curves have to be rewound.
        """
        cursor = Cursor(job_id, after)
        absence = self._connection.patience.begin()
        while not cursor.is_over:
            try:
                async with self._connection.response(cursor.call(), silence_s=STREAM_SILENCE_S) as response:
                    absence.answered()
                    cursor.opened(response.status)
                    async for chunk in response.content.iter_any():
                        for event in cursor.feed(chunk):
                            yield event
                    cursor.closed()
            except Away as away:
                await asyncio.sleep(absence.delay(away, is_repeatable=True))

    async def wait(self, job_id: str) -> Job:
        """Return the job once it has ended."""
        job = await self.status(job_id)
        async for _event in self.watch(job_id, after=job.seq):
            pass
        return await self.status(job_id)

    async def stop(self, job_id: str) -> Job:
        """End a job and keep the best model so far."""
        return await self._ask(calls.verb("stop", job_id))

    async def pause(self, job_id: str) -> Job:
        """Have a job write its checkpoint and free its slot."""
        return await self._ask(calls.verb("pause", job_id))

    async def cancel(self, job_id: str) -> Job:
        """End a job and keep only its record."""
        return await self._ask(calls.verb("cancel", job_id))

    async def resume(self, job_id: str, epochs: int | None = None) -> Job:
        """Continue a paused, stopped, failed or (with more epochs) completed job."""
        return await self._ask(calls.verb("resume", job_id, epochs))

    async def control(self, job_id: str, **changes: Any) -> Controlled:
        """Change `lr`, `epochs`, `patience`, `report_every` or `checkpoint_every` of a running job at its next step.

        The result names the step; it is None where that takes longer than ten seconds.
        """
        return await self._connection.send(calls.control(job_id, changes))

    async def edit(self, job_id: str, **changes: Any) -> Job:
        """Change `name`, `tags` or `notes` of a job, or its `priority` while it waits; what is left out stays."""
        return await self._connection.send(calls.edit(job_id, changes))

    async def delete(self, job_id: str) -> None:
        """Remove a finished job with its files."""
        await self._connection.send(calls.delete(job_id))

    async def logs(self, job_id: str, limit_bytes: int = 65_536) -> str:
        """Return the end of a job's output."""
        return (await self.log_page(job_id, limit_bytes)).logs

    async def log_page(self, job_id: str, limit_bytes: int = 65_536, after: str | None = None) -> LogPage:
        """Return the end of a job's output, or what was printed since the page whose `next` is `after`."""
        return await self._connection.send(calls.logs(job_id, limit_bytes, after))

    def follow_logs(self, job_id: str, limit_bytes: int = 65_536) -> AsyncGenerator[str]:
        """Yield the end of a job's output, then what it prints until it is over."""
        return followed(lambda: self.status(job_id), lambda after: self.log_page(job_id, limit_bytes, after))

    async def files(self, job_id: str, limit: int = 1_000, after: str | None = None) -> FilePage:
        """Return a page of the files that a job's trainer wrote, by name."""
        return await self._connection.send(calls.files(job_id, limit, after))

    async def file_path(self, job_id: str, name: str, *, to: str | os.PathLike[str] | None = None) -> Path:
        """Download one of a job's files to `to`, by default the last part of its name; return the path."""
        return await self._connection.download(calls.file(job_id, name), Path(to or PurePosixPath(name).name))

    async def curve(self, job_id: str, points: int = 800, series: Iterable[str] = ()) -> dict[str, Any]:
        """Return a job's curves, rewound at resumed attempts and thinned to about `points` a series."""
        return await self._connection.send(calls.curve(job_id, points, series))

    async def predict(
        self,
        model: str,
        rows: Rows | None = None,
        *,
        columns: Mapping[str, list[Any]] | None = None,
        interval: float | None = None,
    ) -> Prediction:
        """Predict with a job's or alias's model, one prediction a row; with `interval`, intervals around numbers."""
        return await self._connection.send(calls.predict(model, rows, columns, interval))

    async def model_path(self, model: str, *, to: str | os.PathLike[str] | None = None) -> Path:
        """Download a finished model to `to`, by default `<model>.pt`, for `traind.load_model`; return the path."""
        return await self._connection.download(calls.model(model), Path(to or f"{model}.pt"))

    async def export(self, model: str, format: str, *, to: str | os.PathLike[str] | None = None) -> Path:  # noqa: A002
        """Download a verified `onnx` or `safetensors` export of a model and return its path."""
        return await self._connection.download(calls.export(model, format), Path(to or f"{model}.{format}"))

    async def put_dataset(
        self,
        name: str,
        source: Source,
        format: str | None = None,  # noqa: A002
        *,
        size_bytes: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> Dataset:
        """Register a data set from a path, bytes, rows, or an async iterator of bytes or rows.

        `size_bytes` is the size of a stream of bytes, if known. `on_progress(sent_bytes, size_bytes)` is called as
        the upload goes on. Putting a name again makes a new version.
        """
        upload = upload_of(source, format, size_bytes)
        return await self._connection.upload(calls.put_dataset(name, upload.format), upload, on_progress)

    async def datasets(self, limit: int = 1_000, after: str | None = None) -> DatasetPage:
        """Return a page of data sets by name, without column details: `dataset` returns those."""
        return await self._connection.send(calls.datasets(limit, after))

    async def dataset(self, name: str) -> Dataset:
        """Return one data set."""
        return await self._connection.send(calls.dataset(name))

    async def preview(self, name: str, rows: int = 20) -> dict[str, Any]:
        """Return the first rows of a data set, its columns and their summary."""
        return await self._connection.send(calls.preview(name, rows))

    async def delete_dataset(self, name: str) -> None:
        """Remove a data set that no unfinished job uses."""
        await self._connection.send(calls.delete_dataset(name))

    async def evaluate(
        self,
        model: str,
        source: Source | None = None,
        *,
        dataset: str | None = None,
        format: str | None = None,  # noqa: A002
    ) -> Score:
        """Return how good a job's (or alias's) model is on a labelled table: `source`, or a registered `dataset`."""
        if (source is None) == (dataset is None):
            raise TypeError("Give a table or the name of a data set, and not both.")
        if source is None:
            return await self._connection.send(calls.evaluate(model, str(dataset)))
        upload = upload_of(source, format)
        return await self._connection.upload(calls.evaluate_table(model, upload.format), upload, None)

    async def set_alias(
        self, name: str, job_id: str | None, if_better: IfBetter | Mapping[str, Any] | None = None
    ) -> AliasSet | None:
        """Point an alias at a job's model (None: remove it), with `if_better` only if better (else `NotBetter`)."""
        if job_id is None:
            await self._connection.send(calls.remove_alias(name))
            return None
        return await self._connection.send(calls.set_alias(name, job_id, if_better))

    async def alias(self, name: str) -> Alias:
        """Return an alias with its history."""
        return await self._connection.send(calls.alias(name))

    async def aliases(self) -> dict[str, dict[str, Any]]:
        """Return each alias with its job and the time since when."""
        return await self._connection.send(calls.aliases())

    async def webhook_list(self) -> list[dict[str, Any]]:
        """Return every configured webhook and its deliveries by state."""
        return await self._connection.send(calls.webhooks())

    async def webhook_deliveries(self, name: str, limit: int = 100) -> list[Delivery]:
        """Return a webhook's newest deliveries, newest first."""
        return await self._connection.send(calls.deliveries(name, limit))

    async def test_webhook(self, name: str) -> str:
        """Have a test message delivered to a webhook; return its webhook-id."""
        return await self._connection.send(calls.test_webhook(name))

    async def health(self) -> dict[str, Any]:
        """Return the server's health: version, slots, queue, uptime."""
        return await self._connection.send(calls.health())

    async def _ask(self, call: calls.Call[str]) -> Job:
        """Send a verb and return the job after it."""
        return await self.status(await self._connection.send(call))
