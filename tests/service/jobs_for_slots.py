"""Jobs that do what jobs must not do. Workers import this by name: `Slots(run="jobs_for_slots:run")`."""

import ctypes
import importlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.shared_memory
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traind.trainer.contract.control import SharedControl, Verb
from traind.trainer.contract.events import AnyEvent, Checkpoint, Log, Progress, State, Status
from traind.trainer.contract.spec import Place, TrainSpec
from traind.trainer.worker import main as worker


@dataclass
class Job:
    """What a job has."""

    emit: Callable[[AnyEvent], None]
    attempt_dir: Path
    control: SharedControl


def run(spec: TrainSpec, emit: Callable[[AnyEvent], None], place: Place, control: SharedControl) -> None:
    options = dict(spec.options)
    emit(State(status=Status.RUNNING))
    globals()[options.pop("do")](Job(emit, Path(place.attempt_dir), control), **options)
    emit(State(status=Status.COMPLETED))


def nothing(job: Job) -> None:
    pass


def progress_and_wait(job: Job) -> None:
    job.emit(Progress(attempt=1, epoch=1, step=1, total_steps=2, progress=0.0, loss=1.0))
    obedient(job)


def say_devices(job: Job) -> None:
    job.emit(Log(message=os.environ.get("CUDA_VISIBLE_DEVICES", "as it was")))
    while job.control.verb == Verb.NONE:
        time.sleep(0.01)


def print_and_raise(job: Job) -> None:
    sys.stdout.write("about to fail")
    raise ValueError("on purpose")


def sys_exit(job: Job) -> None:
    sys.exit(3)


def ctrl_c(job: Job) -> None:
    raise KeyboardInterrupt


def generator_exit(job: Job) -> None:
    raise GeneratorExit


