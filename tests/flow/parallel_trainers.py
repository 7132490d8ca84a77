"""A trainer of one's own for several workers, with torch's own means; it can go wrong by the option `how`."""

import os
import sys
import time
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from traind.trainer.run.run import Run


def train(run: Run[Any]) -> None:
    """Train a line, each process on its share of the rows; by `DistributedDataParallel` where the option says so."""
    torch.manual_seed(run.spec.seed)
    x = torch.randn(64, 4)
    rows = TensorDataset(x, x.sum(dim=1, keepdim=True))
    bare = nn.Linear(4, 1)
    is_wrapped = run.world.size > 1 and run.options.get("how") == "wrapped"
    model = DistributedDataParallel(bare) if is_wrapped else bare
    sampler = DistributedSampler(rows, run.world.size, run.world.rank, shuffle=False)
    loader = DataLoader(rows, batch_size=8 // run.world.size, sampler=sampler)
    steps = len(loader)
    for step, (inputs, target) in enumerate(loader, 1):
        bare.zero_grad()
        loss = nn.functional.mse_loss(model(inputs), target)
        loss.backward()
        with torch.no_grad():
            for parameter in bare.parameters():
                assert parameter.grad is not None
                if run.world.size > 1 and not is_wrapped:
                    distributed.all_reduce(parameter.grad, distributed.ReduceOp.SUM)
                    parameter.grad /= run.world.size
                parameter.sub_(0.1 * parameter.grad)
        run.report(step=step, total=steps, loss=loss)
        go_wrong(run, step, steps)
        if run.should_stop():
            break
    run.log(f"rank {run.world.rank} of {run.world.size} is through")
    if run.wants_model:
        run.finish({"weights": {name: tensor.detach() for name, tensor in bare.state_dict().items()}})
    if run.options.get("how") == "exit":
        sys.exit()  # as scripts end


def go_wrong(run: Run[Any], step: int, steps: int) -> None:
    """Do on the last rank, in the middle, what the option says."""
    if step != steps // 2 or run.world.rank != run.world.size - 1:
        return
    match run.options.get("how"):
        case "raise":
            raise ValueError("a bad row")
        case "leave" if run.place.attempt == 1:
            os._exit(3)
        case "hang":
            time.sleep(600)
