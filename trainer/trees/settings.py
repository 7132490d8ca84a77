"""The settings of boosting, and the recipe's choice of them. docs/models.md tells how it was found."""

from msgspec import Struct

LARGE_STEPS_ROWS = 10_000  # training rows from which on trees are added in larger steps: 1,000 rounds are enough then
FEW_ROWS = 2_500  # with fewer, rows are weighted at random


class Boosting(Struct, frozen=True):
    """The settings of boosting. An epoch is ten rounds; a round is one tree for each output.

    The defaults are those of the first recipe, whose checkpoints lack the newer fields and go on as they began.
    """

    epochs: int = 100
    lr: float = 0.1  # factor on the values of each tree
    leaves: int = 31
    min_rows: int = 20  # in a leaf
    l2: float = 1.0  # penalty on the leaves' values
    patience: int | None = 5  # epochs without improvement; None: never stop early
    columns_share: float = 1.0  # of the columns, drawn for each tree, that it may split on
    is_bootstrapped: bool = False  # rows are weighted at random in each round: Bayesian bootstrap (Rubin, 1981)


def boosting_for(rows: int) -> Boosting:
    """Return the settings for a table of that many training rows."""
    lr = 0.05 if rows < LARGE_STEPS_ROWS else 0.1
    return Boosting(lr=lr, min_rows=5, columns_share=0.7, is_bootstrapped=rows < FEW_ROWS)


def why_boosting(rows: int) -> str:
    """Return the reason for the report."""
    weighted = ", and rows weighted at random" if rows < FEW_ROWS else ""
    return f"ten rounds an epoch, until five epochs bring nothing; columns are drawn for each tree{weighted}"
