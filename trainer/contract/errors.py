"""The errors of training, raised in workers. Imports nothing heavy; the service reads the codes.

TrainerError            code              what happened
|- SpecError            invalid_spec      the spec cannot be carried out with this data or on this machine
|- Diverged             diverged          the loss stopped being finite, and going back did not help
|- OutOfMemory          out_of_memory     the worker's memory limit was reached
|- TimedOut             timed_out         `max_seconds` passed
|- DiskFull             disk_full         a checkpoint or model could not be written for want of space
|- DiskFailed           disk_failed       a checkpoint or model could not be written: read-only, input/output error
|- CheckpointDamaged    checkpoint_damaged  no whole checkpoint was left to go on from
|- ModelDamaged         model_damaged     a model file is not whole, or not one of ours
|- NoModelYet           model_not_ready   a checkpoint holds no model yet, or its trainer makes it at the end
|- ExportFailed         export_failed     a model cannot be written in that format, or would predict otherwise
`- UserCodeError        trainer_error     the trainer's own code raised
"""

from traind.data.errors import TraindError


class TrainerError(TraindError):
    """A job cannot go on. The message is a sentence for the user; `hint` says what to do, where that is known."""

    code = "trainer_error"


class SpecError(TrainerError):
    """The spec cannot be carried out with this data or on this machine. `field` is the spec's field to change."""

    code = "invalid_spec"

    def __init__(self, message: str, *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.field = field


class Diverged(TrainerError):
    """The loss stopped being finite, and going back with a lower learning rate did not help."""

    code = "diverged"


class OutOfMemory(TrainerError):
    """The worker's memory limit was reached."""

    code = "out_of_memory"


class TimedOut(TrainerError):
    """`max_seconds` passed before the job was done."""

    code = "timed_out"


class DiskFull(TrainerError):
    """A checkpoint or model of `needed_bytes` could not be written for want of space."""

    code = "disk_full"

    def __init__(self, message: str, *, hint: str | None = None, needed_bytes: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.needed_bytes = needed_bytes


class DiskFailed(TrainerError):
    """A checkpoint or model could not be written: the disk is read-only or reports errors."""

    code = "disk_failed"


class CheckpointDamaged(TrainerError):
    """No whole checkpoint was left to go on from."""

    code = "checkpoint_damaged"


class ModelDamaged(TrainerError):
    """A model file is not whole, or not one of ours."""

    code = "model_damaged"


class NoModelYet(TrainerError):
    """A checkpoint holds no model yet, or is of a trainer whose models are made at the end."""

    code = "model_not_ready"


class ExportFailed(TrainerError):
    """A model cannot be written in that format, or would not predict there what it does here."""

    code = "export_failed"


class UserCodeError(TrainerError):
    """The trainer's own code raised. The message ends with the last lines of its traceback."""

    code = "trainer_error"
