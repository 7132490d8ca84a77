"""When a silent job is taken for hung: one rule, for the service's watchdog and `run_trainer`, which rehearses it.

A job shows that it lives by its beat: each step, report and call of ours moves it. One that is silent may still be
at work, in a long validation say; the processor time that it and its children use is the proof. Imports nothing.
"""

from dataclasses import dataclass

from traind.trainer.contract.control import Phase

STEPS = 20  # a step may take this many times the mean of those before
PATIENCE = 20  # times as long for a job that is silent and at work, sets its work aside, or saves
BUSY_SHARE = 0.05  # of one processor: less is waiting
WINDOW_S = 1.0  # over which processor time is looked at: it is counted in hundredths of a second
LOOK_FROM = 0.25  # of the time that a silent job is given: from then on its processor time is looked at


@dataclass(slots=True)
class Liveness:
    """What was last seen of one job. Times are seconds of a monotonic clock."""

    beat: int = -1
    beat_at: float = 0.0
    busy_at: float = 0.0
    _cpu_s: float | None = None  # at `_looked_at`
    _looked_at: float = 0.0
    _is_known: bool = True  # whether it works while it is silent

    def saw_beat(self, beat: int, now: float) -> None:
        """Take note of the beat."""
        if beat != self.beat:
            self.beat, self.beat_at, self._cpu_s, self._is_known = beat, now, None, False

    def saw_cpu(self, cpu_s: float | None, now: float) -> None:
        """Take note of the processor time that the job has used so far, children included; None: nobody can tell."""
        if cpu_s is None:
            self._is_known = True
        elif self._cpu_s is None:
            self._cpu_s, self._looked_at = cpu_s, now
        elif now - self._looked_at >= WINDOW_S:
            if cpu_s - self._cpu_s >= BUSY_SHARE * (now - self._looked_at):
                self.busy_at = now
            self._cpu_s, self._looked_at, self._is_known = cpu_s, now, True

    def silent_s(self, now: float) -> float:
        """Return how long there was no beat."""
        return now - self.beat_at

    def is_suspicious(self, now: float, hang_s: float) -> bool:
        """Whether it has been silent for so long that its processor time should be looked at."""
        return self.silent_s(now) > LOOK_FROM * hang_s

    def is_hung(self, now: float, hang_s: float, mean_step_s: float, phase: int) -> bool:
        """Whether it neither beats nor works for longer than it may, or works without a beat for much longer."""
        allowed_s = max(hang_s, STEPS * mean_step_s)
        if self.silent_s(now) > PATIENCE * allowed_s:
            return True
        is_idle = self._is_known and now - max(self.beat_at, self.busy_at) > allowed_s
        return is_idle and phase == Phase.STEPS


def silence(silent_s: float) -> str:
    """Return what became of a job that hung, as a sentence without its end."""
    return f"The job was silent for {silent_s:.0f} s: no step, no report, no beat, and hardly any processor time"


REMEDY = (
    "Call run.beat() in long work between two steps, put validation into `with run.aside():`, or give silent jobs "
    "more time with the setting hang_s (--hang-s 600, say). stacks.txt beside the checkpoints tells where it stood."
)
