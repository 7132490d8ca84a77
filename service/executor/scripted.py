"""An executor that plays a script instead of running processes: the twin of `local`.

For tests of all that is above the seam, and for programs that want to see an engine act on any worker one can think
of: one that dies, falls silent, is late, repeats itself or lies. A script is a coroutine that is given the worker
and plays its part::

    async def train(worker: ScriptedWorker) -> None:
        await worker.say(State(status=Status.RUNNING))
        await worker.say(State(status=Status.COMPLETED))

When it returns the worker is `done`; when it raises, or is killed, the worker `died`. What `say` and `end` pass on
goes into the engine's inbox as it is, in any order and number, also after the worker has ended.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from traind.service.executor.base import Beat, ClusterInfo, Ended, Frame, Inbox, Leftover, Need, Wait, Worker
from traind.trainer.contract.change import RequestedChange
from traind.trainer.contract.control import Phase, Verb
from traind.trainer.contract.events import AnyEvent
from traind.trainer.contract.spec import Assignment, Place

Script = Callable[["ScriptedWorker"], Awaitable[None]]


class ScriptedWorker:
    """One worker that plays. Scripts and tests set its public attributes as they like."""

    def __init__(self, ref: str, inbox: Inbox) -> None:
        self.ref = ref
        self.pid: int | None = None
        self.node: str | None = None
        self.threads = 0  # slots that are taken for the job
        self.steps = 0  # its heartbeat
        self.phase = int(Phase.STEPS)  # what it does meanwhile
        self.cpu: float | None = None  # processor time that it has used, in seconds; None: nobody knows
        self.unheard_since: float | None = None  # by `time.monotonic`; None: it can be reached
        self.cursor: int | None = None  # goes with each frame, one more each time; None: with none
        self.committed_cursor = 0
        self.requested = Verb.NONE
        self.is_immortal = False  # `kill` does nothing
        self.assignment: Assignment | None = None
        self.has_ended = False
        self._inbox = inbox
        self.waiting: list[RequestedChange] = []  # changes that were handed to it last
        self._was_asked = asyncio.Event()
        self._was_changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def place(self) -> Place:
        """Where its attempt reads and writes."""
        assert self.assignment is not None
        return self.assignment.place

    async def say(self, event: AnyEvent | Ended) -> None:
        """Put an event, or an end, into the engine's inbox."""
        if self.cursor is not None:
            self.cursor += 1
        self.has_ended = self.has_ended or isinstance(event, Ended)
        await self._inbox.put(Frame(self, event, self.cursor))

    async def until_asked(self) -> Verb:
        """Wait until a verb is requested, and return it."""
        await self._was_asked.wait()
        return self.requested

    async def until_changed(self) -> list[RequestedChange]:
        """Wait until a change is requested, and return those that wait."""
        await self._was_changed.wait()
        self._was_changed.clear()
        return self.waiting

    def beat(self) -> Beat:
        """Return the heartbeat."""
        heard_at = time.monotonic() if self.unheard_since is None else self.unheard_since
        return Beat(self.steps, heard_at, self.phase)

    async def cpu_s(self) -> float | None:
        """Return the processor time that it says it has used."""
        return self.cpu

    def committed(self, cursor: int) -> None:
        """Keep up to where the engine has it all."""
        self.committed_cursor = cursor

    def ask(self, verb: Verb) -> None:
        """Let the script know; the higher verb stays."""
        self.requested = max(verb, self.requested)
        self._was_asked.set()

    def change(self, waiting: Sequence[RequestedChange]) -> None:
        """Let the script see the changes that wait."""
        self.waiting = list(waiting)
        self._was_changed.set()

    def kill(self) -> None:
        """End the script, if it is mortal."""
        if self._task is not None and not self.is_immortal:
            self._task.cancel()

    async def stacks(self) -> str:
        """Return nothing: a script has no threads."""
        return ""

    async def play(self, script: Script) -> None:
        """Play the script to its end, and report how it ended unless it has done so itself."""
        self._task = asyncio.current_task()
        ended = Ended("done")
        try:
            await script(self)
        except asyncio.CancelledError:
            ended = Ended("died", "the worker was killed by SIGKILL", signal=9, was_killed=True)
        except Exception as error:  # noqa: BLE001 - as a worker's outermost frame does
            ended = Ended("died", f"{type(error).__name__}: {error}")
        if not self.has_ended:
            await self.say(ended)