class Unpicklable(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(one)
        self.two = lambda: two

    def __str__(self) -> str:
        raise RuntimeError("no words")


def unpicklable(job: Job) -> None:
    raise Unpicklable(1, 2)


def exit_code(job: Job, code: int) -> None:
    os._exit(code)


def segfault(job: Job) -> None:
    ctypes.string_at(0)


def abort(job: Job) -> None:
    os.abort()


def kill(job: Job, number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(60)


def half_result(job: Job) -> None:
    """Raise, and die half-way through writing that result of `work`."""
    _die_with_result()
    raise RuntimeError("half")


def done_and_dead(job: Job) -> None:
    """Return, and die half-way through writing the result of `work`."""
    _die_with_result()


def _die_with_result() -> None:
    def half(self: Any, data: bytes) -> None:
        os.write(self._handle, bytes(data)[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    multiprocessing.connection.Connection._send = half


def half_frame(job: Job) -> None:
    job.emit(Log(message="whole"))
    os.write(worker._seat.outbox._fd, (1_000).to_bytes(4) + b'{"type"')
    os.kill(os.getpid(), signal.SIGKILL)


def no_frame(job: Job, text: str) -> None:
    os.write(worker._seat.outbox._fd, len(text).to_bytes(4) + text.encode("latin-1"))
    time.sleep(60)


def endless_frame(job: Job) -> None:
    os.write(worker._seat.outbox._fd, b"\xff\xff\xff\xff")
    time.sleep(60)


def deaf(job: Job) -> None:
    """Work on and never look at what is asked."""
    job.emit(Log(message="deaf"))
    while True:
        time.sleep(60)


def deaf_holding_the_interpreter(job: Job) -> None:
    job.emit(Log(message="deaf"))
    ctypes.PyDLL(None).sleep(60)


def obedient(job: Job) -> None:
    job.emit(Log(message="obedient"))
    while job.control.verb == Verb.NONE:
        job.control.beat += 1
        time.sleep(0.005)
    job.emit(Log(message=Verb(job.control.verb).name))


def checkpoint_when_left(job: Job) -> None:
    """What a run does when its server dies: see the verb, write a checkpoint, leave."""
    job.emit(Log(message="obedient"))
    while job.control.verb == Verb.NONE:
        time.sleep(0.005)
    (job.attempt_dir / "checkpoint").write_text(Verb(job.control.verb).name)


def facts(job: Job) -> None:
    import torch

    score = Path("/proc/self/oom_score_adj").read_text().strip()
    said = {
        "start_method": multiprocessing.get_start_method(),
        "main": getattr(sys.modules["__main__"], "__file__", None) or "none",
        "session": os.getsid(0) == os.getpid(),
        "oom_score_adj": int(score),
        "torch_threads": torch.get_num_threads(),
        "bare_names": sorted({"data", "trainer", "service"} & set(sys.modules)),
        "marked": "tabnanny" in sys.modules,
        "cuda_initialised": torch.cuda.is_initialized(),
    }
    (job.attempt_dir / "facts.txt").write_text(repr(said))


def daemon(job: Job, end: str) -> None:
    """Start a process that leaves its parent and its session, say its pid, and end in the way named."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if (pid := os.fork()) > 0:
            os.write(writer, str(pid).encode())
            os._exit(0)
        os.closerange(0, 1_000)
        time.sleep(600)
        os._exit(0)
    job.emit(Log(message=os.read(reader, 20).decode()))
    if end == "deaf":
        time.sleep(600)
    elif end == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


def load_batches(job: Job) -> None:
    """Read with workers of torch's, by functions that cannot be pickled, as any program may where it forks."""
    import torch

    data = torch.utils.data.DataLoader(
        range(64), batch_size=8, num_workers=2, collate_fn=lambda items: sum(items) + 0
    )
    for _ in range(3):
        job.emit(Log(message=str(sum(data))))


def flood(job: Job, count: int) -> None:
    for number in range(count):
        job.emit(Log(message=f"line {number}"))


def loaded_before(job: Job) -> None:
    job.emit(
        Log(
            message=" ".join(
                sorted({"torch", "polars", "numpy", "torch.fx", "traind.trainer.run.attempt"} & set(sys.modules))
            )
        )
    )


def torch_on_two_threads(job: Job) -> None:
    """A forked child can use more threads than the fork server had."""
    import torch

    torch.set_num_threads(2)
    ones = torch.ones(600, 600, requires_grad=True)
    (ones @ ones).sum().backward()
    job.emit(Log(message=f"{torch.get_num_threads()} {int(ones.grad[0, 0])}"))


def fork(job: Job) -> None:
    """Leave a child behind that holds every descriptor, and that reports as if it were the job."""
    child = os.fork()
    if child == 0:
        job.emit(Log(message="from the child"))
        time.sleep(60)
    other = subprocess.Popen(["sleep", "60"], close_fds=False)
    job.emit(Log(message=f"{child} {other.pid}"))


def own_processes(job: Job) -> None:
    """Use processes and shared memory as data loaders do: the host's trackers and servers are not theirs."""
    for method in ("fork", "forkserver"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            job.emit(Log(message=str(pool.apply(abs, (-7,)))))
    memory = multiprocessing.shared_memory.SharedMemory(create=True, size=100)
    memory.close()
    memory.unlink()


def thread_left_running(job: Job) -> None:
    threading.Thread(target=time.sleep, args=(60,)).start()


def hog(job: Job) -> None:
    held = []
    while True:
        held.append(bytearray(16 * 1024 * 1024))


def map_a_large_file(job: Job) -> None:
    """Encoded data sets are mapped files: they must not count as the job's memory."""
    import mmap

    path = job.attempt_dir / "large"
    with path.open("w+b") as file:
        file.truncate(1024 * 1024 * 1024)
        mapped = mmap.mmap(file.fileno(), 0)
    job.emit(Log(message=str(len(mapped))))


def print_much(job: Job, how: str) -> None:
    """Print 100 MB, by Python or by C."""
    line = "x" * 999
    for _ in range(100):
        if how == "python":
            sys.stdout.write((line + "\n") * 1_000)
        else:
            os.write(1, ((line + "\n") * 1_000).encode())
            time.sleep(0.01)
    sys.stdout.write("the last line\n")


def print_a_gigabyte_at_once(job: Job) -> None:
    sys.stdout.write("y" * 100_000_000)


def speak_c(job: Job) -> None:
    ctypes.CDLL(None).puts(b"from C")
    ctypes.CDLL(None).fflush(None)
    subprocess.run(["echo", "from a child"], check=True)
    sys.stdout.write("from Python\n")


def report_much(job: Job, count: int) -> None:
    """Report far more than the pipe holds, then say how long that took the job's thread."""
    for step in range(1, count + 1):
        job.emit(Progress(attempt=1, epoch=1, step=step, total_steps=count, progress=0.0, loss=float(step)))
        if step % 1_000 == 0:
            job.emit(Checkpoint(attempt=1, step=step, path="x" * 500))
    (job.attempt_dir / "reported").touch()


def large_state(job: Job) -> None:
    job.emit(Log(message="z" * 3_000_000))


def beat(job: Job, count: int) -> None:
    for _ in range(count):
        job.control.beat += 1
    job.emit(Log(message="beaten"))
    while job.control.verb == Verb.NONE:
        time.sleep(0.005)


def close_everything(job: Job) -> None:
    os.closerange(3, 256)


def memory_limit(job: Job) -> None:
    job.emit(Log(message=str(resource.getrlimit(resource.RLIMIT_DATA)[0])))


# What fork servers boot with in tests.


def boot_nothing() -> None:
    """Load nothing: torch is not needed to see how processes come and go."""


def boot_with_a_mark() -> None:
    """Load a module that nothing else loads."""
    importlib.import_module("tabnanny")


def boot_slowly() -> None:
    time.sleep(0.5)


def boot_and_die() -> None:
    raise RuntimeError("no boot today")
