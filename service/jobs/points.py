"""The points that one event adds to a job's curves, by the curves' names. Called by `curves` and by the mirrors."""

from collections.abc import Mapping

from traind.trainer.contract.events import AnyEvent, Epoch, Metric, Progress

Point = tuple[str, float | None]


def points_of(event: AnyEvent) -> list[Point]:
    """Return name and value of each point of an event: None where it is not finite, so that the curve has a gap."""
    match event:
        case Progress():
            return [("loss", event.loss), *_known(event, "lr", "samples_per_s"), *_named("custom", event.metrics)]
        case Epoch():
            return [*_known(event, "train_loss", "val_loss"), *_named("metrics", event.metrics)]
        case Metric():
            return _named("custom", event.values)
        case _:
            return []


def _known(event: AnyEvent, *fields: str) -> list[Point]:
    """Return the fields that an event has: one without validation rows has no validation loss."""
    found = [(name, getattr(event, name)) for name in fields]
    return [(name, value) for name, value in found if value is not None]


def _named(start: str, values: Mapping[str, float | None]) -> list[Point]:
    return [(f"{start}.{name}", value) for name, value in values.items()]
