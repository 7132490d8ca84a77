"""Problems: what fails now and is tried again, by name, for `/health`."""

import logging
from collections.abc import Iterable

from traind.service.errors import ServiceError

LOG = logging.getLogger(__name__)
RECORDING = "the events of workers cannot be written"
RETRY_S = 0.5  # between tries of what failed
GIVE_UP_S = 600.0  # after that, a problem that concerns one job fails that job


class Problems:
    """The present problems by subject. Each is logged when it begins and when it is over."""

    def __init__(self) -> None:
        self._now: dict[str, str] = {}

    def arose(self, what: str, error: Exception) -> str:
        """Add or renew a problem and return it as a sentence; `what` says what cannot be done."""
        reason = error.message if isinstance(error, ServiceError) else f"{error}."
        if what not in self._now:
            LOG.warning("%s; it is tried again: %s", what, reason)
        self._now[what] = f"{what[:1].upper()}{what[1:]}: {reason}"
        return self._now[what]

    def passed(self, what: str) -> None:
        """Remove a problem, if it is there."""
        if self._now.pop(what, None) is not None:
            LOG.warning("over: %s", what)

    def all(self) -> Iterable[str]:
        """Return the problems as sentences."""
        return tuple(self._now.values())
