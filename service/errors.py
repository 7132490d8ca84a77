"""The errors of the service. Each leaf has a stable code; `service/http/errors.py` has the HTTP statuses.

ServiceError
|- InvalidSpec        validation_failed  one or more fields of the spec are wrong; all are in `details`
|- JobNotFound        job_not_found      no job has that id
|- JobFinished        job_finished       the job is over and takes no such verb any more
|- JobNotFinished     job_not_finished   the job is not over yet, as the verb needs it to be
|- NotWaiting         job_not_waiting    the job runs or is over; only a waiting job can be changed so
|- JobNotRunning      job_not_running    the job waits or is paused; only a running job can be changed so
|- ChangeRefused      change_refused     the running job cannot apply the change; `details` says why
|- NotResumable       not_resumable      the job was cancelled, or has nothing left to do
|- IdTaken            job_id_taken       that job id belongs to a job with another spec
|- StudyNotFound      study_not_found    no study has that id
|- StudyFinished      study_finished     the study is over and takes no such verb any more
|- StudyNotFinished   study_not_finished the study is not over yet, as the verb needs it to be
|- StudyIdTaken       study_id_taken     that id belongs to another study, a job or an alias
|- NotBetter          not_better         the alias stays: the new model is not better; both scores are in `details`
|- AliasNotFound      alias_not_found    no alias has that name
|- WebhookNotFound    webhook_not_found  the operator has named no such webhook
|- ModelNotReady      model_not_ready    the job has no model yet
|- JobFileNotFound    file_not_found     the job has no file of that name
|- CursorAhead        cursor_ahead       `after` is beyond the job's newest event
|- SlowWatcher        slow_watcher       the watcher did not keep up; connect again with the cursor
|- QueueFull          queue_full         too many jobs wait
|- TooMany            too_many           the limit of data sets, aliases, exports or changes is reached
|- DiskLow            disk_full          less disk space is free than disk_floor_bytes
|- ExecutorRefused    executor_refused   the executor is missing or not protected
|- RootBusy           root_busy          another server holds the root
|- RootTooNew         root_too_new       the root was written by a newer traind
|- StoreFailed        store_failed       the database could not be written
|- PredictionFailed   invalid_rows       rows do not fit the model; each bad row is in `details`
|- SideWorkerFailed   side_worker_failed the process that predicts and previews died or took too long
|- NoSuchDevice       no_such_device     jobs have no GPU of that name
|- Forbidden          forbidden          the host's `authorize` refused the call
|- SideWorkerBusy     side_worker_busy   too many calls of this kind wait
|- EngineFailed       engine_failed      the engine stopped by an internal error; start the service again
`- NotRunning         not_running        the service is not started, or is closing
"""

from typing import Any

from traind.data import errors as data
from traind.data.limits import DETAILS, DETAILS_CHARS, MESSAGE_CHARS, clipped


class ServiceError(data.TraindError):
    """The service refuses. `details` lists every problem as `{"loc": field, "msg": sentence}`."""

    code = "service_error"

    def __init__(self, message: str, *, hint: str | None = None, details: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message, hint=hint)
        self.details = details or []


class InvalidSpec(ServiceError):
    """One or more fields of the spec are wrong; all are in `details`."""

    code = "validation_failed"


class JobNotFound(ServiceError):
    """No job has that id."""

    code = "job_not_found"


class JobFinished(ServiceError):
    """The job is over and takes no such verb any more."""

    code = "job_finished"


class JobNotFinished(ServiceError):
    """The job is not over yet, as the verb needs it to be."""

    code = "job_not_finished"


class NotWaiting(ServiceError):
    """The job runs or is over; only a waiting job can be changed so."""

    code = "job_not_waiting"


class JobNotRunning(ServiceError):
    """The job waits or is paused; only a running job can be changed so."""

    code = "job_not_running"


class ChangeRefused(ServiceError):
    """The running job cannot apply the change; `details` says why, by field."""

    code = "change_refused"


class NotResumable(ServiceError):
    """The job was cancelled, or has nothing left to do."""

    code = "not_resumable"


class IdTaken(ServiceError):
    """That job id belongs to a job with another spec."""

    code = "job_id_taken"


