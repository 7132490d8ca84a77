"""`SyncClient`: a running server for notebooks and scripts without asyncio."""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Unpack

from traind.service.client import calls
from traind.service.client.blocking import BlockingConnection
from traind.service.client.calls import Rows
from traind.service.client.cursor import STREAM_SILENCE_S, Cursor
from traind.service.client.errors import Away
from traind.service.client.transfers import OnProgress, Row, upload_of
from traind.service.jobs.job import Job
from traind.service.jobs.listing import Filters
from traind.service.results import Alias, AliasSet, Dataset, EventPage, IfBetter, JobPage, Prediction, Score
from traind.trainer.contract.events import AnyEvent, Status
from traind.trainer.contract.spec import TrainSpec


class SyncClient:
    """A running server, with the verbs of `Client` as plain calls. It holds no connection: there is nothing to close.

    A server that has answered may be away for `patience_s`; `timeout_s` is the longest silence within an answer.
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
        token = token or os.environ.get("TRAIND_TOKEN")
        self._connection = BlockingConnection(base_url, token, timeout_s, patience_s)

    def submit(
        self, spec: TrainSpec | Mapping[str, Any] | None = None, *, job_id: str | None = None, **fields: Any
    ) -> Job:
        """Submit a job: a `TrainSpec`, a mapping, or its fields as keywords.

        Under an id of one's own the same submit again is the same job.
        """
        return self.status(self._connection.send(calls.submit(fields if spec is None else spec, job_id)))

    def dry_run(self, spec: TrainSpec | Mapping[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
        """Tell what a job would do: schema, warnings, parameters, memory, seconds."""
        return self._connection.send(calls.dry_run(fields if spec is None else spec))

    def status(self, job_id: str) -> Job:
        """Return one job."""
        return self._connection.send(calls.status(job_id))

    def jobs(
        self,
        status: Status | str | Iterable[Status | str] | None = None,
        limit: int = 100,
        after: str | int | None = None,
        **filters: Unpack[Filters],
    ) -> JobPage:
        """Return a page of jobs, newest first unless `sort` says otherwise; `filters` as `TrainingService.jobs`."""
        return self._connection.send(calls.jobs(status, limit, after, filters))

    def events(self, job_id: str, after: int = 0, limit: int = 1000) -> EventPage:
        """Return a page of a job's events."""
        return self._connection.send(calls.events(job_id, after, limit))

    def watch(self, job_id: str, after: int = 0) -> Iterator[AnyEvent]:
        """Yield a job's events, each `seq` once and in order, until the job has ended; as `Client.watch`."""
        cursor = Cursor(job_id, after)
        absence = self._connection.patience.begin()
        while not cursor.is_over:
            try:
                with self._connection.response(cursor.call(), silence_s=STREAM_SILENCE_S) as response:
                    absence.answered()
                    cursor.opened(response.status)
                    while chunk := response.read1():
                        yield from cursor.feed(chunk)
                    cursor.closed()
            except Away as away:
                time.sleep(absence.delay(away, is_repeatable=True))

    def wait(self, job_id: str) -> Job:
        """Return the job once it has ended."""
        for _event in self.watch(job_id, after=self.status(job_id).seq):
            pass
        return self.status(job_id)

    def stop(self, job_id: str) -> Job:
        """End a job and keep the best model so far."""
        return self.status(self._connection.send(calls.verb("stop", job_id)))

    def pause(self, job_id: str) -> Job:
        """Let a job write its checkpoint and give its slot back."""
        return self.status(self._connection.send(calls.verb("pause", job_id)))

    def cancel(self, job_id: str) -> Job:
        """End a job and keep nothing but its record."""
        return self.status(self._connection.send(calls.verb("cancel", job_id)))

    def resume(self, job_id: str, epochs: int | None = None) -> Job:
        """Let a paused, stopped, failed or (with more epochs) completed job go on."""
        return self.status(self._connection.send(calls.verb("resume", job_id, epochs)))

    def edit(self, job_id: str, **changes: Any) -> Job:
        """Change `name`, `tags` or `notes` of a job, or its `priority` while it waits; what is left out stays."""
        return self._connection.send(calls.edit(job_id, changes))

    def delete(self, job_id: str) -> None:
        """Remove a finished job with its files."""
        self._connection.send(calls.delete(job_id))

    def logs(self, job_id: str, limit_bytes: int = 65_536) -> str:
        """Return the end of what a job wrote."""
        return self._connection.send(calls.logs(job_id, limit_bytes))

    def curve(self, job_id: str, points: int = 800) -> dict[str, Any]:
        """Return a job's curves, rewound at resumed attempts and thinned to about `points` a series."""
        return self._connection.send(calls.curve(job_id, points))

    def predict(
        self, model: str, rows: Rows | None = None, *, columns: Mapping[str, list[Any]] | None = None
    ) -> Prediction:
        """Predict with a job's model, or an alias's: one prediction a row."""
        return self._connection.send(calls.predict(model, rows, columns))

    def model_path(self, model: str, *, to: str | os.PathLike[str] | None = None) -> Path:
        """Download a finished model and return where it lies: `to`, or `<model>.pt`. `traind.load_model` reads it."""
        return self._connection.download(calls.model(model), Path(to or f"{model}.pt"))

    def export(self, model: str, format: str, *, to: str | os.PathLike[str] | None = None) -> Path:  # noqa: A002
        """Download a verified `onnx` or `safetensors` export of a model and return where it lies."""
        return self._connection.download(calls.export(model, format), Path(to or f"{model}.{format}"))

    def put_dataset(
        self,
        name: str,
        source: str | os.PathLike[str] | bytes | Iterable[Row],
        format: str | None = None,  # noqa: A002
        *,
        told: OnProgress | None = None,
    ) -> Dataset:
        """Register a data set from a path, bytes or rows; `told(sent_bytes, size_bytes)` follows the upload."""
        upload = upload_of(source, format)
        return self._connection.upload(calls.put_dataset(name, upload.format), upload, told)

    def datasets(self) -> list[Dataset]:
        """Return every registered data set."""
        return self._connection.send(calls.datasets())

    def dataset(self, name: str) -> Dataset:
        """Return one data set."""
        return self._connection.send(calls.dataset(name))

    def preview(self, name: str, rows: int = 20) -> dict[str, Any]:
        """Return the first rows of a data set, its columns and their summary."""
        return self._connection.send(calls.preview(name, rows))

    def delete_dataset(self, name: str) -> None:
        """Remove a data set that no unfinished job uses."""
        self._connection.send(calls.delete_dataset(name))

    def evaluate(
        self,
        model: str,
        source: str | os.PathLike[str] | bytes | Iterable[Row] | None = None,
        *,
        dataset: str | None = None,
        format: str | None = None,  # noqa: A002
    ) -> Score:
        """Return how good a job's (or alias's) model is on a labelled table: `source`, or a registered `dataset`."""
        if (source is None) == (dataset is None):
            raise TypeError("Give a table or the name of a data set, and not both.")
        if source is None:
            return self._connection.send(calls.evaluate(model, str(dataset)))
        upload = upload_of(source, format)
        return self._connection.upload(calls.evaluate_table(model, upload.format), upload, None)

    def set_alias(
        self, name: str, job_id: str | None, if_better: IfBetter | Mapping[str, Any] | None = None
    ) -> AliasSet | None:
        """Point a name at a job's model (None: at nothing), with `if_better` only if better (else `NotBetter`)."""
        if job_id is None:
            self._connection.send(calls.remove_alias(name))
            return None
        return self._connection.send(calls.set_alias(name, job_id, if_better))

    def alias(self, name: str) -> Alias:
        """Return an alias with its history."""
        return self._connection.send(calls.alias(name))

    def aliases(self) -> dict[str, dict[str, Any]]:
        """Return each alias with the job it points at and since when."""
        return self._connection.send(calls.aliases())

    def health(self) -> dict[str, Any]:
        """Return how the server is: version, slots, queue, uptime."""
        return self._connection.send(calls.health())
