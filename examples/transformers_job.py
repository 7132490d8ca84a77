"""A Hugging Face Trainer that reports to traind through a callback of a few lines; nothing is downloaded.

pip install transformers accelerate
traind serve --trainers '{"transformers": "transformers_job:train"}'
traind train --server http://127.0.0.1:3001 --trainer transformers
"""

import io
import tarfile
from pathlib import Path
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainerCallback, TrainingArguments

from traind import Run, run_trainer


class Options(Struct, forbid_unknown_fields=True):
    """What a client may choose."""

    epochs: int = 3
    lr: float = 1e-3


class Report(TrainerCallback):
    """Tells traind every step; what Trainer writes as a checkpoint is handed over whole."""

    def __init__(self, run: Run[Options]) -> None:
        self.run = run

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.run.report(step=state.global_step, total=state.max_steps, epoch=int(state.epoch) + 1, rows=16)
        is_leaving = self.run.should_stop()
        control.should_save = is_leaving or self.run.should_save()
        control.should_training_stop = is_leaving

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        if "loss" in logs:
            self.run.measure(loss=logs["loss"])

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        folder = Path(args.output_dir, f"checkpoint-{state.global_step}")
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.add(folder, arcname="checkpoint")
        self.run.save(torch.frombuffer(packed.getbuffer(), dtype=torch.uint8))


class Sums(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Sequences of digits, labelled by whether their sum is large: a text that needs no tokenizer."""

    def __init__(self, rows: int) -> None:
        self.codes = torch.randint(10, (rows, 8), generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, row: int) -> dict[str, Tensor]:
        return {"input_ids": self.codes[row], "labels": (self.codes[row].sum() > 36).long()}


def train(run: Run[Options]) -> None:
    torch.manual_seed(run.spec.seed)
    model = BertForSequenceClassification(
        BertConfig(vocab_size=10, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)
    )
    arguments = TrainingArguments(
        output_dir=str(run.folder / "transformers"),
        num_train_epochs=run.options.epochs,
        learning_rate=run.options.lr,
        per_device_train_batch_size=16,
        save_strategy="no",  # when is traind's to say
        logging_steps=10,
        report_to=[],
        use_cpu=run.device == "cpu",
        disable_tqdm=True,
        seed=run.spec.seed,
    )
    checkpoint = None
    if (state := run.restore()) is not None:
        with tarfile.open(fileobj=io.BytesIO(state.numpy().tobytes())) as archive:
            archive.extractall(run.folder / "restored", filter="data")
        checkpoint = str(run.folder / "restored/checkpoint")
    Trainer(model, arguments, train_dataset=Sums(512), callbacks=[Report(run)]).train(
        resume_from_checkpoint=checkpoint
    )
    if run.wants_model:
        run.finish({"weights": model.state_dict()})


if __name__ == "__main__":
    run_trainer(train)
