"""What does not work now and is tried again: named, so that /health can say it."""

import logging
from collections.abc import Iterable

from traind.service.errors import ServiceError

LOG = logging.getLogger(__name__)
RECORDING = "what workers say cannot be written"
RETRY_S = 0.5  # between tries of what failed
GIVE_UP_S = 600.0  # after that what concerns one job alone fails that job


class Problems:
    """Problems by what they are about. Each is logged when it comes, and when it is over."""

    def __init__(self) -> None:
        self._now: dict[str, str] = {}

    def arose(self, what: str, error: Exception) -> str:
        """Show that something fails, and that it is tried again; return that as a sentence."""
        reason = error.message if isinstance(error, ServiceError) else f"{error}."
        if what not in self._now:
            LOG.warning("%s; it is tried again: %s", what, reason)
        self._now[what] = f"{what[:1].upper()}{what[1:]}: {reason}"
        return self._now[what]

    def passed(self, what: str) -> None:
        """Show it no longer."""
        if self._now.pop(what, None) is not None:
            LOG.warning("it works again, which did not: %s", what)

    def all(self) -> Iterable[str]:
        """Return each as a sentence."""
        return tuple(self._now.values())
