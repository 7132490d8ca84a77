"""How fast a gradient step is: python -m bench.steps [--repeats 5] [--only bare grid default around].

Everything runs in this process, on one thread and in turns, so that the ratios hold on a busy machine. Peers that
are not installed are left out, with a word: pip install 'traind[bench]'. What reports and the like cost
is too little for that: there, epochs of one network with them and without take turns, many of each.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing import sharedctypes

import numpy as np
import torch
from bench import loops
from bench.records import Repeats, in_turns, ratio, say, show, write
from torch import nn

from traind.trainer.contract.control import SharedControl, Verb
from traind.trainer.contract.spec import AutoModel, Model, Place, TrainSpec
from traind.trainer.network import objective
from traind.trainer.network.network import build
from traind.trainer.network.recipe import choose, facts_of
from traind.trainer.run.run import Run
from traind.trainer.step.flat_optimizer import Optimizer
from traind.trainer.step.step import Step, make_step
from traind.trainer.tabular.loop import AT_ONCE, TrainingPlan, begin, fit, permutation
from traind.trainer.tabular.schedules import Schedule
from traind.trainer.worker.outbox import Outbox

BATCHES = (16, 256, 4096)
GRID_BATCHES, GRID_WIDTHS, GRID_DEPTHS = (8, 64, 512, 4096, 16384), (16, 128, 1024), (1, 3, 6)
TOO_LARGE = 1e10  # multiplications a step
ENOUGH = 3e9  # multiplications a measurement
AROUND_ROWS, OLD_S = 20_000, 20.0  # a job of that age reports 20 times a second
AROUND_EPOCHS = {16: 11, 256: 45}  # for half a second: the first and the last step of a run are told beside the 20
AUTO = AutoModel()
TABLE_ROWS, CARDINALITIES = 8_192, (3, 9, 24, 70)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=(*PARTS,), default=[*PARTS])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    write("steps", {name: PARTS[name](asked.repeats) for name in asked.only})


def bare(repeats: int) -> dict[int, Repeats]:
    """Compare everybody on the bare network."""
    results = {}
    for batch in BATCHES:
        makers = {
            "plain loop": loops.plain,
            "best eager loop": loops.eager,
            "lightning": loops.lightning,
            "skorch": loops.skorch,
            "scikit-learn": loops.scikit_learn,
            "plain C": loops.limit,
            "traind, the step": loops.step,
            "traind, a job": loops.job,
        }
        made = {name: make(batch) for name, make in makers.items()}
        contenders = {name: loop for name, loop in made.items() if loop is not None}
        for name in made.keys() - contenders.keys():
            print(f"{name} is not installed, and left out")
        measured = in_turns(contenders, repeats)
        rows = [
            (name, f"{statistics.median(measured[name]):.1f}", f"{ratio(measured, name, 'traind, a job'):.2f}")
            for name in contenders
        ]
        show(f"8-64-64-1, Adam, batch {batch}", ("", "us a step", "times a job of traind"), rows)
        results[batch] = measured
    return results


def grid(repeats: int) -> list[dict[str, object]]:
    """Compare the step with the best eager loop over sizes: it must never be slower."""
    results, rows = [], []
    for batch in GRID_BATCHES:
        for width in GRID_WIDTHS:
            for depth in GRID_DEPTHS:
                size = 3 * batch * depth * width * width
                if size > TOO_LARGE:
                    continue
                steps = min(loops.steps_of(batch), max(4, min(300, int(ENOUGH / size))))
                makers = {"eager": loops.eager, "step": loops.step}
                contenders = {name: make(batch, loops.network(width, depth), steps) for name, make in makers.items()}
                measured = in_turns(contenders, repeats, is_told=False)
                gain = ratio(measured, "eager", "step")
                rows.append((f"batch {batch}, {depth} x {width}", f"{gain:.2f}"))
                results.append({"batch": batch, "width": width, "depth": depth, "gain": gain, **measured})
                say(f"batch {batch}, {depth} x {width}: {gain:.2f} times as fast as the best eager loop")
    show("best eager loop over step", ("", "ratio"), rows)
    return results


def default(repeats: int) -> dict[int, Repeats]:
    """Compare the step with the best eager loop on the default model of a table with numbers and categories."""
    results, rows = {}, []
    for batch in (64, 256, 1024):
        measured = in_turns({"eager": _default_eager(batch), "step": _default_step(batch)}, repeats)
        times = [f"{statistics.median(measured[name]):.0f}" for name in ("eager", "step")]
        rows.append((f"batch {batch}", *times, f"{ratio(measured, 'eager', 'step'):.2f}"))
        results[batch] = measured
    show("default model, AdamW, averaged weights", ("", "best eager, us", "step, us", "ratio"), rows)
    return results


def around(turns: int) -> dict[int, Repeats]:
    """Compare epochs as jobs take them, with reports, stop checks and the places to go back to, with bare steps."""
    results, rows = {}, []
    for batch in (16, 256):
        own = make_step(loops.network(), nn.functional.mse_loss, loops.table(), Optimizer("adam"), batch_size=batch)
        contenders = {"as in a job": _epochs(own, batch), "bare": _bare_epochs(own, batch)}
        measured = in_turns(contenders, turns, is_told=False)
        pairs = zip(measured["as in a job"], measured["bare"], strict=True)
        cost = statistics.median(job / bare for job, bare in pairs) - 1
        times = [f"{statistics.median(measured[name]):.1f}" for name in contenders]
        rows.append((f"batch {batch}", *times, f"{100 * cost:+.1f} %"))
        results[batch] = measured
    show("reports, stop checks and all, us a step", ("", "as in a job", "bare steps", "cost"), rows)
    return results


def _epochs(own: Step, batch: int) -> loops.Loop:
    """Return some epochs by the loop of jobs, with a pipe that another process reads, as the server does."""
    spec = TrainSpec()
    plan = TrainingPlan(AROUND_ROWS, batch, AROUND_EPOCHS[batch], None, Schedule("constant", 1e-3, 1), 0)

    def loop() -> float:
        with tempfile.TemporaryDirectory() as folder, piped() as outbox:
            control = sharedctypes.RawValue(SharedControl)
            run = Run(spec, outbox.emit, Place(job_id="bench", attempt=1, attempt_dir=folder, ran_s=OLD_S), control)

            def evaluate() -> tuple[float, dict[str, float | None]]:
                if at.epoch == plan.epochs - 1:
                    run.told = Verb.CANCEL  # no checkpoint at the end: one is written every half a minute
                return -float(at.epoch), {}

            at = begin(own, plan, None)
            start = time.perf_counter()
            fit(run, own, plan, at, evaluate, {})
            return (time.perf_counter() - start) / (plan.epochs * plan.batches) * 1e6

    return loop


def _bare_epochs(own: Step, batch: int) -> loops.Loop:
    count, epochs = -(-AROUND_ROWS // batch), AROUND_EPOCHS[batch]

    def loop() -> float:
        start = time.perf_counter()
        for epoch in range(epochs):
            own.begin_epoch(permutation(0, epoch, AROUND_ROWS))
            for first in range(0, count, AT_ONCE):
                for _ in own.steps(first, min(AT_ONCE, count - first), ()):
                    pass
        return (time.perf_counter() - start) / (epochs * count) * 1e6

    return loop


@contextlib.contextmanager
def piped() -> Iterator[Outbox]:
    """Lend a worker's way to its server."""
    reader, writer = os.pipe()
    with subprocess.Popen(["cat"], stdin=reader, stdout=subprocess.DEVNULL):
        os.close(reader)
        outbox = Outbox(writer)
        yield outbox
        outbox.drain()
        os.close(writer)


