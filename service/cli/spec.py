"""The flags of `traind train`: every field of `TrainSpec`, and how what was typed becomes its value."""

from dataclasses import dataclass, fields
from typing import Annotated, Any

from cyclopts import Group, Parameter

DATA = Group("Data", sort_key=1)
MODEL = Group("Model and training", sort_key=2)
RUNNING = Group("Running", sort_key=3)
# As typed:
WORDS = frozenset({"dataset", "target", "task", "optimizer", "schedule", "device", "trainer", "name", "monitor"})

Text = str | None
Texts = tuple[str, ...]


def _flag(text: str, group: Group) -> Parameter:
    return Parameter(help=text, group=group, negative="", show_default=False)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SpecFlags:
    """What was typed; None and empty: not said. Structured fields take JSON."""

    dataset: Annotated[Text, _flag("a file, or the name of a registered data set; none: synthetic", DATA)] = None
    target: Annotated[Text, _flag("the column to predict; none: the last one", DATA)] = None
    task: Annotated[Text, _flag("auto, regression, binary or multiclass", DATA)] = None
    features: Annotated[Texts, _flag("train on this column only; repeat for more", DATA)] = ()
    ignore: Annotated[Texts, _flag("leave this column out; repeat for more", DATA)] = ()
    columns: Annotated[Text, _flag('kinds to use, as {"zip": "categorical"}', DATA)] = None
    synthetic: Annotated[Text, _flag('size of synthetic data, as {"rows": 1000, "columns": 8}', DATA)] = None
    validation: Annotated[Text, _flag('as {"fraction": 0.2, "kind": "time", "column": "day"}', DATA)] = None
    model: Annotated[Text, _flag('auto, fast, best, linear, mlp, tabm, or {"kind": "mlp", ...}', MODEL)] = None
    epochs: Annotated[Text, _flag("passes over the data", MODEL)] = None
    batch_size: Annotated[Text, _flag("rows a step", MODEL)] = None
    lr: Annotated[Text, _flag("learning rate", MODEL)] = None
    optimizer: Annotated[Text, _flag("auto, adam, adamw or sgd", MODEL)] = None
    schedule: Annotated[Text, _flag("of the learning rate: auto, constant, cosine or linear", MODEL)] = None
    weight_decay: Annotated[Text, _flag("of the optimizer", MODEL)] = None
    grad_clip: Annotated[Text, _flag("largest norm of the gradient", MODEL)] = None
    patience: Annotated[Text, _flag("epochs without a better one before it ends; null: never", MODEL)] = None
    monitor: Annotated[Text, _flag("what decides the best epoch: val_loss or a metric", MODEL)] = None
    seed: Annotated[Text, _flag("of everything random", MODEL)] = None
    threads: Annotated[Text, _flag("of torch; takes that many slots", RUNNING)] = None
    device: Annotated[Text, _flag("auto, cpu, cuda or cuda:1", RUNNING)] = None
    checkpoint_every: Annotated[Text, _flag("seconds; 0: every epoch", RUNNING)] = None
    report_every: Annotated[Text, _flag("steps between progress events", RUNNING)] = None
    max_seconds: Annotated[Text, _flag("of running, over all attempts", RUNNING)] = None
    max_attempts: Annotated[Text, _flag("deaths of the worker that are survived, plus one", RUNNING)] = None
    priority: Annotated[Text, _flag("higher goes first", RUNNING)] = None
    trainer: Annotated[Text, _flag("a registered trainer of your own", RUNNING)] = None
    options: Annotated[Text, _flag("of that trainer, as JSON", RUNNING)] = None
    name: Annotated[Text, _flag("what people call the job", RUNNING)] = None
    tags: Annotated[Texts, _flag("to find the job by; repeat for more", RUNNING)] = ()

    def values(self) -> dict[str, Any]:
        """Return the fields that were said, as JSON would have them."""
        said = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: _value(name, text) for name, text in said.items() if text not in (None, ())}


def _value(name: str, text: str | Texts) -> Any:
    """Return one field's value: words and columns as typed, everything else as JSON where it is JSON."""
    import msgspec

    if isinstance(text, tuple) or name in WORDS:
        return text
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        value = text
    return {"kind": value} if name == "model" and isinstance(value, str) else value
