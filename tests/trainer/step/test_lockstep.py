"""Members of a lockstep are trained as if each were alone, and a lockstep goes on exactly where it was."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from traind.trainer.contract.errors import CheckpointDamaged
from traind.trainer.step.flat_optimizer import Optimizer
from traind.trainer.step.lockstep import Lockstep
from traind.trainer.step.step import make_step

ROWS, BATCHES = 96, 6
SIZES, SEEDS = (12, 16), (1, 2)  # of the members; the second takes all rows


def table():
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn(ROWS, 4, generator=draw)
    return [inputs, inputs.sum(1, keepdim=True) + torch.randn(ROWS, 1, generator=draw)]


def member(number, tensors):
    torch.manual_seed(SEEDS[number])
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 1))
    optimizer = Optimizer("adamw", lr=0.01, averaging=0.9)
    return make_step(network, functional.mse_loss, tensors, optimizer, batch_size=SIZES[number], seed=SEEDS[number])


def lockstep(threads=1):
    tensors = table()
    return Lockstep([member(0, tensors), member(1, tensors)], threads=threads)


def orders(epoch):
    draw = torch.Generator().manual_seed(epoch)
    return [torch.randperm(ROWS, generator=draw)[: size * BATCHES] for size in SIZES]


def alone(number, epochs):
    step = member(number, table())
    for epoch in range(epochs):
        step.begin_epoch(orders(epoch)[number])
        for batch in range(BATCHES):
            step.run(batch)
    return step.weights()


def take(step, first, count):
    for _ in step.steps(first, count, []):
        pass


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_each_member_is_trained_as_if_it_were_alone(threads):
    step = lockstep(threads)
    for epoch in range(5):  # beyond the steps after which a plan is made
        step.begin_epoch(*orders(epoch))
        take(step, 0, 4)
        step.run(4)
        take(step, 5, 1)
    weights = step.weights()
    for number in (0, 1):
        own = {f"members.{number}.{name}": tensor for name, tensor in alone(number, 5).items()}
        assert own.keys() <= weights.keys()
        assert same(own, {name: weights[name] for name in own})


def test_steps_that_are_left_early_leave_all_members_at_the_same_step():
    step, whole = lockstep(), lockstep()
    for one in (step, whole):
        one.begin_epoch(*orders(0))
    for taken in step.steps(0, 5, []):
        if taken == 2:
            break
    assert [one.update.taken for one in step.members] == [2, 2]
    take(step, 2, BATCHES - 2)
    take(whole, 0, BATCHES)
    assert same(step.weights(), whole.weights())


@pytest.mark.parametrize("at", range(1, BATCHES))
def test_it_goes_on_where_it_was_saved(at):
    step, again = lockstep(), lockstep()
    step.begin_epoch(*orders(0))
    take(step, 0, at)
    again.restore(step.state())
    again.begin_epoch(*orders(0))
    for one in (step, again):
        take(one, at, BATCHES - at)
    assert same(step.weights(), again.weights())
    assert step.loss_total() == again.loss_total()


@pytest.mark.parametrize("forgotten", [0, 1])
def test_a_member_that_is_not_restored_is_noticed(forgotten):
    step, again = lockstep(), lockstep()
    step.begin_epoch(*orders(0))
    take(step, 0, 3)
    states = step.state()["members"]
    states[forgotten] = again.state()["members"][forgotten]
    again.restore({"members": states})
    again.begin_epoch(*orders(0))
    for one in (step, again):
        take(one, 3, BATCHES - 3)
    assert not same(step.weights(), again.weights())


def test_a_checkpoint_of_another_number_of_networks_is_refused():
    step = lockstep()
    with pytest.raises(CheckpointDamaged, match="1 networks, not of 2"):
        step.restore(step.members[0].state())
    with pytest.raises(CheckpointDamaged, match="3 networks, not of 2"):
        step.restore({"members": [*step.state()["members"], step.members[0].state()]})


def test_it_is_finite_if_the_monitor_is():
    step = lockstep()
    assert step.is_finite()
    step.members[1].groups[0].values[0] = float("nan")
    assert step.is_finite()
    step.members[0].groups[0].values[0] = float("nan")
    assert not step.is_finite()


def test_a_member_that_diverges_is_left_out_and_the_monitor_does_not_notice():
    step, whole = lockstep(), lockstep()
    for one in (step, whole):
        one.begin_epoch(*orders(0))
        take(one, 0, 3)
    kept = step.keep()
    assert step.drop_lost(1) == []
    step.members[1].groups[0].values[0] = float("nan")
    take(step, 3, 1)
    assert step.drop_lost(1) == [1]
    assert step.drop_lost(2) == []
    again = lockstep()
    again.restore(step.state())
    take(whole, 3, 1)
    for one in (step, again, whole):
        one.begin_epoch(*orders(1))
        take(one, 0, BATCHES)
    expected = {name: tensor for name, tensor in whole.weights().items() if name.startswith("members.0.")}
    for one in (step, again):
        assert one.dropped == {1: 1}
        assert same(one.weights(), expected)
        assert same(one.weights(one.keep()), expected)
        assert len(one.weights(kept)) == len(expected)
    assert step.loss_total() == again.loss_total() == whole.loss_total()
