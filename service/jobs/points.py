"""The points that one event adds to a job's curves, by the curves' names. Called by `curves` and by the mirrors."""

from traind.trainer.contract.events import AnyEvent, Epoch, Metric, Progress

Point = tuple[str, float | None]


def points_of(event: AnyEvent) -> list[Point]:
    """Return name and value of each point of an event; a loss that is not finite is None, others are left out."""
    match event:
        case Progress():
            found: list[Point] = [("lr", event.lr), ("samples_per_s", event.samples_per_s)]
            found += [(f"custom.{name}", value) for name, value in event.metrics.items()]
            return [("loss", event.loss), *_known(found)]
        case Epoch():
            found = [("train_loss", event.train_loss), ("val_loss", event.val_loss)]
            return _known([*found, *((f"metrics.{name}", value) for name, value in event.metrics.items())])
        case Metric():
            return _known([(f"custom.{name}", value) for name, value in event.values.items()])
        case _:
            return []


def _known(points: list[Point]) -> list[Point]:
    return [(name, value) for name, value in points if value is not None]
