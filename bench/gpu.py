"""What a GPU does for a job, and whether it is right: python -m bench.gpu [--only step resume speed job memory].

One command, a few minutes. `--pack gpu.pyz` writes one script that carries all it needs but torch and numpy, for a
bare machine that has these: `python gpu.pyz`. It runs on a CPU too: the replayed step takes then the place of the
captured one, and what needs CUDA is skipped aloud. Leaves with 1 where something is wrong; a slow figure is no error,
it is printed.
"""

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from bench import loops
from bench.gpu_jobs import ROWS, job, slots
from bench.gpu_pack import pack
from bench.gpu_report import Report, card
from bench.records import in_turns, ratio, say, show, write
from bench.steps import AUTO, default_model
from msgspec.structs import replace
from torch import Tensor, nn

from traind.trainer.contract.control import LocalControl, Verb
from traind.trainer.contract.events import AnyEvent, Progress, State, Status
from traind.trainer.contract.spec import LinearModel, MlpModel, Model, Place, Synthetic, TabmModel, TrainSpec
from traind.trainer.run.attempt import run
from traind.trainer.step.eager import EagerStep
from traind.trainer.step.flat_optimizer import Optimizer
from traind.trainer.step.step import make_step

STEPS = 60  # compared: the step is captured after the eleventh
BATCHES = (256, 1_024, 4_096, 16_384, 65_536)
ARCHITECTURES: dict[str, Model] = {
    "linear": LinearModel(),
    "mlp": MlpModel(hidden=(64, 64), embedding="none", dropout=0.0),
    "mlp, dropout": MlpModel(hidden=(64, 64), embedding="none", dropout=0.1),
    "mlp, piecewise linear": MlpModel(hidden=(64, 64), embedding="piecewise_linear", dropout=0.1),
    "mlp, periodic": MlpModel(hidden=(64, 64), embedding="periodic", dropout=0.1),
    "tabm": TabmModel(hidden=(64, 64), k=4, embedding="piecewise_linear"),
}
OPTIMIZERS = ("adam", "adamw", "sgd")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=(*PARTS,), default=[*PARTS])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="few steps and sizes: whether it runs at all")
    parser.add_argument("--table", type=Path, help="file for the part `job`, its last column the target")
    parser.add_argument("--pack", type=Path, metavar="FILE", help="write one script of all this, and leave")
    asked = parser.parse_args()
    if asked.pack is not None:
        pack(asked.pack)
        return
    report = Report(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    torch.set_num_threads(1)  # of the CPU: as a job has it
    say(f"on {card(report.device)}, torch {torch.__version__}")
    if not report.is_cuda:
        report.skip("everything of CUDA", "torch sees no card here")
    for name in asked.only:
        say(name)
        report.parts[name] = PARTS[name](report, asked)
    write("gpu", {"card": card(report.device), "skipped": report.skipped, "wrong": report.wrong, **report.parts})
    for what in report.wrong:
        print(f"WRONG: {what}")
    sys.exit(bool(report.wrong))


def step(report: Report, asked: argparse.Namespace) -> list[dict[str, Any]]:
    """Compare the captured step with eager PyTorch on the same device, bit for bit, for every kind of network."""
    rows = []
    for (name, model), optimizer in itertools.product(ARCHITECTURES.items(), OPTIMIZERS):
        if asked.quick and (optimizer != "adamw" or name not in ("mlp, dropout", "tabm")):
            continue
        made = [_take_steps(way, model, optimizer, report.device) for way in (make_step, _eager_step)]
        (quick, kind, refusal), (eager, _, _) = made
        apart = max(float((quick[key].double() - eager[key].double()).abs().max()) for key in eager)
        word = report.check(f"{name} by {optimizer} as a {kind} step", is_right=apart == 0.0)
        rows.append({"network": name, "optimizer": optimizer, "kind": kind, "apart": apart, "refusal": refusal})
        say(f"{name} by {optimizer}: {word}")
    cells = [(r["network"], r["optimizer"], r["kind"], f"{r['apart']:.3g}", r["refusal"] or "") for r in rows]
    show(
        f"after {STEPS} steps, against eager",
        ("network", "optimizer", "step", "largest difference", "not captured"),
        cells,
    )
    return rows


def _eager_step(*arguments: Any, **options: Any) -> EagerStep:
    return EagerStep(*arguments, **options)


def _take_steps(
    make: Callable[..., Any], model: Model, optimizer: str, device: torch.device
) -> tuple[dict[str, Tensor], str, str | None]:
    """Take steps of one kind; return the weights, the step's kind, and why it was not captured."""
    network, loss, tensors, settings = default_model(model)
    settings = Optimizer(optimizer, settings.lr, settings.weight_decay, settings.betas, averaging=settings.averaging)
    own = make(network.to(device), loss, [tensor.to(device) for tensor in tensors], settings, batch_size=256)
    taken, epoch = 0, 0
    while taken < STEPS:
        own.begin_epoch(torch.randperm(len(tensors[0]), generator=torch.Generator().manual_seed(epoch)))
        for batch in range(min(STEPS - taken, -(-len(tensors[0]) // 256))):
            own.run(batch)
            taken += 1
        epoch += 1
    weights = {name: tensor.cpu() for name, tensor in own.weights(averaged=False).items()}
    return weights, own.kind, getattr(own, "refusal", None)


def resume(report: Report, asked: argparse.Namespace) -> list[dict[str, Any]]:
    """Pause and kill jobs within an epoch and let them go on: the weights of an undisturbed one must come out."""
    rows = []
    for name, model in ARCHITECTURES.items():
        if asked.quick and name != "mlp, dropout":
            continue
        spec = TrainSpec(
            synthetic=Synthetic(rows=4_000), model=model, epochs=3, batch_size=64, device=str(report.device)
        )
        whole = _job(spec)
        for verb, at in ((Verb.PAUSE, 17), (Verb.PAUSE, 73), (Verb.LEAVE, 40)):
            again = _job(spec, verb, at)
            word = report.check(f"{name}, {verb.name} at step {at}", is_right=again == whole)
            rows.append({"network": name, "verb": verb.name, "at": at, "is_equal": again == whole})
            say(f"{name}, {verb.name.lower()} at step {at}: {word}")
        stopped = _job(spec, Verb.STOP, 60)
        report.check(f"{name}: a model of a job stopped within an epoch", is_right=stopped is not None)
    show(
        "jobs that were interrupted",
        ("network", "how", "equal"),
        [(r["network"], r["verb"], r["is_equal"]) for r in rows],
    )
    return rows


def _job(spec: TrainSpec, verb: Verb = Verb.NONE, at: int = 0) -> str | None:
    """Train in this process, interrupted by `verb` at a step and taken up again; return the weights' digest."""
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder, "attempt-1"), Path(folder, "attempt-2")
        first.mkdir()
        second.mkdir()
        ended = _attempt(spec, Place(job_id="bench", attempt=1, attempt_dir=str(first)), verb, at)
        if ended.status in (Status.PAUSED, Status.QUEUED):
            place = Place(job_id="bench", attempt=2, attempt_dir=str(second), earlier_dirs=(str(first),))
            ended = _attempt(spec, place, Verb.NONE, 0)
        return ended.result.weights_digest if ended.result else None


def _attempt(spec: TrainSpec, place: Place, verb: Verb, at: int) -> State:
    events: list[AnyEvent] = []
    control = LocalControl()

    def emit(event: AnyEvent) -> None:
        events.append(event)
        if verb and isinstance(event, Progress) and event.step >= at:
            control.verb = int(verb)

    run(replace(spec, report_every=1), emit, place, control)
    ended = [event for event in events if isinstance(event, State)]
    return ended[-1] if ended else State(status=Status.FAILED)


def speed(report: Report, asked: argparse.Namespace) -> list[dict[str, Any]]:
    """Time a step against eager, `torch.compile(mode="reduce-overhead")` and the CPU, by batch size."""
    rows = []
    networks: dict[str, Model | None] = {
        "bare 8-64-64-1": None,
        "default model": AUTO,
    }
    for (name, model), batch in itertools.product(networks.items(), BATCHES[: 1 if asked.quick else None]):
        contenders = {
            "captured": _timed(make_step, model, batch, report.device),
            "eager": _timed(_eager_step, model, batch, report.device),
        }
        if report.is_cuda:
            contenders["cpu"] = _timed(make_step, model, batch, torch.device("cpu"))
            contenders["reduce-overhead"] = _compiled(model, batch, report.device)
        measured = in_turns(contenders, asked.repeats, is_told=False)
        gains = {other: ratio(measured, other, "captured") for other in contenders if other != "captured"}
        rows.append({"network": name, "batch": batch, "gains": gains, **measured})
        say(f"{name}, batch {batch}: " + ", ".join(f"{gain:.2f} times {other}" for other, gain in gains.items()))
    cells = [
        (
            r["network"],
            r["batch"],
            f"{statistics.median(r['captured']):.0f}",
            *(f"{g:.2f}" for g in r["gains"].values()),
        )
        for r in rows
    ]
    show("microseconds a step, and the others' as multiples", ("network", "batch", "us", *rows[0]["gains"]), cells)
    return rows


def _problem(model: Model | None, device: torch.device) -> tuple[nn.Module, Any, list[Tensor], Optimizer]:
    """Return a network, its loss, enough rows for the largest batch, and an optimizer, on a device."""
    if model is None:
        inputs, target = loops.table()
        repeats = -(-ROWS // len(inputs))
        tensors = [inputs.repeat(repeats, 1)[:ROWS], target.repeat(repeats, 1)[:ROWS]]
        return loops.network().to(device), nn.functional.mse_loss, [t.to(device) for t in tensors], Optimizer("adam")
    network, loss, tensors, settings = default_model(model)
    repeats = -(-ROWS // len(tensors[0]))
    tensors = [tensor.repeat(repeats, *[1] * (tensor.ndim - 1))[:ROWS].to(device) for tensor in tensors]
    return network.to(device), loss, tensors, settings


def _timed(make: Callable[..., Any], model: Model | None, batch: int, device: torch.device) -> Callable[[], float]:
    network, loss, tensors, settings = _problem(model, device)
    own = make(network, loss, tensors, settings, batch_size=batch)
    count = _steps(batch)

    def loop() -> float:
        own.begin_epoch(torch.randperm(ROWS))
        return _clocked(own.run, count, device)

    loop()  # and what is prepared once
    return loop


def _compiled(model: Model | None, batch: int, device: torch.device) -> Callable[[], float]:
    """Return the peer: compiled with CUDA graphs, with a fused optimizer and rows permuted once an epoch."""
    network, loss, tensors, _ = _problem(model, device)
    quick = torch.compile(network, mode="reduce-overhead")
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    batches: list[tuple[Tensor, ...]] = []

    def take(number: int) -> None:
        *inputs, target = batches[number]
        optimizer.zero_grad()
        loss(quick(*inputs), target).backward()
        optimizer.step()

    def loop() -> float:
        order = torch.randperm(ROWS).to(device)
        batches[:] = zip(*(tensor[order].split(batch) for tensor in tensors), strict=True)
        return _clocked(take, _steps(batch), device)

    for _ in range(2):
        loop()
    return loop


def _steps(batch: int) -> int:
    return min(ROWS // batch, max(2, 1_000_000 // batch))


def _clocked(take: Callable[[int], None], count: int, device: torch.device) -> float:
    """Take steps; return microseconds each, until the device is done."""
    _wait(device)
    start = time.perf_counter()
    for number in range(count):
        take(number)
    _wait(device)
    return (time.perf_counter() - start) / count * 1e6


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def memory(report: Report, asked: argparse.Namespace) -> dict[str, Any]:
    """Measure what a job of the largest batch takes on the card, and that it is given back."""
    if not report.is_cuda:
        report.skip("memory", "of a card")
        return {}
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    _timed(make_step, None, BATCHES[0 if asked.quick else -1], report.device)()
    peak = torch.cuda.max_memory_allocated()
    left = torch.cuda.memory_allocated() - before
    found = {"peak_mb": peak / 2**20, "left_mb": left / 2**20}
    show("memory of the card", tuple(found), [tuple(f"{value:.1f}" for value in found.values())])
    return found


PARTS: dict[str, Callable[[Report, argparse.Namespace], Any]] = {
    "step": step,
    "resume": resume,
    "speed": speed,
    "job": job,
    "memory": memory,
    "slots": slots,
}


if __name__ == "__main__":
    main()
