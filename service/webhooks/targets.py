"""The configuration of webhooks, by the operator only: no request can add one.

Read once, when the service starts; errors name the field, and the service does not start.
"""

import base64
import binascii
import ipaddress
import os
import re
import stat
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from traind.service.errors import InvalidSpec
from traind.service.jobs.job import TERMINAL
from traind.service.validation.explain import Problem
from traind.service.validation.validate import parse, refusal
from traind.trainer.contract.events import Status
from traind.trainer.contract.spec import DatasetName

ENDS: tuple[Status, ...] = tuple(sorted(TERMINAL))
PREFIX = "whsec_"
LEAST_SECRET_BYTES = 16
_URL = re.compile(r"[!#-;=?-\[\]_a-z~]+")  # what RFC 3986 lets stand in an address
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Webhook(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One webhook, as the operator configures it."""

    name: DatasetName
    """Name of the webhook, for the list of deliveries and the log."""
    url: Annotated[str, Meta(max_length=2_000)]
    """URL to post to: http or https, without user and password."""
    secret_file: Annotated[str, Meta(min_length=1)]
    """File with the signing secret, whsec_ and base64 or base64 alone; only its owner may read it."""
    events: Annotated[tuple[Status, ...], Meta(min_length=1)] = ENDS
    """States of jobs to send; by default all final ones."""
    tags: tuple[str, ...] = ()
    """Only jobs with one of these tags; empty: all jobs."""


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    webhook: list[Webhook] = []


@dataclass(frozen=True, slots=True)
class Target:
    """A checked webhook, with its secret."""

    webhook: Webhook
    secret: bytes

    @property
    def name(self) -> str:
        """The webhook's name."""
        return self.webhook.name

    @property
    def address(self) -> str:
        """Its scheme and host, without the path, which may be secret."""
        parts = urlsplit(self.webhook.url)
        return f"{parts.scheme}://{parts.netloc}"


def load_targets(source: str | os.PathLike[str] | Sequence[Any]) -> tuple[Target, ...]:
    """Return the targets of a TOML file of `[[webhook]]` tables, or of a list of them; raises `InvalidSpec`."""
    if isinstance(source, str | os.PathLike):
        value: Any = _read_toml(Path(source))
    else:
        value = {"webhook": [_as_dict(one) if isinstance(one, Webhook) else one for one in source]}
    hooks = parse(value, _File, what="The list of webhooks").webhook
    found: list[Problem] = []
    targets = [_checked(hook, f"webhook.{place}", found) for place, hook in enumerate(hooks)]
    names = [hook.name for hook in hooks]
    found += [
        Problem(f"webhook.{place}.name", f"{name!r} is there twice")
        for place, name in enumerate(names)
        if name in names[:place]
    ]
    if found:
        raise refusal(found, "The list of webhooks")
    return tuple(targets)


def _as_dict(hook: Webhook) -> dict[str, Any]:
    return {name: getattr(hook, name) for name in Webhook.__struct_fields__}


def _read_toml(path: Path) -> Any:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise InvalidSpec(f"The list of webhooks {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSpec(f"The list of webhooks {path} is not TOML: {error}.") from None


def _checked(hook: Webhook, loc: str, found: list[Problem]) -> Target:
    """Return the target; problems are added to `found`."""
    try:
        parts = urlsplit(hook.url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if (
        parts.scheme not in {"http", "https"}
        or port == 0
        or not _URL.fullmatch(hook.url)
        or not _is_host(parts.hostname)
    ):
        found.append(Problem(f"{loc}.url", f"must be an http or https address, got {hook.url[:100]!r}"))
    elif parts.username is not None or parts.password is not None:
        found.append(Problem(f"{loc}.url", "must not hold a user or password: the signature says who we are"))
    return Target(hook, _secret(hook, loc, found))


def _is_host(name: str | None) -> bool:
    """Return whether this is an address or a name as DNS has them: one with letters beyond ASCII in punycode."""
    if name is None:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return len(name) <= 253 and all(_LABEL.fullmatch(label) for label in name.removesuffix(".").split("."))
    return True


def _secret(hook: Webhook, loc: str, found: list[Problem]) -> bytes:
    path = Path(hook.secret_file)
    try:
        if path.stat().st_mode & _OTHERS:
            found.append(Problem(f"{loc}.secret_file", f"{path} can be read by others; chmod 600 {path}"))
            return b""
        text = path.read_text().strip().removeprefix(PREFIX)
        secret = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except OSError as error:
        found.append(Problem(f"{loc}.secret_file", f"{path} cannot be read: {error.strerror}"))
        return b""
    except (binascii.Error, ValueError):
        found.append(Problem(f"{loc}.secret_file", f"{path} does not hold base64, with or without {PREFIX}"))
        return b""
    if len(secret) < LEAST_SECRET_BYTES:
        found.append(Problem(f"{loc}.secret_file", f"{path} holds fewer than {LEAST_SECRET_BYTES} bytes"))
    return secret
