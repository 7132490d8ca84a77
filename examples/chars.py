"""A character-level language model of one's own, trained by traind on a text file (here: the licence).

Alone:            python examples/chars.py
On a server:      traind serve --trainers '{"chars": "chars:train"}'
                  traind train --server http://127.0.0.1:3001 --trainer chars --options '{"text": "LICENSE"}'
"""

from pathlib import Path
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor, nn

from traind import Run, run_trainer

TEXT = Path(__file__).parent.parent / "LICENSE"


class Options(Struct, forbid_unknown_fields=True):
    """What a client may choose. The text is a file of the server's."""

    text: str = str(TEXT)
    steps: int = 400
    context: int = 64
    width: int = 64
    batch_size: int = 32
    lr: float = 3e-3
    sample: int = 200  # characters written at the end


class Model(nn.Module):
    """A GRU over characters: `(batch, time)` in, `(batch, time, characters)` out."""

    def __init__(self, characters: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, width)
        self.recurrent = nn.GRU(width, width, batch_first=True)
        self.output = nn.Linear(width, characters)

    def forward(self, codes: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        hidden, state = self.recurrent(self.embedding(codes), state)
        return self.output(hidden), state


def train(run: Run[Options]) -> None:
    options = run.options
    text = Path(options.text).read_text(encoding="utf-8")
    characters = sorted(set(text))
    codes = torch.tensor([characters.index(character) for character in text], device=run.device)
    kept = len(codes) // 10  # the end, for validation
    model = Model(len(characters), options.width).to(run.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr)
    if state := run.restore():  # last before the first step: it puts the random streams back too
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])

    for step in range(run.step, options.steps):
        starts = torch.randint(len(codes) - kept - options.context, (options.batch_size, 1))
        window = codes[starts + torch.arange(options.context + 1)]
        output, _ = model(window[:, :-1])
        loss = nn.functional.cross_entropy(output.flatten(0, 1), window[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.report(step=step + 1, total=options.steps, loss=loss.detach(), rows=options.batch_size)
        if run.should_stop() or run.should_save():
            run.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()})
        if run.should_stop():
            break
    if run.wants_model:
        metrics = {"validation": {"bits_per_character": bits(model, codes[-kept:])}}
        run.log(write(model.cpu(), characters, options.sample))
        run.finish({"weights": model.state_dict(), "characters": characters}, metrics=metrics)


def bits(model: Model, codes: Tensor) -> float:
    """Return how many bits the model needs for a character of a text that it has not seen."""
    with torch.no_grad():
        output, _ = model(codes[None, :-1])
    return float(nn.functional.cross_entropy(output[0], codes[1:])) / torch.log(torch.tensor(2.0)).item()


def write(model: Model, characters: list[str], length: int) -> str:
    """Return what the model writes by itself, the likeliest character after each."""
    code, state, written = torch.zeros(1, 1, dtype=torch.long), None, []
    with torch.no_grad():
        for _ in range(length):
            output, state = model(code, state)
            code = output.argmax(dim=2)
            written.append(characters[int(code)])
    return "".join(written)


def predict(model: dict[str, Any], rows: list[dict[str, Any]]) -> list[str]:
    """Go on writing after each row's `{"text": ...}`, ten characters."""
    characters = model["characters"]
    network = Model(len(characters), model["weights"]["output.weight"].shape[1])
    network.load_state_dict(model["weights"])
    answers = []
    for row in rows:
        output, state = network(torch.tensor([[characters.index(character) for character in row["text"]]]))
        written = ""
        for _ in range(10):
            code = output[:, -1:].argmax(dim=2)
            written += characters[int(code)]
            output, state = network(code, state)
        answers.append(written)
    return answers


if __name__ == "__main__":
    run_trainer(train)
