"""`traind serve`: the server. Its flags are made from `Settings`."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import Group, Parameter

import traind
from traind.service.cli.entry import BROKEN, INTERRUPTED, Failed
from traind.service.cli.flags import with_default
from traind.service.cli.surroundings import host_of, port_of, reap_orphans, search_here
from traind.service.field_lines import field_lines
from traind.service.http.server import Door
from traind.service.http.server import serve as listening
from traind.service.http.telemetry import configure_logging
from traind.service.http.tokens import load_tokens
from traind.service.service import TrainingService
from traind.service.settings import Settings
from traind.service.validation.explain import describe
from traind.service.validation.validate import parse

NETWORK = Group("Network and access", sort_key=1)
SETTINGS = Group("Settings", sort_key=2)
WORDED = {
    "root",
    "devices",
    "ray_address",
    "ray_node_dir",
    "trainers",
    "webhooks",
}  # their descriptions say what they take


def _flag(setting: msgspec.inspect.Field) -> tuple[str, Any, Any]:
    """Return one setting as the field of a dataclass of flags."""
    default = None if setting.default is msgspec.NODEFAULT else setting.default
    text = with_default(f"{field_lines(Settings)[setting.name]} {_takes(setting)}".strip(), default)
    named = Parameter(help=text, group=SETTINGS, env_var=f"TRAIND_{setting.name.upper()}", show_default=False)
    return setting.name, Annotated[str | None, named], field(default=None)


def _takes(setting: msgspec.inspect.Field) -> str:
    """Return the values that a setting takes, unless its description says it."""
    kind = describe(setting.type)
    return "" if setting.name in WORDED else f"Takes {kind}."


_SETTINGS = msgspec.inspect.type_info(Settings)
assert isinstance(_SETTINGS, msgspec.inspect.StructType)
SettingFlags = Parameter(name="*")(
    make_dataclass(
        "SettingFlags",
        [_flag(setting) for setting in _SETTINGS.fields],
        namespace={"__module__": __name__},
        kw_only=True,
        frozen=True,
    )
)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DoorFlags:
    """Address and access."""

    host: Annotated[
        str | None,
        Parameter(help="address to listen on, also by TRAIND_HOST or HOST [default: 127.0.0.1]", group=NETWORK),
    ] = None
    port: Annotated[
        int | None, Parameter(help="also by TRAIND_PORT or PORT; 0: any free one [default: 3001]", group=NETWORK)
    ] = None
    token_file: Annotated[
        Path | None,
        Parameter(
            env_var="TRAIND_TOKEN_FILE", help="file of tokens, one a line: `name:token` or `token`", group=NETWORK
        ),
    ] = None
    allow_host: Annotated[
        tuple[str, ...],
        Parameter(
            env_var="TRAIND_ALLOW_HOST",
            negative="",
            help="host name that requests may use; repeat for more",
            group=NETWORK,
            show_default=False,
        ),
    ] = ()
    allow_origin: Annotated[
        tuple[str, ...],
        Parameter(
            env_var="TRAIND_ALLOW_ORIGIN",
            negative="",
            help="web origin whose pages may call; repeat for more",
            group=NETWORK,
            show_default=False,
        ),
    ] = ()


NO_SETTINGS = SettingFlags()
NO_DOOR = DoorFlags()


def serve(
    *,
    door: DoorFlags = NO_DOOR,
    settings: SettingFlags = NO_SETTINGS,  # type: ignore[valid-type]
    log: Annotated[
        Literal["plain", "json"], Parameter(env_var="TRAIND_LOG", help="format of the log on standard error")
    ] = "plain",
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Parameter(env_var="TRAIND_LOG_LEVEL", help="lowest level to log; debug logs each request"),
    ] = "info",
) -> None:
    """Serve on HTTP until SIGTERM or Ctrl-C; running jobs then write checkpoints and go on at the next start."""
    configure_logging(log, log_level.upper())
    search_here()
    ignored: list[str] = []
    port = port_of(os.environ, ignored) if door.port is None else door.port
    opened = Door(
        host=door.host or host_of(os.environ, ignored) or "127.0.0.1",
        port=3001 if port is None else port,
        tokens=load_tokens(door.token_file, os.environ),
        hosts=door.allow_host,
        origins=door.allow_origin,
    )
    service = TrainingService(**_typed(settings))
    service.keep_files_private()
    for words in ignored:
        print(f"traind: {words}", file=sys.stderr)
    with asyncio.Runner(loop_factory=_fast_loop()) as runner:
        runner.run(_serve(service, opened))


def _typed(flags: Any) -> dict[str, Any]:
    """Return the settings that were typed, checked; raises `InvalidSpec` naming every wrong one."""
    texts = {flag.name: text for flag in fields(flags) if (text := getattr(flags, flag.name)) is not None}
    if "trainers" in texts:
        with suppress(msgspec.DecodeError):
            texts["trainers"] = msgspec.json.decode(texts["trainers"])
    settings = parse(texts, Settings, what="The settings", strict=False)
    return {name: getattr(settings, name) for name in texts}


def _fast_loop() -> Any:
    """Return uvloop's loop where the `speed` extra is installed."""
    with suppress(ImportError):
        import uvloop

        return uvloop.new_event_loop
    return None


async def _serve(service: TrainingService, door: Door) -> None:
    """Serve until the first signal; exit at once at the second."""
    leaving = asyncio.Event()
    loop = asyncio.get_running_loop()

    def leave() -> None:
        if leaving.is_set():  # workers notice that the server is gone; what is committed is on the disk
            os._exit(INTERRUPTED)
        leaving.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave)
    reaping = asyncio.create_task(reap_orphans(service.own_children)) if os.getpid() == 1 else None
    async with listening(service, door) as url:
        print(f"traind {traind.__version__} serves {service.layout.root} on {url}", flush=True)
        signalled = asyncio.ensure_future(leaving.wait())
        failed = asyncio.ensure_future(service.failed)
        await asyncio.wait({signalled, failed}, return_when=asyncio.FIRST_COMPLETED)
        signalled.cancel()
        if failed.done():  # the exit code makes systemd start the server again
            raise Failed(failed.result().message, hint=failed.result().hint, code=BROKEN)
        failed.cancel()
        print("Leaving: running jobs write checkpoints and go on at the next start.", flush=True)
    if reaping is not None:
        reaping.cancel()
