"""The models of one root: predict, export, evaluate, and the aliases that name them. Base of `TrainingService`.

Reads no model itself: what needs torch is done by the side worker.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from traind.service.engine.engine import Engine
from traind.service.errors import JobNotFound, ModelNotReady
from traind.service.processes.side import LOADED_S, SideWorker
from traind.service.results import Prediction
from traind.service.settings import Layout, Settings
from traind.service.threads import in_thread

Rows = Iterable[Mapping[str, Any]]
QUICK_S = 60.0  # what a side worker may take to predict
FEW_BYTES = 64 * 1024  # of JSON: such a prediction takes no time, and waits for none that does
SLOW_S = 600.0  # to export or to look at a whole spec


class Models:
    """What a service does with finished models."""

    settings: Settings
    layout: Layout
    engine: Engine
    side: SideWorker

    def _check_open(self) -> None:
        """Raise `NotRunning` where the service is not started."""
        raise NotImplementedError

    async def predict(
        self, model: str, rows: Rows | None = None, *, columns: Mapping[str, list[Any]] | None = None
    ) -> Prediction:
        """Predict with a job's model, or an alias's; of a running job with the best checkpoint so far.

        Raises `JobNotFound`, `ModelNotReady`, and `PredictionFailed` naming each bad row.
        """
        data = {"rows": [dict(row) for row in rows or ()]} if columns is None else {"columns": dict(columns)}
        request = await self._prediction_of(model) | data
        answer = await self.side.call(
            "traind.trainer.model.model:predict_request", request, QUICK_S, LOADED_S, lane="predict many"
        )
        return msgspec.convert(answer, Prediction)

    async def predict_json(self, model: str, **data: bytes) -> bytes:
        """Predict `rows` or `columns` as `predict` does, from JSON to JSON; neither is unpacked in this process."""
        request = await self._prediction_of(model) | data
        lane = "predict few" if sum(map(len, data.values())) <= FEW_BYTES else "predict many"
        answer = await self.side.call(
            "traind.trainer.model.model:predict_json_request", request, QUICK_S, LOADED_S, lane=lane
        )
        body: bytes = answer["json"]
        return body

    async def _prediction_of(self, model: str) -> dict[str, Any]:
        """Return what the side worker has to know of a model, or raise `JobNotFound`, `ModelNotReady`."""
        request: dict[str, Any] = {"model_path": os.fspath(await self.model_path(model, or_best=True))}
        trainer = (await self.engine.job(await self._job_of(model))).spec.trainer
        if trainer != "tabular":
            request["trainer"] = self.settings.all_trainers().get(trainer)
        return request

    async def model_path(self, model: str, *, or_best: bool = False) -> Path:
        """Return the file of a job's (or alias's) model; raises `ModelNotReady`.

        With `or_best`, the newest checkpoint of a job that has no model yet will do.
        """
        self._check_open()
        job = await self.engine.job(await self._job_of(model))
        made = job.model or (job.checkpoint if or_best else None)
        if made is not None and (path := self.layout.root / made).exists():
            return path
        if job.model is not None:
            raise ModelNotReady(f"The model of the job {job.job_id} is gone: there is no {job.model}.")
        raise ModelNotReady(
            f"The job {job.job_id} is {job.status.lower()} and has no model.",
            hint="Wait until it is completed." if job.finished_at is None else None,
        )

    async def export(self, model: str, format: str) -> Path:  # noqa: A002 - the public word for it
        """Return a verified `onnx` or `safetensors` export of a job's model, made now, in a folder of its own.

        Move it away or remove the folder; what is left there is gone when the service closes.
        """
        path = await self.model_path(model)
        out_dir = await asyncio.to_thread(tempfile.mkdtemp, "", "export-", self.layout.side_dir)
        request = {"model_path": os.fspath(path), "format": format, "out_dir": out_dir}
        try:
            answer = await self.side.call("traind.trainer.model.export:export_request", request, SLOW_S)
        except BaseException:
            await in_thread(shutil.rmtree, out_dir, True)
            raise
        return Path(answer["path"])

    async def set_alias(self, name: str, job_id: str | None) -> None:
        """Point a name at a job's model (None: at nothing); raises `JobNotFound`, `ModelNotReady`."""
        if job_id is not None:
            await self.model_path(job_id)
        await self.engine.journal.store.set_alias(name, job_id)

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
