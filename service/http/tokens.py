"""Bearer tokens: their sources, their owners, and a limit on wrong ones.

Tokens are kept as digests and compared in constant time; names, not tokens, go into logs.
"""

import contextlib
import ctypes
import hashlib
import hmac
import logging
import os
import re
import stat
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, MutableMapping
from pathlib import Path
from typing import Literal

from traind.service.http.errors import BadTokens

LOG = logging.getLogger("traind.http")
TOKEN_VARIABLE = "TRAIND_TOKEN"  # noqa: S105 - the name of a variable
_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
_TOKEN = re.compile(r"[!-~]{1,512}")


Role = Literal["viewer", "operator"]
ROLES: tuple[Role, ...] = ("viewer", "operator")


class Tokens:
    """The tokens of one server, by digest. `viewers` are the names whose tokens only read and predict."""

    def __init__(self, by_name: dict[str, str], viewers: Iterable[str] = ()) -> None:
        self._names = {_digest(token.encode()): name for name, token in by_name.items()}
        self.viewers = frozenset(viewers)

    def __len__(self) -> int:
        return len(self._names)

    def name_of(self, token: bytes) -> str | None:
        """Return the name of a token's owner, or None, in constant time."""
        digest, found = _digest(token), None
        for known, name in self._names.items():
            if hmac.compare_digest(known, digest):
                found = name
        return found


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def parse_tokens(text: str, source: str) -> Tokens:
    """Return the tokens of a text: `name:token:role`, `name:token` or `token` a line, `#` for comments.

    The role is `viewer` or `operator`, which is the default; anything else behind a colon belongs to the token.
    Raises `BadTokens`.
    """
    by_name: dict[str, str] = {}
    viewers: set[str] = set()
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        name, colon, token = entry.partition(":")
        if not colon:
            name, token = f"token-{number}", entry
        rest, _, role = token.rpartition(":")
        if rest and role in ROLES:
            token = rest
            viewers.update({name} if role == "viewer" else ())
        if not _NAME.fullmatch(name) or not _TOKEN.fullmatch(token):
            raise BadTokens(f"{source}: line {number} is not `token`, `name:token` or `name:token:role`.")
        if name in by_name:
            raise BadTokens(f"{source}: line {number} gives a second token to {name}.")
        by_name[name] = token
    if not by_name:
        raise BadTokens(f"{source} holds no token.", hint="One `name:token` or `token` a line.")
    return Tokens(by_name, viewers)


def load_tokens(file: Path | None, environ: MutableMapping[str, str]) -> Tokens | None:
    """Return the tokens of the file, or else of TRAIND_TOKEN, or None.

    The variable is taken out of `environ`, so that no process started from here inherits it, and where that is the
    process's own, out of what `ps` and /proc show of it.
    """
    if environ is os.environ:
        _blank(TOKEN_VARIABLE)
    text = environ.pop(TOKEN_VARIABLE, None)
    if file is None:
        return parse_tokens(text.replace(",", "\n"), TOKEN_VARIABLE) if text else None
    try:
        if file.stat().st_mode & stat.S_IROTH:
            LOG.warning("Every user of this machine can read the tokens in %s: chmod 600 it.", file)
        return parse_tokens(file.read_text(encoding="utf-8"), str(file))
    except OSError as error:
        raise BadTokens(f"{file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise BadTokens(f"{file} is not UTF-8 text.") from None


def _blank(variable: str) -> None:
    """Overwrite an environment variable in /proc; `os.environ` keeps its copy."""
    with contextlib.suppress(AttributeError, OSError):
        find = ctypes.CDLL(None).getenv
        find.restype = ctypes.c_void_p
        if place := find(variable.encode()):
            ctypes.memset(place, 0, len(ctypes.string_at(place)))


class FailedAttempts:
    """Wrong tokens by address: each has `burst` at once and one more every `refill_s`.

    A token that was right from the same address before is let through even then, so that nobody who guesses
    behind the same proxy locks others out. `trusted` is a short way while nobody guesses: whose token a header holds.
    A look-up there compares hashes that are keyed anew in each process, so its time tells a guess nothing.
    """

    def __init__(
        self,
        burst: int = 10,
        refill_s: float = 6.0,
        *,
        addresses: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.trusted: dict[str, str] = {}
        self._burst = burst
        self._refill_s = refill_s
        self._addresses = addresses
        self._clock = clock
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address: (failures, when)
        self._proven: OrderedDict[tuple[str, str], None] = OrderedDict()  # addresses with headers that were right

    def wait_s(self, address: str) -> float:
        """Return the seconds until the address may try again; 0: now."""
        spent = self._failures(address)
        return max(0.0, spent + 1 - self._burst) * self._refill_s

    def failed(self, address: str) -> None:
        """Count a wrong token."""
        self.trusted.clear()
        self._spent[address] = (min(self._failures(address) + 1, self._burst), self._clock())
        self._spent.move_to_end(address)
        if len(self._spent) > self._addresses:
            self._spent.popitem(last=False)

    def succeeded(self, address: str, header: str, name: str) -> None:
        """Remember a right header by address, and its owner."""
        self._proven[address, header] = None
        if len(self._proven) > self._addresses:
            self._proven.popitem(last=False)
        while self._spent and not self._failures(next(iter(self._spent))):
            self._spent.popitem(last=False)
        if not self._spent and len(self.trusted) < self._addresses:
            self.trusted[header] = name

    def is_proven(self, address: str, header: str) -> bool:
        """Return whether this header from this address was right before."""
        return (address, header) in self._proven

    def _failures(self, address: str) -> float:
        spent, when = self._spent.get(address, (0.0, 0.0))
        return max(0.0, spent - (self._clock() - when) / self._refill_s)
