"""An image classifier of one's own, trained by traind: the digits that scikit-learn ships.

Alone, in a terminal or a debugger:      python examples/digits.py
On a server that knows it:               traind serve --trainers '{"digits": "digits:train"}'
                                         traind train --server http://127.0.0.1:3001 --trainer digits
It stops, pauses, survives `kill -9` and goes on bit for bit, as the built-in trainer does.
"""

from typing import Any

import numpy as np
import torch
from msgspec import Struct
from sklearn.datasets import load_digits
from torch import Tensor, nn

from traind import Run, run_trainer


class Options(Struct, forbid_unknown_fields=True):
    """What a client may choose; anything else is refused at submit."""

    epochs: int = 8
    batch_size: int = 32
    lr: float = 2e-3


def train(run: Run[Options]) -> None:
    images, labels = (tensor.to(run.device) for tensor in read())
    kept = len(images) // 5  # for validation
    model = build(run.spec.seed).to(run.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=run.options.lr)
    if state := run.restore():
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])

    batch_size = run.options.batch_size
    steps = (len(images) - kept) // batch_size  # an epoch
    total = run.options.epochs * steps
    for step in range(run.step, total):
        epoch, place = divmod(step, steps)
        rows = kept + order(len(images) - kept, run.spec.seed, epoch)[place * batch_size : (place + 1) * batch_size]
        loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.report(step=step + 1, total=total, loss=loss.detach(), epoch=epoch + 1, rows=batch_size)
        if place == steps - 1:
            run.end_epoch(epoch + 1, epochs=run.options.epochs, metrics=measure(model, images[:kept], labels[:kept]))
        if run.should_stop() or run.should_save():
            run.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()})
        if run.should_stop():
            break
    if run.wants_model:
        found = measure(model, images[:kept], labels[:kept])
        baseline = {"accuracy": float(labels[:kept].bincount().max()) / kept}
        run.finish({"weights": model.state_dict()}, metrics={"validation": found, "baseline": baseline})


def predict(model: dict[str, Any], rows: list[dict[str, Any]]) -> list[int]:
    """Predict for rows of `pixel_0_0` to `pixel_7_7`, 0 to 16: with this beside `train` its models predict."""
    network = build(0)
    network.load_state_dict(model["weights"])
    pixels = [[row[f"pixel_{line}_{place}"] for line in range(8) for place in range(8)] for row in rows]
    images = torch.tensor(pixels).float().reshape(-1, 1, 8, 8) / 16
    return network.eval()(images).argmax(dim=1).tolist()


def read() -> tuple[Tensor, Tensor]:
    """Return images `(1797, 1, 8, 8)` from 0 to 1 and labels `(1797,)`, shuffled once."""
    pixels, labels = load_digits(return_X_y=True)
    shuffled = np.random.default_rng(0).permutation(len(pixels))
    images = torch.from_numpy(pixels[shuffled] / 16).float().reshape(-1, 1, 8, 8)
    return images, torch.from_numpy(labels[shuffled])


def build(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, 10),
    )


def order(rows: int, seed: int, epoch: int) -> Tensor:
    """Return an epoch's order: from the seed and the epoch alone, so that a position needs no iterator's state."""
    return torch.randperm(rows, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))


def measure(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, float]:
    with torch.no_grad():
        output = model(images)
    accuracy = float((output.argmax(dim=1) == labels).float().mean())
    return {"accuracy": accuracy, "log_loss": float(nn.functional.cross_entropy(output, labels))}


if __name__ == "__main__":
    run_trainer(train)
