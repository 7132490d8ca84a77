"""The errors of tables, and the root of all of traind's errors. Imports nothing; all processes read the codes.

TraindError           the root: beside these ServiceError (service/errors.py) and TrainerError (trainer/contract)
`- DataError          code               what happened
|- DatasetNotFound    dataset_not_found  no data set is registered under that name
|- DatasetInUse       dataset_in_use     a job that is not finished uses that version
|- DatasetTooLarge    dataset_too_large  the upload passed the size limit
|- InvalidName        invalid_name       a data set's name is not of the allowed form
`- BadTable           data_error         the content cannot be read as a table, or not used as requested
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BadCell:
    """One place in a file that could not be read: `line` counts from 1, the header included."""

    line: int | None
    column: str | None
    value: str | None
    message: str


class TraindError(Exception):
    """The base of all of traind's errors. `code` is stable, `hint` says what to do."""

    code = "traind_error"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class DataError(TraindError):
    """A table cannot be used. The message is a sentence for the user, naming line and column where known."""

    code = "data_error"

    def __init__(self, message: str, *, hint: str | None = None, cells: tuple[BadCell, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.cells = cells


def sentence(text: str) -> str:
    """Return the text with a capital first and a full stop last."""
    whole = text[:1].upper() + text[1:]
    return whole if whole.endswith((".", "?", "!")) else f"{whole}."


class DatasetNotFound(DataError):
    """No data set is registered under that name."""

    code = "dataset_not_found"


class DatasetInUse(DataError):
    """A job that is not finished uses that version of the data set."""

    code = "dataset_in_use"


class DatasetTooLarge(DataError):
    """The upload passed the size limit."""

    code = "dataset_too_large"


class InvalidName(DataError):
    """A data set's name is not of the allowed form."""

    code = "invalid_name"


class BadTable(DataError):
    """The content cannot be read as a table, or not used as requested."""

    code = "data_error"
