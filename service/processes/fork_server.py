"""The fork server: worker processes start in milliseconds, with torch loaded, without affecting the host program.

`ForkServer` owns one process that has run `boot` and forks a worker on request. `context()` wraps it as
the multiprocessing context for `ProcessPoolExecutor`. Unlike the standard `forkserver` context it shares nothing with
the host program, neither a fork server nor a start method, and workers never import the host's main module. Owned by
the service; used by `worker_process`. Blocking: called in threads only.

It uses internals of multiprocessing (the same in Python 3.11 to 3.14), all of them in this file. Where they are
missing, `context()` is plain spawn: slower, and otherwise the same.
"""

import contextlib
import inspect
import io
import os
import pkgutil
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing import (
    connection,
    context,
    forkserver,
    popen_forkserver,
    process,
    reduction,
    resource_tracker,
    spawn,
    util,
)
from typing import IO, Any, ClassVar

from traind.service.processes.descriptors import close, hold
from traind.service.processes.fork_server_main import host_prefix, sweep_boot_dirs
from traind.trainer.contract.process_tree import children, kill_tree

EXIT_STATUS_S = 1.0  # the fork server reports an exit status sooner, unless it has died
LOG_TAIL_BYTES = 4_000


class BootFailed(Exception):
    """No worker process could be started. The message ends with what the process printed."""


@dataclass(frozen=True, slots=True)
class Named:
    """A function of the worker's side, as `module:function`, so that the server need not import it."""

    name: str

    def __call__(self, *args: Any) -> Any:
        """Import the function in this process and call it."""
        return pkgutil.resolve_name(self.name)(*args)


