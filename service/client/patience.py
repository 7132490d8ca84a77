"""How long a client waits for a server that is away, and which requests it sends again."""

import random
import time

from traind.service.client.errors import Away, ServerUnreachable

FIRST_DELAY_S = 0.05
LONGEST_DELAY_S = 2.0
QUIET_S = 10.0  # a failure this long after the last one is a new outage


class Patience:
    """The patience of one client: a server that has answered before may be away for `patience_s` seconds."""

    def __init__(self, url: str, patience_s: float) -> None:
        self.url = url
        self.patience_s = patience_s
        self.has_answered = False

    def begin(self) -> "Absence":
        """Return the outage of one request, which has not begun."""
        return Absence(self)


class Absence:
    """An outage as one request or stream sees it: how long the server has been away."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._since: float | None = None  # the first failure after the last answer
        self._last = 0.0
        self._delay_s = FIRST_DELAY_S
        self.is_retry = False

    def answered(self) -> None:
        """Record an answer: the outage is over."""
        self._since = None
        self._patience.has_answered = True

    def delay(self, away: Away, *, is_repeatable: bool) -> float:
        """Return the seconds to wait before the next try, or raise `ServerUnreachable`."""
        now = time.monotonic()
        url, patience_s = self._patience.url, self._patience.patience_s
        if away.may_have_arrived and not is_repeatable:
            raise ServerUnreachable(
                f"The connection to {url} broke, and the request may or may not have been carried out: {away}.",
                hint="Look at the job's status before asking again.",
            ) from away
        if not self._patience.has_answered:
            hint = "Start one with `traind serve`, or say where it is."
            raise ServerUnreachable(f"No traind answers at {url}: {away}.", hint=hint) from away
        self._since = now if self._since is None else self._since
        if now - self._since >= patience_s:
            raise ServerUnreachable(f"{url} has been away for {now - self._since:.0f} s: {away}.") from away
        self.is_retry = True
        if now - self._last > QUIET_S:
            self._delay_s = FIRST_DELAY_S
        self._last = now
        delay_s, self._delay_s = self._delay_s, min(LONGEST_DELAY_S, 2 * self._delay_s)
        return delay_s * random.uniform(0.5, 1.0)  # noqa: S311 - spreads out clients that lost the same server
