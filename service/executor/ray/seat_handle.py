"""A seat as the gateway sees it: calls with deadlines of our own, and Ray's exceptions as ours.

Imports Ray when it is called only: how Ray finds its cluster is settled as it is imported (`connect`).
"""

import asyncio
from typing import Any

CALL_S = 20.0  # what a call may take, a piece of a file and a busy node included


class SeatSilent(Exception):
    """The seat did not answer; the request may have been carried out."""


class SeatGone(Exception):
    """The seat is dead, and its job with it."""

    def __init__(self, message: str, *, is_out_of_memory: bool = False) -> None:
        super().__init__(message)
        self.is_out_of_memory = is_out_of_memory


class SeatRefused(Exception):
    """The seat raised: it has another job, its disk is full, or the like."""


class SeatHandle:
    """One seat, by its actor."""

    def __init__(self, name: str, actor: Any) -> None:
        self.name = name
        self.actor = actor

    async def call(self, method: str, *args: Any, timeout_s: float | None = CALL_S, **named: Any) -> Any:
        """Call a method of the seat's; raises `SeatSilent`, `SeatGone`, `SeatRefused`."""
        from ray.exceptions import ActorUnavailableError, OutOfMemoryError, RayActorError, RayError, RayTaskError

        try:
            async with asyncio.timeout(timeout_s):
                return await getattr(self.actor, method).remote(*args, **named)
        except TimeoutError:
            raise SeatSilent(f"the seat {self.name} did not answer within {timeout_s} s") from None
        except ActorUnavailableError as error:
            raise SeatSilent(_first_line(error)) from None
        except OutOfMemoryError as error:
            raise SeatGone(_first_line(error), is_out_of_memory=True) from None
        except RayActorError as error:
            raise SeatGone(_first_line(error)) from None
        except RayTaskError as error:
            raise SeatRefused(_last_line(error)) from None
        except RayError as error:
            raise SeatSilent(f"{type(error).__name__}: {_first_line(error)}") from None

    def kill(self) -> None:
        """Have Ray end the actor. Its own processes are to be ended first, by `quit`."""
        import ray

        ray.kill(self.actor, no_restart=True)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
