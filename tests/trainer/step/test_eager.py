"""The eager step against plain PyTorch: the same weights bit for bit, and a state from which it goes on exactly."""

import dataclasses
import math
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from traind.trainer.contract.errors import CheckpointDamaged
from traind.trainer.step.flat_optimizer import Optimizer, Tuning, Update, flatten
from traind.trainer.step.step import Step, make_step

Weights = dict[str, torch.Tensor]

ROWS, BATCH, EPOCHS = 150, 16, 12
OPTIMIZERS = {
    "adam": Optimizer("adam", lr=3e-3),
    "adam-decayed": Optimizer("adam", lr=3e-3, weight_decay=0.01),
    "adamw": Optimizer("adamw", lr=3e-3, weight_decay=0.1, betas=(0.9, 0.99)),
    "sgd": Optimizer("sgd", lr=0.02, momentum=0.0, weight_decay=0.01),
    "momentum": Optimizer("sgd", lr=0.01),
    "clipped": Optimizer("adam", lr=3e-3, grad_clip=0.2),
    "tuned": Optimizer(
        "adamw", lr=3e-3, weight_decay=0.1, tuning={"0.bias": Tuning(2.0, 0.0), "3.bias": Tuning(0.5)}
    ),
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def module() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(5, 19), nn.ReLU(), nn.Dropout(0.2), nn.Linear(19, 24), nn.Tanh(), nn.Linear(24, 1))


def table() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(ROWS, 5, generator=generator)
    return x, x.sum(1, keepdim=True).sin()


def order(epoch: int) -> torch.Tensor:
    return torch.randperm(ROWS, generator=torch.Generator().manual_seed(epoch))


def new_step(optimizer: Optimizer, model: nn.Module | None = None) -> Step:
    return make_step(model or module(), nn.functional.mse_loss, table(), optimizer, batch_size=BATCH, seed=3)


def train(step: Step, first: int = 0, last: int = EPOCHS * 10) -> None:
    for number in range(first, last):
        epoch, batch = divmod(number, 10)
        if batch == 0 or number == first:
            step.begin_epoch(order(epoch))
        step.run(batch)


def plain(optimizer: Optimizer) -> Weights:
    """The loop that anybody would write, with the optimizers' fused kernels."""
    model, (x, y) = module().train(), table()
    groups = [
        {
            "params": [parameter],
            "lr": optimizer.lr * optimizer.tuning.get(name, Tuning()).lr_scale,
            "weight_decay": decay if decay is not None else optimizer.weight_decay,
        }
        for name, parameter in model.named_parameters()
        for decay in [optimizer.tuning.get(name, Tuning()).weight_decay]
    ]
    if optimizer.kind == "sgd":
        torch_optimizer = torch.optim.SGD(groups, lr=0.1, momentum=optimizer.momentum, fused=True)
    else:
        kind = torch.optim.Adam if optimizer.kind == "adam" else torch.optim.AdamW
        torch_optimizer = kind(groups, betas=optimizer.betas, fused=True)
    torch.manual_seed(3)
    for epoch in range(EPOCHS):
        for rows in order(epoch).split(BATCH):
            torch_optimizer.zero_grad()
            nn.functional.mse_loss(model(x[rows]), y[rows]).backward()
            if optimizer.grad_clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), optimizer.grad_clip)
            torch_optimizer.step()
    return model.state_dict()


def equal(left: Weights, right: Weights) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_equal_the_plain_loops_bit_for_bit(name: str) -> None:
    step = new_step(OPTIMIZERS[name])
    train(step)
    assert equal(step.weights(), plain(OPTIMIZERS[name]))