class StudyNotFound(ServiceError):
    """No study has that id."""

    code = "study_not_found"


class StudyFinished(ServiceError):
    """The study is over and takes no such verb any more."""

    code = "study_finished"


class StudyNotFinished(ServiceError):
    """The study is not over yet, as the verb needs it to be."""

    code = "study_not_finished"


class StudyIdTaken(ServiceError):
    """That id belongs to a study with another request, a job or an alias."""

    code = "study_id_taken"


class NotBetter(ServiceError):
    """The alias stays: the new model is not better; both scores are in `details`."""

    code = "not_better"


class AliasNotFound(ServiceError):
    """No alias has that name."""

    code = "alias_not_found"


class WebhookNotFound(ServiceError):
    """The operator has named no such webhook."""

    code = "webhook_not_found"


class ModelNotReady(ServiceError):
    """The job has no model yet."""

    code = "model_not_ready"


class JobFileNotFound(ServiceError):
    """The job has no file of that name."""

    code = "file_not_found"


class CursorAhead(ServiceError):
    """`after` is beyond the job's newest event."""

    code = "cursor_ahead"


class SlowWatcher(ServiceError):
    """The watcher did not keep up; connect again with the cursor."""

    code = "slow_watcher"


class QueueFull(ServiceError):
    """Too many jobs wait."""

    code = "queue_full"


class TooMany(ServiceError):
    """The limit of data sets, aliases, exports or changes of a job is reached."""

    code = "too_many"


class DiskLow(ServiceError):
    """Less disk space is free than `disk_floor_bytes`."""

    code = "disk_full"


class ExecutorRefused(ServiceError):
    """Jobs cannot be run as the settings say: Ray is not installed, its cluster lets anyone in, or the like."""

    code = "executor_refused"


class RootBusy(ServiceError):
    """Another server holds the root."""

    code = "root_busy"


class RootTooNew(ServiceError):
    """The root was written by a newer traind."""

    code = "root_too_new"


class StoreFailed(ServiceError):
    """The database could not be written."""

    code = "store_failed"


class PredictionFailed(ServiceError):
    """Rows do not fit the model; each bad row is in `details`."""

    code = "invalid_rows"


class SideWorkerFailed(ServiceError):
    """The process that predicts and previews died or took too long."""

    code = "side_worker_failed"


class SideWorkerBusy(ServiceError):
    """Too many calls of this kind wait, of this client or of all."""

    code = "side_worker_busy"


class NoSuchDevice(ServiceError):
    """Jobs have no GPU of that name."""

    code = "no_such_device"


class Forbidden(ServiceError):
    """The host's `authorize` refused the call."""

    code = "forbidden"


class EngineFailed(ServiceError):
    """The engine stopped by an internal error. Running jobs were shown to write checkpoints and leave."""

    code = "engine_failed"


class NotRunning(ServiceError):
    """The service is not started, or is closing."""

    code = "not_running"


def described(error: Exception) -> dict[str, Any]:
    """Return an error as HTTP, the CLI and the clients show it: code, message, hint, details.

    Long texts are cut, and so is the list of details: the names in them come from users.
    """
    message, hint = str(error), getattr(error, "hint", None)
    details = list(getattr(error, "details", ()))[:DETAILS]
    field = getattr(error, "field", None)
    if field is not None:
        details.append({"loc": field, "msg": message})
    for cell in getattr(error, "cells", ())[: DETAILS - len(details)]:
        place = {"line": cell.line, "column": cell.column, "value": cell.value}
        details.append({"loc": cell.column or "", "msg": cell.message, **place})
    if isinstance(error, data.DataError):
        message, hint = data.sentence(message), data.sentence(hint) if hint else None
    shown: dict[str, Any] = {
        "code": getattr(error, "code", "internal_error"),
        "message": clipped(message, MESSAGE_CHARS),
    }
    return shown | {
        "hint": clipped(hint, MESSAGE_CHARS) if hint else hint,
        "details": [_short(one) for one in details],
    }


def _short(detail: dict[str, Any]) -> dict[str, Any]:
    """Return one problem with its texts cut."""
    limit = DETAILS_CHARS // DETAILS
    return {name: clipped(value, limit) if isinstance(value, str) else value for name, value in detail.items()}
