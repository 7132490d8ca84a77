"""How the gateway joins the cluster, or says in plain words why it cannot.

Ray itself waits minutes for a head that is not there, uninterruptibly. So somebody is first knocked for by hand: a
head answers the greeting of HTTP/2, which gRPC speaks. Blocking: called in a thread of the gateway.
"""

import importlib.util
import os
import platform
import socket
import subprocess
import sys
from importlib import import_module
from ipaddress import ip_address

from traind.service.executor.ray.protocol import Connected, GatewayConfig

KNOCK_S = 3.0
UNGUARDED_S = 30.0
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))  # and empty settings
_SETTINGS = 4  # the kind of the frame that a server of HTTP/2 begins with
_REFUSED = 3  # the exit code of a stranger whom the cluster refused
_LOOPBACK_ONLY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # else Ray takes 127.0.0.1 for the host's own address


class CannotJoin(Exception):
    """Why the gateway cannot join the cluster; `is_final`: nor will it later, as things are set."""

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_final = is_final


def join(config: GatewayConfig) -> Connected:
    """Join the cluster at the address. Raises `CannotJoin`."""
    if importlib.util.find_spec("ray") is None:
        raise CannotJoin("Ray is not installed: pip install 'traind[ray]'.", is_final=True)
    host, port = split_address(config.address)
    _knock(host, port)
    is_local = _is_loopback(host) and not _answers_outside(port)
    if is_local:
        os.environ.update(_LOOPBACK_ONLY)
    elif not config.is_insecure:
        check_guarded(f"{host}:{port}")
    import ray

    try:
        # says at once that a token is wrong, where `init` tries for 20 s
        import_module("ray._raylet").GcsClient(address=f"{host}:{port}")
        ray.init(
            f"{host}:{port}",
            namespace=config.namespace,
            log_to_driver=False,
            logging_level="error",
            configure_logging=False,
        )
    except Exception as error:
        raise CannotJoin(_in_words(error, config.address)) from error
    return Connected(ray.__version__, platform.python_version())


def split_address(address: str) -> tuple[str, int]:
    """Return host and port. Raises `CannotJoin` for what is no such address."""
    if not address:
        raise CannotJoin(
            "The executor ray needs the address of its cluster's head: --ray-address host:port, or ray_address=.",
            is_final=True,
        )
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65_536 or address.startswith("ray://"):
        raise CannotJoin(
            f"{address!r} is not the address of a Ray cluster: give host:port of its head, 10.0.0.5:6379 say.",
            is_final=True,
        )
    return host.strip("[]"), int(port)


def _knock(host: str, port: int) -> None:
    """Raise `CannotJoin` where nothing, or something else than Ray, is at the address."""
    try:
        with socket.create_connection((host, port), timeout=KNOCK_S) as knocking:
            knocking.sendall(_GREETING)
            answer = knocking.recv(9)
    except TimeoutError:
        raise CannotJoin(f"Nothing answered at {host}:{port} within {KNOCK_S:g} s.") from None
    except OSError as error:
        raise CannotJoin(f"Nothing answers at {host}:{port}: {error.strerror or error}.") from None
    if len(answer) < 4 or answer[3] != _SETTINGS:
        raise CannotJoin(f"What answers at {host}:{port} is not the head of a Ray cluster.")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _answers_outside(port: int) -> bool:
    """Tell whether the head at our own port can be reached by this machine's other address too."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it only finds the address that would be used
            own = probe.getsockname()[0]
            with socket.create_connection((own, port), timeout=KNOCK_S):
                return True
        except OSError:
            return False


def check_guarded(address: str) -> None:
    """Raise `CannotJoin` where the cluster lets anyone in: it runs whatever code whoever reaches it sends."""
    code = (
        "import sys\nfrom ray._raylet import GcsClient\nfrom ray.exceptions import AuthenticationError\n"
        f"try: GcsClient(address=sys.argv[1])\nexcept AuthenticationError: sys.exit({_REFUSED})"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    environment["RAY_AUTH_MODE"] = "disabled"
    try:
        stranger = subprocess.run(  # noqa: S603 - our own interpreter and code
            [sys.executable, "-c", code, address],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=UNGUARDED_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CannotJoin(f"Whether {address} asks for a token was not found out within {UNGUARDED_S:g} s.") from None
    if stranger.returncode not in (0, _REFUSED):
        words = (stranger.stderr.strip().splitlines() or [f"exit code {stranger.returncode}"])[-1]
        raise CannotJoin(f"Whether the cluster at {address} asks for a token was not found out: {words}")
    if stranger.returncode == 0:
        raise CannotJoin(
            f"The Ray cluster at {address} asks nobody for a token: whoever reaches it runs code on every node. "
            "Start it with RAY_AUTH_MODE=token, or say --ray-insecure.",
            is_final=True,
        )


def _in_words(error: Exception, address: str) -> str:
    words = " ".join(str(error).split())
    if "ersion mismatch" in words:
        return f"The cluster at {address} is of another version: {words}"
    if "uthenticat" in words or "token" in words.lower():
        return (
            f"The cluster at {address} refused our token, which is missing or another one. "
            "Set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH) to the cluster's."
        )
    if "ailed to connect" in words:
        return (
            f"The head of the cluster at {address} answers, and lets nobody join: its token may be another one. "
            "Set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH) to the cluster's."
        )
    if "ould not find any running" in words or "raylet" in words.lower():
        return f"This machine is no node of the cluster at {address}; `ray start --address={address}` makes it one."
    return f"The cluster at {address} could not be joined: {type(error).__name__}: {words}"
