"""The dry run: what a job would do. Runs in the side worker; takes no slot.

The table is read and encoded as in the job (which reuses the encoding), the network is built, and a few gradient
steps are timed. The reported seconds are for all planned epochs, without early stopping.
"""

import statistics
import tempfile
import time
from typing import Any

import msgspec
import torch
from msgspec import structs

from traind.data.prepare import Prepared
from traind.trainer.contract import memory
from traind.trainer.contract.control import LocalControl
from traind.trainer.contract.spec import DatasetFile, Place, TrainSpec
from traind.trainer.network.recipe import Recipe
from traind.trainer.run.run import Run
from traind.trainer.step.step import Step
from traind.trainer.tabular.bundle import shown
from traind.trainer.tabular.loop import TrainingPlan
from traind.trainer.tabular.phases import networks_phase, trees_phase
from traind.trainer.tabular.train import choose_recipe, read

TIMED_S = 1.0
TIMED_STEPS = 200
LEAST_STEPS = 20


def estimate_request(request: dict[str, Any]) -> dict[str, Any]:
    """Answer `{"spec", "dataset": a DatasetFile or null, "cache_dir": or null}` with what the job would do.

    Raises `DataError` and `SpecError` as the job would.
    """
    spec = msgspec.convert(request["spec"], TrainSpec)
    torch.set_num_threads(spec.threads)
    dataset = msgspec.convert(request["dataset"], DatasetFile | None)
    with tempfile.TemporaryDirectory(prefix="traind-") as folder:
        place = Place(
            job_id="dry_run", attempt=1, attempt_dir=folder, dataset=dataset, cache_dir=request.get("cache_dir")
        )
        return estimate(Run(spec, lambda _: None, place, LocalControl()))


def estimate(run: Run[Any]) -> dict[str, Any]:
    """Return schema, warnings, recipe, parameters, memory and seconds of the run's job."""
    prepared = read(run)
    recipe = choose_recipe(run, prepared)
    phases = [trees_phase(run, prepared, recipe)] if recipe.trees is not None else []
    if recipe.network is not None:
        phases.append(networks_phase(run, prepared, recipe))
    plan = phases[-1].plan
    seconds = sum(phase.plan.steps * _step_seconds(phase.step, phase.plan) for phase in phases)
    weights = [phase.step.weights(averaged=False) for phase in phases]
    parameters = sum(weight.numel() for one in weights for weight in one.values())
    schema = shown(prepared.schema)
    return {
        "rows": {"train": len(prepared.train), "validation": len(prepared.validation), "test": len(prepared.test)},
        "task": prepared.schema.task,
        "task_reason": prepared.schema.task_reason,
        "target": prepared.schema.target,
        "schema": schema,
        "warnings": schema["warnings"],
        "recipe": phases[-1].about["recipe"],
        "parameters": parameters,
        "epochs": plan.epochs,
        "steps": sum(phase.plan.steps for phase in phases),
        "seconds": round(seconds, 1),
        "memory_bytes": _memory_bytes(prepared, recipe, parameters, plan.batch_size, is_read=run.dataset is not None),
    }


def _step_seconds(step: Step, plan: TrainingPlan) -> float:
    """Return the seconds of a gradient step on this machine: the median of the last steps; the first ones warm up."""
    step.begin_epoch(*plan.orders(0))
    took: list[float] = []
    deadline = time.perf_counter() + TIMED_S
    while len(took) < min(TIMED_STEPS, plan.batches) and (len(took) < LEAST_STEPS or time.perf_counter() < deadline):
        started = time.perf_counter()
        step.run(len(took))
        took.append(time.perf_counter() - started)
    return statistics.median(took[-(len(took) // 3 + 1) :])


def _memory_bytes(prepared: Prepared, recipe: Recipe, parameters: int, batch_size: int, *, is_read: bool) -> int:
    """Return the job's estimated memory in bytes, beside the process itself, as the server's budget counts it."""
    train, encoder = prepared.train, prepared.encoder
    texts = tuple(memory.Text(bag.width, bag.size) for bag in encoder.bags)
    held = len(prepared.validation) + len(prepared.test)
    numeric = int(train.numeric.shape[1])
    table = memory.Table(len(train), numeric, encoder.cardinalities, texts, held, is_read=is_read)
    shape = memory.Shape(
        outputs=recipe.outputs,
        members=recipe.members,
        has_network=recipe.network is not None,
        has_trees=recipe.trees is not None,
    )
    if recipe.network is not None:
        network = recipe.network
        shape = structs.replace(
            shape,
            hidden=network.hidden,
            heads=network.heads,
            embedding=network.embedding,
            dim=network.embedding_dim,
        )
    return sum(memory.needs(shape, table, batch_size, parameters).values())
