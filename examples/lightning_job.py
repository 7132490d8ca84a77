"""A Lightning job that reports to traind through a callback of a few lines.

pip install lightning
traind serve --trainers '{"lightning": "lightning_job:train"}'
traind train --server http://127.0.0.1:3001 --trainer lightning
"""

from typing import Any

import lightning
import torch
from msgspec import Struct
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from traind import Run, run_trainer


class Options(Struct, forbid_unknown_fields=True):
    """What a client may choose."""

    epochs: int = 20
    lr: float = 1e-2


class Report(lightning.Callback):
    """Tells traind every step, and saves at the ends of epochs: there Lightning's checkpoint is a whole position."""

    def __init__(self, run: Run[Options]) -> None:
        self.run = run

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, *_: Any) -> None:
        total = int(trainer.estimated_stepping_batches)
        epoch = trainer.current_epoch + 1
        self.run.report(step=trainer.global_step, total=total, loss=outputs["loss"], epoch=epoch, rows=len(batch[0]))

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        file = self.run.folder / "lightning.ckpt"
        trainer.save_checkpoint(file)
        self.run.save(torch.frombuffer(bytearray(file.read_bytes()), dtype=torch.uint8))
        trainer.should_stop = self.run.should_stop()


class Line(lightning.LightningModule):
    """The user's own module; nothing in it knows traind."""

    def __init__(self, lr: float) -> None:
        super().__init__()
        self.lr = lr
        self.network = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 1))

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        x, y = batch
        return nn.functional.mse_loss(self.network(x), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.lr)


def train(run: Run[Options]) -> None:
    x = torch.randn(512, 4, generator=torch.Generator().manual_seed(0))
    rows = DataLoader(TensorDataset(x, x.sum(dim=1, keepdim=True)), batch_size=32)
    lightning.seed_everything(run.spec.seed, verbose=False)
    module = Line(run.options.lr)
    checkpoint = None
    if (state := run.restore()) is not None:
        checkpoint = run.folder / "restored.ckpt"
        checkpoint.write_bytes(state.numpy().tobytes())
    trainer = lightning.Trainer(
        max_epochs=run.options.epochs,
        callbacks=[Report(run)],
        accelerator=run.device,  # "cpu" or "cuda"
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, rows, ckpt_path=checkpoint, weights_only=True)
    if run.wants_model:
        run.finish({"weights": module.state_dict()})


if __name__ == "__main__":
    run_trainer(train)