class ScriptedExecutor:
    """Workers that play. It is `Executor` to the last method."""

    def __init__(self, script: Script, *, slots: int = 2, survivors: Mapping[str, Script] | None = None) -> None:
        """Make the executor.

        Args:
            script: what each worker plays that is handed a job; it finds that in `worker.assignment`.
            slots: how many jobs of one thread run at once.
            survivors: by `ref`, workers of an earlier server that can be adopted, and what they go on with.
        """
        self.total = slots
        self.problem: str | None = None
        self.is_ready = True
        self.cluster: ClusterInfo | None = None
        self.lost: dict[str, int] = {"starting": 0, "waiting": 0}
        self.workers: list[ScriptedWorker] = []  # in the order they were taken
        self.ended_leftovers: list[Leftover] = []
        self.hopeless: Callable[[Need], str | None] = lambda _: None  # why no worker could ever take it
        self._script = script
        self._survivors = dict(survivors or {})
        self._busy: set[ScriptedWorker] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._inbox: Inbox
        self._on_change: Callable[[], None] = lambda: None

    @property
    def busy(self) -> int:
        """How many slots are in use."""
        return sum(worker.threads for worker in self._busy)

    async def start(self, inbox: Inbox, on_change: Callable[[], None]) -> None:
        """Begin to offer workers."""
        self._inbox, self._on_change = inbox, on_change

    def recovered(self) -> None:
        """Take no note: nothing is left of another server that was not asked for."""

    async def close(self) -> None:
        """End every script that still plays."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        for _ in range(2):  # the second time in what it says last, if nobody reads that
            if tasks:
                await asyncio.wait(tasks, timeout=0.1)
            for task in tasks:
                task.cancel()

    def why(self, need: Need) -> Wait | None:
        """Return why a job of this need has to wait."""
        if (message := self.hopeless(need)) is not None:
            return Wait(message, is_hopeless=True)
        free = self.total - self.busy
        return None if min(need.threads, self.total) <= free else Wait(f"{free} of {self.total} slots are free.")

    async def take(self, need: Need) -> ScriptedWorker:
        """Return a worker."""
        worker = self._made(f"scripted-{len(self.workers) + 1}", min(need.threads, self.total))
        self.workers.append(worker)
        return worker

    def give_back(self, worker: Worker) -> None:
        """Let the worker go: there are as many as one likes."""
        assert isinstance(worker, ScriptedWorker)
        self._busy.discard(worker)

    def begin(self, worker: Worker, assignment: Assignment) -> None:
        """Play the script."""
        assert isinstance(worker, ScriptedWorker)
        worker.assignment = assignment
        self._play(worker, self._script)

    async def adopt(self, leftover: Leftover, attempt_dir: Path) -> ScriptedWorker | None:  # noqa: ARG002
        """Return the survivor of that name, which goes on with its script."""
        script = self._survivors.pop(leftover.ref, None)
        if script is None:
            return None
        worker = self._made(leftover.ref, 1)
        worker.cursor = leftover.cursor
        self._play(worker, script)
        return worker

    async def end_leftover(self, leftover: Leftover) -> bool:
        """Note who was to be ended; return whether it was there."""
        self.ended_leftovers.append(leftover)
        return self._survivors.pop(leftover.ref, None) is not None

    def _made(self, ref: str, threads: int) -> ScriptedWorker:
        worker = ScriptedWorker(ref, self._inbox)
        worker.threads = threads
        self._busy.add(worker)
        return worker

    def _play(self, worker: ScriptedWorker, script: Script) -> None:
        task = asyncio.create_task(worker.play(script), name=f"traind-script {worker.ref}")
        self._tasks.add(task)
        task.add_done_callback(lambda _: self._played(task, worker))

    def _played(self, task: "asyncio.Task[None]", worker: ScriptedWorker) -> None:
        self._tasks.discard(task)
        self._busy.discard(worker)
        with contextlib.suppress(asyncio.CancelledError):
            task.exception()
        self._on_change()
