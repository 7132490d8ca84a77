"""The batches of an epoch: every row once, and what is prepared of it."""

import torch
from torch import Tensor

from traind.trainer.step.batches import Batches, Prepared

ROWS, BATCH = 100, 16  # a block holds two batches; the last batch has four rows


def test_an_epoch_is_every_row_in_its_order() -> None:
    table, order = torch.rand(ROWS, 3), torch.randperm(ROWS)
    batches = Batches([table, table[:, 0]], BATCH, block_batches=2)
    batches.begin_epoch(order)
    taken = [[tensor.clone() for tensor in batches.at(number)] for number in range(batches.count)]
    assert [len(rows) for rows, _ in taken] == [BATCH] * 6 + [4]
    assert torch.equal(torch.cat([rows for rows, _ in taken]), table[order])
    assert torch.equal(torch.cat([first for _, first in taken]), table[order, 0])


def test_rows_are_prepared_once_when_they_first_come() -> None:
    came: list[int] = []

    def prepare(numbers: Tensor) -> tuple[Tensor, Tensor]:
        came.append(len(numbers))
        return numbers * 2.0, (numbers * 10.0).long()

    table = torch.rand(ROWS, 3)
    batches = Batches([table], BATCH, Prepared(prepare, [table]), block_batches=2)
    orders = [torch.randperm(ROWS) for _ in range(3)]
    for order, first in zip(orders, (4, 0, 0), strict=True):  # the first epoch is gone on with, as after a pause
        batches.begin_epoch(order)
        for number in range(first, batches.count):
            expected = table[order[number * BATCH : (number + 1) * BATCH]]
            twice, tenfold, plain = batches.at(number)
            assert torch.equal(twice, expected * 2.0)
            assert torch.equal(tenfold, (expected * 10.0).long())
            assert torch.equal(plain, expected)
    assert came[:3] == [1, 2 * BATCH, 4]  # one row to see the shapes, then what the first epoch's end took
    assert sum(came) == 1 + ROWS
