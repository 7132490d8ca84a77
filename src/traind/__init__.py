"""traind: the service that trains PyTorch models for other programs.

The public names. Each is imported when it is first asked for, so `import traind` costs nothing, and neither
the server nor the client ever loads torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from traind.data.errors import (
        BadTable,
        DataError,
        DatasetInUse,
        DatasetNotFound,
        DatasetTooLarge,
        InvalidName,
        TraindError,
    )
    from traind.service.client.asynchronous import Client
    from traind.service.client.synchronous import SyncClient
    from traind.service.errors import (
        CursorAhead,
        DiskLow,
        Forbidden,
        IdTaken,
        InvalidSpec,
        JobFinished,
        JobNotFinished,
        JobNotFound,
        ModelNotReady,
        NotResumable,
        NotRunning,
        NotWaiting,
        PredictionFailed,
        QueueFull,
        RootBusy,
        RootTooNew,
        ServiceError,
        SideWorkerBusy,
        SideWorkerFailed,
        SlowWatcher,
        StoreFailed,
        StudyFinished,
        StudyIdTaken,
        StudyNotFinished,
        StudyNotFound,
    )
    from traind.service.jobs.job import Job
    from traind.service.service import TrainingService
    from traind.service.studies.request import Dimension, StudyRequest
    from traind.service.studies.study import Study, Trial
    from traind.trainer.contract.errors import TrainerError
    from traind.trainer.contract.events import (
        Checkpoint,
        ControlRequested,
        Epoch,
        Log,
        Metric,
        Progress,
        State,
        Status,
    )
    from traind.trainer.contract.spec import (
        AutoModel,
        BestModel,
        FastModel,
        LinearModel,
        MlpModel,
        Synthetic,
        TabmModel,
        TrainSpec,
        Validation,
    )
    from traind.trainer.model.model import load_model
    from traind.trainer.run.attempt import Run, run_trainer

__version__ = "0.2.0"

__all__ = [
    "AutoModel",
    "BadTable",
    "BestModel",
    "Checkpoint",
    "Client",
    "ControlRequested",
    "CursorAhead",
    "DataError",
    "DatasetInUse",
    "DatasetNotFound",
    "DatasetTooLarge",
    "Dimension",
    "DiskLow",
    "Epoch",
    "FastModel",
    "Forbidden",
    "IdTaken",
    "InvalidName",
    "InvalidSpec",
    "Job",
    "JobFinished",
    "JobNotFinished",
    "JobNotFound",
    "LinearModel",
    "Log",
    "Metric",
    "MlpModel",
    "ModelNotReady",
    "NotResumable",
    "NotRunning",
    "NotWaiting",
    "PredictionFailed",
    "Progress",
    "QueueFull",
    "RootBusy",
    "RootTooNew",
    "Run",
    "ServiceError",
    "SideWorkerBusy",
    "SideWorkerFailed",
    "SlowWatcher",
    "State",
    "Status",
    "StoreFailed",
    "Study",
    "StudyFinished",
    "StudyIdTaken",
    "StudyNotFinished",
    "StudyNotFound",
    "StudyRequest",
    "SyncClient",
    "Synthetic",
    "TabmModel",
    "TrainSpec",
    "TraindError",
    "TrainerError",
    "TrainingService",
    "Trial",
    "Validation",
    "__version__",
    "load_model",
    "run_trainer",
]

_HOMES = {
    "Client": "traind.service.client.asynchronous",
    "Job": "traind.service.jobs.job",
    "Run": "traind.trainer.run.attempt",
    "SyncClient": "traind.service.client.synchronous",
    "TrainingService": "traind.service.service",
    "load_model": "traind.trainer.model.model",
    "run_trainer": "traind.trainer.run.attempt",
    **dict.fromkeys(
        (
            "CursorAhead",
            "DiskLow",
            "Forbidden",
            "IdTaken",
            "InvalidSpec",
            "JobFinished",
            "JobNotFinished",
            "JobNotFound",
            "ModelNotReady",
            "NotResumable",
            "NotRunning",
            "NotWaiting",
            "PredictionFailed",
            "QueueFull",
            "RootBusy",
            "RootTooNew",
            "ServiceError",
            "SideWorkerBusy",
            "SideWorkerFailed",
            "SlowWatcher",
            "StoreFailed",
            "StudyFinished",
            "StudyIdTaken",
            "StudyNotFinished",
            "StudyNotFound",
        ),
        "traind.service.errors",
    ),
    **dict.fromkeys(
        (
            "BadTable",
            "DataError",
            "DatasetInUse",
            "DatasetNotFound",
            "DatasetTooLarge",
            "InvalidName",
            "TraindError",
        ),
        "traind.data.errors",
    ),
    "Dimension": "traind.service.studies.request",
    "Study": "traind.service.studies.study",
    "StudyRequest": "traind.service.studies.request",
    "Trial": "traind.service.studies.study",
    "TrainerError": "traind.trainer.contract.errors",
    **dict.fromkeys(
        ("Checkpoint", "ControlRequested", "Epoch", "Log", "Metric", "Progress", "State", "Status"),
        "traind.trainer.contract.events",
    ),
}  # every other name: traind.trainer.contract.spec


if not TYPE_CHECKING:  # a checker that sees `__getattr__` believes in every name

    def __getattr__(name: str) -> object:
        """Import a public name from its home."""
        if name not in __all__:
            raise AttributeError(f"module 'traind' has no attribute {name!r}")
        value = getattr(import_module(_HOMES.get(name, "traind.trainer.contract.spec")), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
