"""What the base classes of `TrainingService` share: each has the calls about one subject."""

from abc import ABC, abstractmethod

from traind.service.datasets import Datasets
from traind.service.engine.engine import Engine
from traind.service.mirrors.mirrors import Mirrors
from traind.service.processes.side import SideWorker
from traind.service.settings import Layout, Settings
from traind.service.studies.studies import Studies


class Parts(ABC):
    """The parts of one service that its base classes use."""

    settings: Settings
    layout: Layout
    engine: Engine
    mirrors: Mirrors
    side: SideWorker
    _datasets: Datasets
    _studies: Studies

    @abstractmethod
    def _check_open(self) -> None:
        """Raise `NotRunning` where the service is not started, and the engine's error where it has stopped."""
