"""Refuses a job that cannot fit, in microseconds and without a process.

A lower bound of what the spec alone makes certain: weights with their optimizer, and the batches' activations. What
the table adds is known in the worker, which has a limit of its own. Called at submit.
"""

from itertools import pairwise

from traind.service.errors import InvalidSpec
from traind.trainer.contract.spec import MlpModel, TabmModel, TrainSpec

NUMBER_BYTES = 4
STATES = 5  # of each weight: itself, gradient, two moments, the best so far
SYNTHETIC_ROWS, SYNTHETIC_COLUMNS = 20_000, 8


def check_memory(spec: TrainSpec, columns: int, limit_bytes: int) -> None:
    """Raise `InvalidSpec` where the spec needs more than `limit_bytes`, naming the field to change; 0: no limit."""
    if limit_bytes == 0 or spec.trainer != "tabular":
        return
    needs = _needs(spec, columns)
    if sum(needs.values()) <= limit_bytes:
        return
    field = max(needs, key=lambda name: needs[name])
    problem = f"needs at least {sum(needs.values()) / 2**30:.1f} GiB; a job may use {limit_bytes / 2**30:.1f} GiB"
    raise InvalidSpec(
        f"{field}: {problem}.",
        hint="Make it smaller, or raise the server's memory_budget_bytes.",
        details=[{"loc": field, "msg": problem}],
    )


def _needs(spec: TrainSpec, columns: int) -> dict[str, int]:
    """Return the bytes that each field makes necessary."""
    rows = SYNTHETIC_ROWS
    if spec.dataset is None:
        rows = spec.synthetic.rows if spec.synthetic else SYNTHETIC_ROWS
        columns = spec.synthetic.columns if spec.synthetic else SYNTHETIC_COLUMNS
    needs = {"synthetic.rows": 2 * rows * columns * NUMBER_BYTES}
    if isinstance(spec.model, MlpModel | TabmModel):
        widths = (columns, *spec.model.hidden, 1)
        weights = sum(before * after for before, after in pairwise(widths))
        heads = spec.model.k if isinstance(spec.model, TabmModel) else 1
        batch = min(rows, spec.batch_size) if isinstance(spec.batch_size, int) else 1
        needs["model.hidden"] = STATES * NUMBER_BYTES * weights
        needs["batch_size"] = 2 * NUMBER_BYTES * batch * heads * sum(spec.model.hidden)
    return needs
