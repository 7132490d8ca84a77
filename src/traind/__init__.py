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
        AliasNotFound,
        ChangeRefused,
        CursorAhead,
        DiskLow,
        EngineFailed,
        ExecutorRefused,
        Forbidden,
        IdTaken,
        InvalidSpec,
        JobFileNotFound,
        JobFinished,
        JobNotFinished,
        JobNotFound,
        JobNotRunning,
        ModelNotReady,
        NoSuchDevice,
        NotBetter,
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
        TooMany,
        WebhookNotFound,
    )
    from traind.service.jobs.job import Job
    from traind.service.service import TrainingService
    from traind.service.studies.request import Dimension, StudyRequest
    from traind.service.studies.study import Study, Trial
    from traind.trainer.contract.errors import (
        CheckpointDamaged,
        DiskFailed,
        DiskFull,
        Diverged,
        ExportFailed,
        ModelDamaged,
        NoModelYet,
        OutOfMemory,
        SpecError,
        TimedOut,
        TrainerError,
        UserCodeError,
    )
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
    "AliasNotFound",
    "AutoModel",
    "BadTable",
    "BestModel",
    "ChangeRefused",
    "Checkpoint",
    "CheckpointDamaged",
    "Client",
    "ControlRequested",
    "CursorAhead",
    "DataError",
    "DatasetInUse",
    "DatasetNotFound",
    "DatasetTooLarge",
    "Dimension",
    "DiskFailed",
    "DiskFull",
    "DiskLow",
    "Diverged",
    "EngineFailed",
    "Epoch",
    "ExecutorRefused",
    "ExportFailed",
    "FastModel",
    "Forbidden",
    "IdTaken",
    "InvalidName",
    "InvalidSpec",
    "Job",
    "JobFileNotFound",
    "JobFinished",
    "JobNotFinished",
    "JobNotFound",
    "JobNotRunning",
    "LinearModel",
    "Log",
    "Metric",
    "MlpModel",
    "ModelDamaged",
    "ModelNotReady",
    "NoModelYet",
    "NoSuchDevice",
    "NotBetter",
    "NotResumable",
    "NotRunning",
    "NotWaiting",
    "OutOfMemory",
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
    "SpecError",
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
    "TimedOut",
    "TooMany",
    "TrainSpec",
    "TraindError",
    "TrainerError",
    "TrainingService",
    "Trial",
    "UserCodeError",
    "Validation",
    "WebhookNotFound",
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
            "AliasNotFound",
            "ChangeRefused",
            "CursorAhead",
            "DiskLow",
            "EngineFailed",
            "ExecutorRefused",
            "Forbidden",
            "IdTaken",
            "InvalidSpec",
            "JobFileNotFound",
            "JobFinished",
            "JobNotFinished",
            "JobNotFound",
            "JobNotRunning",
            "ModelNotReady",
            "NoSuchDevice",
            "NotBetter",
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
            "TooMany",
            "WebhookNotFound",
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
    **dict.fromkeys(
        (
            "CheckpointDamaged",
            "DiskFailed",
            "DiskFull",
            "Diverged",
            "ExportFailed",
            "ModelDamaged",
            "NoModelYet",
            "OutOfMemory",
            "SpecError",
            "TimedOut",
            "TrainerError",
            "UserCodeError",
        ),
        "traind.trainer.contract.errors",
    ),
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