def default_model(model: Model = AUTO) -> tuple[nn.Module, objective.Loss, list[torch.Tensor], Optimizer]:
    """A network as a job of a table with numbers and categories has it: with its loss, rows and optimizer."""
    rng = np.random.default_rng(0)
    numeric = rng.normal(size=(TABLE_ROWS, 8)).astype(np.float32)
    categorical = np.stack([rng.integers(0, count, TABLE_ROWS) for count in CARDINALITIES], axis=1)

    class Table:
        def __init__(self) -> None:
            self.numeric = numeric
            self.categorical = categorical
            self.target = np.sin(numeric.sum(axis=1)) + categorical[:, 3] / 70

    recipe = choose(TrainSpec(model=model), facts_of("regression", 0, CARDINALITIES, Table()))
    tensors = [torch.from_numpy(numeric), torch.from_numpy(categorical)]
    tensors.append(objective.training_target(recipe, Table().target))
    optimizer = Optimizer("adamw", recipe.lr, recipe.weight_decay, recipe.betas, averaging=recipe.averaging or None)
    return build(recipe, CARDINALITIES, Table(), 0), objective.loss_function(recipe), tensors, optimizer


def _default_step(batch: int) -> loops.Loop:
    step: Step = make_step(*default_model(), batch_size=batch)

    def loop() -> float:
        return loops.timed(lambda: step.begin_epoch(torch.randperm(TABLE_ROWS)), step.run, TABLE_ROWS // batch)

    for _ in range(1 + 128 * batch // TABLE_ROWS):
        loop()
    return loop


def _default_eager(batch: int) -> loops.Loop:
    model, loss, tensors, settings = default_model()
    parameters = list(model.parameters())
    average = [parameter.detach().clone() for parameter in parameters]
    own = {"lr": settings.lr, "weight_decay": settings.weight_decay, "betas": settings.betas}
    optimizer = torch.optim.AdamW(parameters, fused=True, **own)
    batches: list[tuple[torch.Tensor, ...]] = []

    def permute() -> None:
        order = torch.randperm(TABLE_ROWS)
        batches[:] = zip(*(tensor[order].split(batch) for tensor in tensors), strict=True)

    def step(number: int) -> None:
        *inputs, target = batches[number]
        optimizer.zero_grad()
        loss(model(*inputs), target).backward()
        optimizer.step()
        if settings.averaging is not None:
            with torch.no_grad():
                torch._foreach_lerp_(average, parameters, 1.0 - settings.averaging)

    return lambda: loops.timed(permute, step, TABLE_ROWS // batch)


PARTS: dict[str, Callable[[int], object]] = {
    "bare": bare,
    "grid": lambda repeats: grid(min(3, repeats)),
    "default": lambda repeats: default(2 * repeats),
    "around": lambda repeats: around(4 * repeats),
}


if __name__ == "__main__":
    main()
