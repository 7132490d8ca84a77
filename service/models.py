"""The models of one root: predict, export, evaluate, and the aliases that name them. Base of `TrainingService`.

Reads no model itself: what needs torch is done by the side worker.
"""

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from traind.data.files import copy_whole
from traind.service.errors import AliasNotFound, IdTaken, JobNotFound, ModelNotReady, NotBetter, TooMany
from traind.service.jobs.job import Job
from traind.service.parts import Parts
from traind.service.processes.side import LOADED_S
from traind.service.results import Alias, AliasMove, AliasSet, Comparison, IfBetter, Prediction, Score
from traind.service.sources import Source
from traind.service.threads import in_thread
from traind.service.validation.explain import Problem
from traind.service.validation.validate import parse, refusal
from traind.trainer.contract.metrics import is_higher_better

Rows = Iterable[Mapping[str, Any]]
QUICK_S = 60.0  # limit of a prediction by the side worker
FEW_BYTES = 64 * 1024  # of JSON: such predictions have a lane of their own, so that they wait for no large one
SLOW_S = 600.0  # limit of an export, an evaluation or a dry run


class Models(Parts):
    """The calls about finished models."""

    async def predict(
        self,
        model: str,
        rows: Rows | None = None,
        *,
        columns: Mapping[str, list[Any]] | None = None,
        interval: float | None = None,
    ) -> Prediction:
        """Predict with the model of a job or an alias; while a job runs, with its best checkpoint so far.

        `interval`, such as 0.9, adds to each predicted number an interval that contains this share of the true
        values. Raises `JobNotFound`, `ModelNotReady`, `PredictionFailed` naming each bad row, and `SpecError` where
        the model has no intervals.
        """
        data: dict[str, Any] = {"interval": interval}
        data |= {"rows": [dict(row) for row in rows or ()]} if columns is None else {"columns": dict(columns)}
        request = await self._prediction_of(model) | data
        answer = await self.side.call(
            "traind.trainer.model.answers:predict_request", request, QUICK_S, LOADED_S, lane="predict many"
        )
        return msgspec.convert(answer, Prediction)

    async def predict_json(self, model: str, interval: float | None = None, **data: bytes) -> bytes | Path:
        """Predict `rows` or `columns` as `predict` does, from JSON to JSON, without decoding it in this process.

        A large answer is a file in a folder of its own, as that of `export`.
        """
        request = await self._prediction_of(model) | {"interval": interval} | data
        function = "traind.trainer.model.answers:predict_json_request"
        if sum(map(len, data.values())) <= FEW_BYTES:
            answer = await self.side.call(function, request, QUICK_S, LOADED_S, lane="predict few")
            return bytes(answer["json"])
        async with self._out_dir("predict-") as folder:
            request["out_dir"] = folder
            answer = await self.side.call(function, request, QUICK_S, LOADED_S, lane="predict many")
        if "path" in answer:
            return Path(answer["path"])
        await in_thread(shutil.rmtree, folder, True)
        return bytes(answer["json"])

    @contextlib.asynccontextmanager
    async def _out_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield a folder for the side worker to write to; it is removed after an error."""
        folder = await asyncio.to_thread(tempfile.mkdtemp, "", prefix, self.layout.side_dir)
        try:
            yield folder
        except BaseException:
            await in_thread(shutil.rmtree, folder, True)
            raise

    async def _prediction_of(self, model: str) -> dict[str, Any]:
        """Return the side worker's request for a model; raises `JobNotFound`, `ModelNotReady`.

        An alias is looked up once, so that one answer is of one model.
        """
        self._check_open()
        job = await self.engine.job(await self._job_of(model))
        request: dict[str, Any] = {"model_path": os.fspath(self._file_of(job, or_best=True)), "job_id": job.job_id}
        if job.spec.trainer != "tabular":
            request["trainer"] = self.settings.all_trainers().get(job.spec.trainer)
        return request

    async def model_path(self, model: str, *, to: str | os.PathLike[str] | None = None) -> Path:
        """Return the file of a job's (or alias's) finished model, copied to `to` if given; `load_model` reads it.

        Raises `ModelNotReady`.
        """
        self._check_open()
        path = self._file_of(await self.engine.job(await self._job_of(model)), or_best=False)
        if to is None:
            return path
        await in_thread(copy_whole, path, Path(to))
        return Path(to)

    def _file_of(self, job: Job, *, or_best: bool) -> Path:
        made = job.model or (job.checkpoint if or_best else None)
        if made is not None and (path := self.layout.root / made).exists():
            return path
        if job.model is not None:
            raise ModelNotReady(f"The model of the job {job.job_id} is gone: there is no {job.model}.")
        checkpoint = "for its first checkpoint (checkpoint_every), or " if or_best else ""
        raise ModelNotReady(
            f"The job {job.job_id} is {job.status.lower()} and has no model.",
            hint=f"Wait {checkpoint}until it is completed." if job.finished_at is None else None,
        )

    async def export(
        self,
        model: str,
        format: str,  # noqa: A002 - the public word for it
        *,
        to: str | os.PathLike[str] | None = None,
    ) -> Path:
        """Make a verified `onnx` or `safetensors` export of a job's model and return its path.

        That is `to`, or a file in a new folder, which the caller removes; at the latest the service does when it
        closes.
        """
        path = await self.model_path(model)
        async with self._out_dir("export-") as folder:
            request = {"model_path": os.fspath(path), "format": format, "out_dir": folder}
            answer = await self.side.call("traind.trainer.model.export:export_request", request, SLOW_S)
        made = Path(answer["path"])
        if to is None:
            return made
        try:
            await in_thread(self.layout.disk.move, made, Path(to))
        finally:
            await in_thread(shutil.rmtree, folder, True)
        return Path(to)

    async def evaluate(
        self,
        model: str,
        source: Source | None = None,
        *,
        dataset: str | None = None,
        format: str | None = None,  # noqa: A002 - the public word for it
    ) -> Score:
        """Return how good a job's (or alias's) model is on a labelled table: `source`, or a registered `dataset`.

        Raises `DatasetNotFound`, and `BadTable` for a table without the target or with cells that cannot be read.
        """
        if (source is None) == (dataset is None):
            raise refusal([Problem("dataset", "or a table must be given, and not both")])
        request = await self._prediction_of(model)
        if dataset is not None:
            version = await self._datasets.version(dataset)
            return await self._score(request, version.path, version.format)
        assert source is not None
        async with self._datasets.borrowed(source, format) as (path, hint):
            return await self._score(request, path, hint)

    async def _score(self, request: dict[str, Any], path: Path, form: str | None) -> Score:
        table = {"path": os.fspath(path), "format": form}
        function = "traind.trainer.model.scoring:evaluate_request"
        answer = await self.side.call(function, {**request, **table}, SLOW_S, LOADED_S, lane="evaluate")
        return msgspec.convert({**answer, "job_id": request["job_id"]}, Score)

    async def predict_table(
        self,
        model: str,
        source: Source,
        format: str | None = None,  # noqa: A002
        *,
        interval: float | None = None,
    ) -> Path:
        """Return a CSV file of a table's columns with the predictions, in a folder of its own, as `export` does.

        `interval` as in `predict`: columns `prediction_low` and `prediction_high`.
        """
        request = await self._prediction_of(model) | {"interval": interval}
        function = "traind.trainer.model.scoring:predict_table_request"
        async with self._out_dir("predict-") as folder, self._datasets.borrowed(source, format) as (path, hint):
            table = {"path": os.fspath(path), "format": hint, "out_dir": folder}
            answer = await self.side.call(function, {**request, **table}, SLOW_S, LOADED_S, lane="evaluate")
        return Path(answer["path"])

    async def set_alias(
        self, name: str, job_id: str | None, if_better: IfBetter | Mapping[str, Any] | None = None
    ) -> AliasSet | None:
        """Point a name at a job's model (None: at nothing), with `if_better` only if it is better.

        Both models are evaluated on the same version of the table. If the alias moved meanwhile, they are compared
        again.
        Raises `InvalidName`, `JobNotFound`, `ModelNotReady`, `NotBetter` with both scores.
        """
        self._check_open()
        store = self.engine.journal.store
        if job_id is None:
            await store.set_alias(name, None)
            return None
        await self.model_path(job_id)
        job_id = await self._job_of(job_id)
        await self._check_alias(name)
        if if_better is None:
            async with self.engine.journal.turn:
                await self._check_alias(name)
                await store.set_alias(name, job_id)
            return AliasSet(name, job_id)
        condition = parse(if_better, IfBetter) if isinstance(if_better, Mapping) else if_better
        while True:
            before = (await store.aliases()).get(name, (None, 0.0))[0]
            if before == job_id:
                return AliasSet(name, job_id, is_moved=False)
            compared = await self._compare(job_id, before, condition)
            check_better(name, compared, condition)
            reason = msgspec.json.encode(compared).decode()
            async with self.engine.journal.turn:
                await self._check_alias(name)
                is_moved = await store.set_alias(name, job_id, reason, expected=(before,))
            if is_moved:
                return AliasSet(name, job_id, comparison=compared)

    async def _compare(self, job_id: str, before: str | None, condition: IfBetter) -> Comparison:
        """Evaluate a model, and that of job `before` if it exists, on the newest version of a data set."""
        version = await self._datasets.version(condition.dataset)

        async def score(of_job: str) -> float | None:
            scored = await self._score(await self._prediction_of(of_job), version.path, version.format)
            if condition.metric not in scored.metrics:
                known = ", ".join(scored.metrics)
                raise refusal([Problem("if_better.metric", f"is no metric of {scored.task}; there are: {known}")])
            return scored.metrics[condition.metric]

        challenger = await score(job_id)
        head = (condition.dataset, version.digest, condition.metric, job_id, challenger)
        try:
            return Comparison(*head) if before is None else Comparison(*head, before, await score(before))
        except (JobNotFound, ModelNotReady):
            return Comparison(*head)

    async def alias(self, name: str) -> Alias:
        """Return an alias with its history; raises `AliasNotFound`."""
        self._check_open()
        moves = await self.engine.journal.store.alias_moves(name)
        if not moves:
            raise AliasNotFound(f"There is no alias {name!r}.")
        history = [
            AliasMove(job_id, ts, None if reason is None else msgspec.json.decode(reason, type=Comparison))
            for job_id, ts, reason in moves
        ]
        return Alias(name, history[-1].job_id, history)

    async def _check_alias(self, name: str) -> None:
        """Raise `IdTaken` where the name is a job's id, `TooMany` at the limit of aliases."""
        with contextlib.suppress(JobNotFound):
            await self.engine.journal.job(name)
            raise IdTaken(f"{name!r} is the id of a job.", hint="Choose another name.")
        known = await self.engine.journal.store.aliases()
        if name not in known and len(known) >= self.settings.max_aliases:
            raise TooMany(
                f"There are {len(known)} aliases already.", hint="Delete some; --max-aliases sets the limit."
            )

    async def aliases(self) -> dict[str, dict[str, Any]]:
        """Return each alias with the job it points at and since when."""
        self._check_open()
        rows = await self.engine.journal.store.aliases()
        return {name: {"job_id": job_id, "since": since} for name, (job_id, since) in rows.items()}

    async def _job_of(self, model: str) -> str:
        """Return the job a model's name means: a job id, or an alias."""
        try:
            return (await self.engine.journal.job(model)).job_id
        except JobNotFound:
            aliases = await self.engine.journal.store.aliases()
            if model not in aliases:
                raise
            return aliases[model][0]


def check_better(name: str, compared: Comparison, condition: IfBetter) -> None:
    """Raise `NotBetter` unless the new model is better; without a model before it, any score is."""
    if compared.before_job_id is None and compared.score is not None:
        return
    if compared.score is not None and compared.before is not None:
        gain = compared.score - compared.before
        gain = gain if is_higher_better(condition.metric) else -gain
        if gain > 0.0 and gain >= condition.by:
            return
    scores = {compared.job_id: compared.score, compared.before_job_id: compared.before}
    texts = {job_id: "not defined" if score is None else f"{score:.6g}" for job_id, score in scores.items() if job_id}
    raise NotBetter(
        f"{name} stays: on {condition.dataset}, {condition.metric} is "
        + " and ".join(f"{score} of {job_id}" for job_id, score in texts.items())
        + (f"; the new one must be better by {condition.by:g}." if condition.by else "."),
        details=[
            {"loc": "if_better", "msg": f"{condition.metric} {text}", "job_id": job_id, "score": scores[job_id]}
            for job_id, text in texts.items()
        ],
    )
