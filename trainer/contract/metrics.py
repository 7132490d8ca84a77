"""The metrics of each task, and in which direction each is better. No torch; service and page follow it.

`val_loss` is what the network itself minimises, measured on the validation rows: the mean squared error of the
standardised (and where the recipe says so logarithmic) target, or the mean negative logarithm of the right class's
probability.
"""

VAL_LOSS = "val_loss"
OF_TASK: dict[str, tuple[str, ...]] = {
    "regression": ("rmse", "mae", "r2"),
    "binary": ("accuracy", "f1", "auc", "log_loss"),
    "multiclass": ("accuracy", "f1", "auc", "log_loss"),
}
HIGHER_IS_BETTER = frozenset({"r2", "accuracy", "f1", "auc"})


def is_higher_better(metric: str) -> bool:
    """Whether more of a metric is better; of names that are not known here, less is (a loss)."""
    return metric in HIGHER_IS_BETTER


def monitors(task: str) -> tuple[str, ...]:
    """Return what `monitor` may name for a task; `auto` stands for any of them."""
    if task == "auto":
        return (VAL_LOSS, *dict.fromkeys(name for names in OF_TASK.values() for name in names))
    return (VAL_LOSS, *OF_TASK[task])