def test_average_is_the_mean_at_first_and_exponential_later() -> None:
    step = new_step(Optimizer(lr=3e-3, averaging=0.9))
    expected = None
    for number in range(30):
        train(step, number, number + 1)
        now = step.weights(averaged=False)
        weight = max(0.1, 1 / (number + 1))
        expected = {n: (now[n] if expected is None else expected[n].lerp(now[n], max(1 - 0.9, weight))) for n in now}
    assert equal(step.weights(), expected)
    assert not equal(step.weights(), step.weights(averaged=False))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_updates_that_read_their_rate_on_the_device_are_the_same(name: str) -> None:
    optimizer = dataclasses.replace(OPTIMIZERS[name], averaging=0.75)
    states = []
    for is_on_device in (False, True):
        groups = flatten(module(), optimizer)
        update = Update(groups, optimizer, is_on_device=is_on_device)
        noise = torch.Generator().manual_seed(4)
        for number in range(40):
            update.lr = 0.25 ** (1 + number % 3)
            for group in groups:
                group.gradients.normal_(generator=noise)
            update.apply()
        states.append([tensor for group in groups for tensor in (group.values, *group.moments, group.average)])
    for here, there in zip(*states, strict=True):
        torch.testing.assert_close(here, there, rtol=1e-5, atol=1e-6)


def test_loss_is_the_mean_over_rows_since_taken() -> None:
    step = new_step(Optimizer("sgd", lr=0.0), model=nn.Sequential(nn.Linear(5, 1)))
    x, y = table()
    train(step, 0, 10)
    with step.evaluation() as model:
        expected = nn.functional.mse_loss(model(x), y).item()
    assert step.take_loss() == pytest.approx(expected, rel=1e-6)
    assert math.isnan(step.take_loss())


def test_divergence_shows_in_loss_and_weights() -> None:
    step = new_step(Optimizer("sgd", lr=1e9))
    assert step.is_finite()
    train(step, 0, 20)
    assert not math.isfinite(step.take_loss())
    assert not step.is_finite()


@pytest.mark.parametrize("at", [1, 9, 10, 17])
def test_restored_step_goes_on_bit_for_bit(at: int) -> None:
    optimizer = Optimizer("adamw", lr=3e-3, averaging=0.9, grad_clip=0.5)
    whole, before, after = (new_step(optimizer) for _ in range(3))
    train(whole, 0, 40)
    train(before, 0, at)
    state = before.state()
    train(before, at, at + 3)  # what goes on must not reach the copy
    after.restore(state)
    train(after, at, 40)
    assert equal(whole.weights(), after.weights())
    assert equal(whole.weights(averaged=False), after.weights(averaged=False))
    assert whole.loss_total() == after.loss_total()


@pytest.mark.parametrize("key", ["groups", "buffers", "updates", "lr", "loss", "random"])
def test_restore_needs_every_part(key: str) -> None:
    step = new_step(Optimizer())
    state = step.state()
    del state[key]
    with pytest.raises(CheckpointDamaged):
        step.restore(state)


def test_restore_refuses_the_state_of_another_model() -> None:
    other = new_step(Optimizer(), model=nn.Sequential(nn.Linear(5, 1)))
    with pytest.raises(CheckpointDamaged):
        new_step(Optimizer()).restore(other.state())


def test_random_stream_is_its_own() -> None:
    undisturbed, disturbed = new_step(Optimizer()), new_step(Optimizer())
    train(undisturbed, 0, 20)
    for number in range(20):
        torch.manual_seed(number)
        train(disturbed, number, number + 1)
        with disturbed.evaluation() as model:
            model.train()(table()[0])
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    train(disturbed, 20, 21)
    assert torch.equal(torch.rand(1), expected)
    train(undisturbed, 20, 21)
    assert equal(undisturbed.weights(), disturbed.weights())


def test_evaluation_lends_the_average_and_gives_the_weights_back() -> None:
    step = new_step(Optimizer(lr=3e-3, averaging=0.99))
    train(step, 0, 15)
    now, average = step.weights(averaged=False), step.weights()
    with step.evaluation() as model:
        assert not model.training
        assert equal(model.state_dict(), average)
    assert step.model.training
    assert equal(step.model.state_dict(), now)