class ForkServer:
    """One fork server process. It is started again when it died, and ends with the host."""

    def __init__(self, boot: str = "traind.trainer.worker.boot:boot", umask: int = -1) -> None:
        """Make it; `start` starts it. `umask` is its own and its workers'; -1: the host's."""
        self._boot = boot
        self._umask = umask
        self._boot_dir: str | None = None  # its temporary folder while it boots
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._address: int | None = None  # an O_PATH descriptor of the listening socket, whose name is removed
        self._alive: int | None = None  # the server ends when this pipe end, of which there is one copy, is closed
        self._log: IO[bytes] | None = None
        self._is_stopped = True
        self._forking = threading.Lock()  # held from asking for a child until its pid is known
        self._forked: set[int] = set()

    @property
    def pid(self) -> int | None:
        """The server's pid while it runs."""
        running = self._process
        return running.pid if running is not None and running.poll() is None else None

    def context(self) -> context.BaseContext:
        """Return the multiprocessing context whose processes come from this server."""
        return _Context(self) if is_supported() else context.SpawnContext()

    def start(self) -> None:
        """Start the server. Returns at once; the first workers wait until it has booted."""
        with self._lock:
            self._is_stopped = False
        if is_supported():
            self._keep_running()

    def stop(self) -> None:
        """End the server. Its workers live on, but no more are started."""
        with self._lock:
            self._is_stopped = True
            self._forget()

    def fork(self, fds: list[int]) -> tuple[int, int]:
        """Request a child that inherits `fds`; return the pipes of its status (read) and its data (write)."""
        self._keep_running()
        status_r, status_w = os.pipe()
        data_r, data_w = os.pipe()
        hold(data_w)  # the child counts the host as dead when every copy of it is closed
        null = os.open(os.devnull, os.O_RDONLY)  # what children need not hold: the server's life, the host's tracker
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(f"/proc/self/fd/{self._address}")
                reduction.sendfds(client, [data_r, status_w, null, null, *fds])
        except BaseException:
            close(data_w)
            os.close(status_r)
            raise
        finally:
            _close(data_r, status_w, null)
        return status_r, data_w

    def forking(self) -> AbstractContextManager[Any]:
        """Return the lock under which one child is requested and its pid noted."""
        return self._forking

    def note_forked(self, pid: int) -> None:
        """Record a requested child."""
        self._forked.add(pid)

    def end_strangers(self) -> None:
        """Kill orphans of workers: they have become the server's children without being forked by it."""
        with self._forking:
            if (pid := self.pid) is None:
                return
            found = set(children(pid))
            self._forked &= found
            for stranger in found - self._forked:
                kill_tree(stranger)

    def output(self) -> str:
        """Return the last lines that the server and its newborn children wrote."""
        if self._log is None:
            return ""
        size = os.fstat(self._log.fileno()).st_size
        tail = os.pread(self._log.fileno(), LOG_TAIL_BYTES, max(0, size - LOG_TAIL_BYTES))
        return tail.decode(errors="replace").strip()

    def _keep_running(self) -> None:
        with self._lock:
            if self._is_stopped:
                raise BootFailed("the fork server is stopped")
            if self.pid is None:
                self._forget()
                self._launch()

    def _launch(self) -> None:
        resource_tracker.ensure_running()
        sweep_boot_dirs()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the server
        with socket.socket(socket.AF_UNIX) as listener, tempfile.TemporaryDirectory(prefix=host_prefix()) as folder:
            place = os.open(folder, os.O_PATH)
            path = f"/proc/self/fd/{place}/s"  # its own may be longer than a socket's address
            listener.bind(path)
            listener.listen()
            self._address = hold(os.open(path, os.O_PATH))
            os.close(place)
            alive_r, alive = os.pipe()
            self._alive = hold(alive)
            self._boot_dir = tempfile.mkdtemp(prefix=host_prefix())
            code = (
                f"import sys; sys.path[:] = {_sys_path()!r}; "
                "from traind.service.processes.fork_server_main import serve; "
                f"serve({listener.fileno()}, {alive_r}, {self._boot!r}, {self._boot_dir!r})"
            )
            flags = util._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
                    [spawn.get_executable(), *flags, "-c", code],
                    stdin=subprocess.DEVNULL,
                    stdout=self._log,
                    stderr=self._log,
                    pass_fds=(listener.fileno(), alive_r),
                    start_new_session=True,
                    umask=self._umask,
                )
            finally:
                os.close(alive_r)

    def _forget(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._boot_dir is not None:
            shutil.rmtree(self._boot_dir, ignore_errors=True)
        for fd in (self._address, self._alive):
            if fd is not None:
                close(fd)
        if self._log is not None:
            self._log.close()
        self._process = self._address = self._alive = self._log = self._boot_dir = None


def _sys_path() -> list[str]:
    return [entry or process.ORIGINAL_DIR for entry in sys.path]  # type: ignore[attr-defined]


def _close(*fds: int) -> None:
    for fd in fds:
        os.close(fd)


def _let_go(life_line: int, *fds: int) -> None:
    close(life_line)
    _close(*fds)


def is_supported() -> bool:
    """Return whether this Python has the internals that this file uses."""
    leaned_on = (
        (forkserver, "read_signed"),
        (popen_forkserver.Popen, "duplicate_for_child"),
        (reduction, "sendfds"),
        (util, "_args_from_interpreter_flags"),
    )
    parameters = list(inspect.signature(forkserver.main).parameters)[:3]
    return (
        sys.platform == "linux"
        and parameters == ["listener_fd", "alive_r", "preload"]
        and all(hasattr(module, name) for module, name in leaned_on)
    )


class _Popen(popen_forkserver.Popen):
    """A child of the fork server. Its sentinel is a pidfd, which works without the fork server."""

    def _launch(self, process_obj: "_Process") -> None:
        data = self._pickled(process_obj)
        server = process_obj.server
        with server.forking():
            self._fork(server, data)

    def _fork(self, server: ForkServer, data: bytes) -> None:
        try:
            status, data_w = server.fork(self._fds)  # type: ignore[attr-defined]
        except OSError as error:
            raise BootFailed(f"the fork server is gone ({error}): {server.output()}") from error
        try:
            while data:
                data = data[os.write(data_w, data) :]
            self.pid = forkserver.read_signed(status)
            server.note_forked(self.pid)
            self.sentinel = os.pidfd_open(self.pid)
        except (OSError, EOFError) as error:
            close(data_w)
            os.close(status)
            raise BootFailed(f"the fork server started no process: {server.output()}") from error
        self._status = status
        self._reading = threading.Lock()  # both the pool's thread and the service ask
        self.finalizer = util.Finalize(self, _let_go, (data_w, self.sentinel, status))

    def _pickled(self, process_obj: "_Process") -> bytes:
        """Return the data for the child, without the host's main module, start method and arguments."""
        preparation = {
            "name": process_obj.name,
            "authkey": process.current_process().authkey,
            "sys_path": _sys_path(),
        }
        buffer = io.BytesIO()
        context.set_spawning_popen(self)
        try:
            reduction.dump(preparation, buffer)
            reduction.dump(process_obj, buffer)
        finally:
            context.set_spawning_popen(None)
        return buffer.getvalue()

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """Return the exit status; 255 where the fork server died before it could report it."""
        if self.returncode is None and connection.wait([self.sentinel], 0 if flag == os.WNOHANG else None):
            with self._reading:
                if self.returncode is None:
                    self.returncode = self._read_status()
        return self.returncode

    def _read_status(self) -> int:
        with contextlib.suppress(OSError, EOFError):
            if connection.wait([self._status], EXIT_STATUS_S):
                return int(forkserver.read_signed(self._status))
        return 255


class _Process(process.BaseProcess):
    """A process of the fork server; `server` is left out when it is pickled for the child."""

    _start_method: ClassVar[str] = "forkserver"
    server: ForkServer

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "server"}

    def start(self) -> None:
        """Start it, in a daemonic host too: a worker of hypercorn, Sanic or Celery.

        Such a process may have no children by multiprocessing, lest they be orphans; ours leave with the host.
        """
        config = process.current_process()._config  # type: ignore[attr-defined]  # noqa: SLF001
        is_daemonic = config.pop("daemon", None)
        try:
            super().start()
        finally:
            if is_daemonic is not None:
                config["daemon"] = is_daemonic

    def run(self) -> None:
        """Forget the host's resource tracker, which is not passed on: a job that needs one starts its own."""
        resource_tracker._resource_tracker._fd = None  # type: ignore[attr-defined]  # noqa: SLF001
        super().run()

    @staticmethod
    def _Popen(process_obj: "_Process") -> _Popen:  # noqa: N802 - multiprocessing's name
        return _Popen(process_obj)


class _Context(context.ForkServerContext):
    """A multiprocessing context whose processes come from one fork server."""

    def __init__(self, server: ForkServer) -> None:
        super().__init__()
        self._server = server

    def Process(self, *args: Any, **kwargs: Any) -> _Process:  # type: ignore[override]  # noqa: N802
        """Make a process, as `multiprocessing.Process` does."""
        made = _Process(*args, **{**kwargs, "daemon": False})  # a job may have processes of its own
        made.server = self._server
        return made
