"""The metrics of each task and their better direction. No torch; service and page use it.

`val_loss` is the loss that the network minimises, on the validation rows: the mean squared error of the standardised
(if the recipe says so, logarithmic) target, or the mean negative log-likelihood of the true class.
"""

VAL_LOSS = "val_loss"
OF_TASK: dict[str, tuple[str, ...]] = {
    "regression": ("rmse", "mae", "r2"),
    "binary": ("accuracy", "f1", "auc", "log_loss"),
    "multiclass": ("accuracy", "f1", "auc", "log_loss"),
}
HIGHER_IS_BETTER = frozenset({"r2", "accuracy", "f1", "auc"})


def is_higher_better(metric: str) -> bool:
    """Return whether higher values of a metric are better; unknown metrics count as losses."""
    return metric in HIGHER_IS_BETTER


def monitors(task: str) -> tuple[str, ...]:
    """Return the valid monitors of a task; for `auto` those of all tasks."""
    if task == "auto":
        return (VAL_LOSS, *dict.fromkeys(name for names in OF_TASK.values() for name in names))
    return (VAL_LOSS, *OF_TASK[task])
