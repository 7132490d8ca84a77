"""Wrote root.tar.gz and expected.json, on version 0.1.0: python make_root.py REPOSITORY, in an empty folder."""

import asyncio
import csv
import gzip
import json
import sys
from pathlib import Path
from typing import Any

from traind import TrainingService
from traind.trainer.contract.events import Epoch, State, Status

SPEC: dict[str, Any] = {
    "dataset": "houses",
    "target": "price",
    "model": {"kind": "mlp", "hidden": [8], "embedding": "none", "dropout": 0.1},
    "batch_size": 32,
    "checkpoint_every": 0.0,
    "seed": 7,
}


async def main(sample: Path) -> dict[str, Any]:
    with gzip.open(sample, "rt") as file:
        lines = file.read().splitlines()[:201]
    rows = list(csv.DictReader(lines[:4]))
    async with TrainingService(root="root", slots=1, trainers={"line": "line_trainer:train"}) as service:
        await service.put_dataset("houses", "\n".join(lines).encode())
        await service.submit(job_id="completed", epochs=3, **SPEC)
        await service.submit(job_id="reference", epochs=400, patience=None, **SPEC)
        await service.submit(job_id="own", trainer="line", options={"steps": 20})
        completed, reference, _ = [await service.wait(name) for name in ("completed", "reference", "own")]
        await service.submit(job_id="paused", epochs=400, patience=None, **SPEC)
        async for event in service.watch("paused"):
            if isinstance(event, Epoch) and event.epoch >= 20:
                await service.pause("paused")
            if isinstance(event, State) and event.status is Status.PAUSED:
                break
        await service.delete("reference")
        return {
            "rows": rows,
            "predictions": (await service.predict("completed", rows)).predictions,
            "own": (await service.predict("own", [{"x": 2.0}])).predictions,
            "completed": completed.weights_digest,
            "reference": reference.weights_digest,
            "paused_step": (await service.status("paused")).step,
        }


if __name__ == "__main__":
    said = asyncio.run(main(Path(sys.argv[1]) / "data/samples/house_prices.csv.gz"))
    Path("expected.json").write_text(json.dumps(said, indent=1))
