"""Training loops to compare: what a user writes, its best form, and other frameworks. Each gives microseconds a step.

All train the bare network 8-64-64-1 (or one that is given) by Adam on the same rows, on one thread.
"""

import contextlib
import importlib.util
import io
import logging
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from traind.trainer.contract.events import Epoch
from traind.trainer.contract.spec import MlpModel, Place, Synthetic, TrainSpec
from traind.trainer.run.attempt import run
from traind.trainer.step.flat_optimizer import Optimizer
from traind.trainer.step.step import make_step

ROWS, INPUTS, LR = 20_000, 8, 1e-3
Loop = Callable[[], float]


def network(width: int = 64, depth: int = 2) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for at in range(depth):
        layers += [nn.Linear(width if at else INPUTS, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 1))


def table() -> tuple[Tensor, Tensor]:
    inputs = torch.randn(ROWS, INPUTS, generator=torch.Generator().manual_seed(0))
    return inputs, inputs.sum(1, keepdim=True).sin() + inputs[:, :1] ** 2


def steps_of(batch: int) -> int:
    """How many steps a repeat takes: whole batches of one epoch, and not too many."""
    return min(ROWS // batch, max(4, 400_000 // batch))


def plain(batch: int) -> Loop:
    """What a user writes."""
    model, rows = network(), DataLoader(TensorDataset(*table()), batch, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)

    def loop() -> float:
        left = steps_of(batch)
        start = time.perf_counter()
        for inputs, target in rows:
            optimizer.zero_grad()
            nn.functional.mse_loss(model(inputs), target).backward()
            optimizer.step()
            left -= 1
            if not left:
                break
        return _each(start, steps_of(batch))

    return loop


def eager(batch: int, model: nn.Module | None = None, steps: int | None = None) -> Loop:
    """The best loop in eager PyTorch: rows permuted once an epoch, batches sliced, the fused optimizer."""
    model, rows = model or network(), table()
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, fused=True)
    batches: list[tuple[Tensor, ...]] = []

    def permute() -> None:
        order = torch.randperm(ROWS)
        batches[:] = zip(*(tensor[order].split(batch) for tensor in rows), strict=True)

    def step(number: int) -> None:
        inputs, target = batches[number]
        optimizer.zero_grad()
        nn.functional.mse_loss(model(inputs), target).backward()
        optimizer.step()

    return lambda: timed(permute, step, steps or steps_of(batch))


def step(batch: int, model: nn.Module | None = None, steps: int | None = None) -> Loop:
    """The step of traind alone, without the loop around it, once it is planned."""
    count = steps or steps_of(batch)
    own = make_step(model or network(), nn.functional.mse_loss, table(), Optimizer("adam", LR), batch_size=batch)

    def loop() -> float:
        return timed(lambda: own.begin_epoch(torch.randperm(ROWS)), own.run, count)

    for _ in range(1 + 80 // count):
        loop()
    return loop


def job(batch: int, **changes: Any) -> Loop:
    """A whole job of traind, from first step to last: eager, planned, replayed, reported, checkpointed."""
    values: dict[str, Any] = {
        "synthetic": Synthetic(rows=25_000, columns=INPUTS),  # four fifths are trained on
        "model": MlpModel(hidden=(64, 64), embedding="none", dropout=0.0),
        "epochs": max(3, (3_000 if batch < 1_000 else 500) * batch // ROWS),
        "batch_size": batch,
        "lr": LR,
        "optimizer": "adam",
        "schedule": "constant",
        "patience": None,
    }
    spec = TrainSpec(**(values | changes))

    def loop() -> float:
        events: list[Any] = []
        with tempfile.TemporaryDirectory() as folder:
            run(spec, events.append, Place(job_id="bench", attempt=1, attempt_dir=folder))
        rates = [event.samples_per_s for event in events if isinstance(event, Epoch)]
        return batch / rates[-1] * 1e6

    return loop


def limit(batch: int) -> Loop | None:
    """Plain C, compiled here; None without a compiler."""
    program = Path(tempfile.gettempdir()) / f"traind-bench-limit-{batch}"
    source = Path(__file__).with_name("limit.c")
    flags = ["-O3", "-march=native", "-ffast-math", f"-DBATCH={batch}", str(source), "-o", str(program), "-lm"]
    try:
        subprocess.run(["gcc", *flags], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return lambda: float(subprocess.run([program], check=True, capture_output=True, text=True).stdout.split()[0])


def lightning(batch: int) -> Loop | None:
    if importlib.util.find_spec("lightning") is None:
        return None
    import lightning as framework

    class Module(framework.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = network()

        def training_step(self, rows: tuple[Tensor, Tensor]) -> Tensor:
            return nn.functional.mse_loss(self.model(rows[0]), rows[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=LR, fused=True)

        def on_train_epoch_start(self) -> None:
            self.started = time.perf_counter()

        def on_train_epoch_end(self) -> None:
            self.ended = time.perf_counter()

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)

    def loop() -> float:
        module, rows = Module(), DataLoader(TensorDataset(*table()), batch, shuffle=True)
        trainer = framework.Trainer(max_epochs=1, limit_train_batches=steps_of(batch), accelerator="cpu", **off)
        with contextlib.redirect_stdout(io.StringIO()):
            trainer.fit(module, rows)
        return (module.ended - module.started) / steps_of(batch) * 1e6

    return loop


def skorch(batch: int) -> Loop | None:
    if importlib.util.find_spec("skorch") is None:
        return None
    from skorch import NeuralNetRegressor

    count = steps_of(batch)
    rows = [tensor[: count * batch].numpy() for tensor in table()]
    own = {"optimizer": torch.optim.Adam, "optimizer__fused": True, "lr": LR}
    net = NeuralNetRegressor(network(), max_epochs=1, batch_size=batch, train_split=None, verbose=0, **own)
    net.initialize()

    def loop() -> float:
        start = time.perf_counter()
        net.partial_fit(*rows)
        return _each(start, count)

    return loop


def scikit_learn(batch: int) -> Loop | None:
    if importlib.util.find_spec("sklearn") is None:
        return None
    from sklearn.neural_network import MLPRegressor

    count = steps_of(batch)
    rows = [tensor[: count * batch].numpy() for tensor in table()]
    net = MLPRegressor(hidden_layer_sizes=(64, 64), batch_size=batch, max_iter=1, warm_start=True, alpha=0.0)

    def loop() -> float:
        start = time.perf_counter()
        with warnings.catch_warnings(action="ignore"):
            net.fit(rows[0], np.ravel(rows[1]))
        return _each(start, count)

    return loop


def timed(begin: Callable[[], None], step: Callable[[int], None], steps: int) -> float:
    """Begin an epoch and take steps; return microseconds a step."""
    start = time.perf_counter()
    begin()
    for number in range(steps):
        step(number)
    return _each(start, steps)


def _each(start: float, steps: int) -> float:
    return (time.perf_counter() - start) / steps * 1e6
