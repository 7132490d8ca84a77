"""The rule by which a silent job counts as hung, for the service's watchdog and for `run_trainer`.

Each step, report and call of `Run` increments the job's beat. A job without a beat may still work, for example in a
long validation; the processor time of it and its child processes shows that. Imports no library.
"""

from dataclasses import dataclass

from traind.trainer.contract.control import Phase

STEPS = 20  # a step may take this many times the mean of earlier steps
PATIENCE = 20  # times as long for a silent job that uses the processor, is aside, or saves
BUSY_SHARE = 0.05  # of one processor; a job that uses less counts as idle
WINDOW_S = 1.0  # seconds between measurements of processor time, which is counted in hundredths
LOOK_FROM = 0.25  # share of `hang_s` after which a silent job's processor time is measured


@dataclass(slots=True)
class Liveness:
    """What was last seen of one job. Times are seconds of a monotonic clock."""

    beat: int = -1
    beat_at: float = 0.0
    busy_at: float = 0.0
    _cpu_s: float | None = None  # at `_looked_at`
    _looked_at: float = 0.0
    _is_known: bool = True  # whether its processor time was measured while silent

    def saw_beat(self, beat: int, now: float) -> None:
        """Record the beat."""
        if beat != self.beat:
            self.beat, self.beat_at, self._cpu_s, self._is_known = beat, now, None, False

    def saw_cpu(self, cpu_s: float | None, now: float) -> None:
        """Record the processor time, in seconds, that the job and its children used so far; None: unknown."""
        if cpu_s is None:
            self._is_known = True
        elif self._cpu_s is None:
            self._cpu_s, self._looked_at = cpu_s, now
        elif now - self._looked_at >= WINDOW_S:
            if cpu_s - self._cpu_s >= BUSY_SHARE * (now - self._looked_at):
                self.busy_at = now
            self._cpu_s, self._looked_at, self._is_known = cpu_s, now, True

    def silent_s(self, now: float) -> float:
        """Return the seconds since the last beat."""
        return now - self.beat_at

    def is_suspicious(self, now: float, hang_s: float) -> bool:
        """Return whether it is silent for so long that its processor time should be measured."""
        return self.silent_s(now) > LOOK_FROM * hang_s

    def is_hung(self, now: float, hang_s: float, mean_step_s: float, phase: int) -> bool:
        """Return whether it was silent and idle for longer than allowed, or silent for `PATIENCE` times as long."""
        allowed_s = max(hang_s, STEPS * mean_step_s)
        if self.silent_s(now) > PATIENCE * allowed_s:
            return True
        is_idle = self._is_known and now - max(self.beat_at, self.busy_at) > allowed_s
        return is_idle and phase == Phase.STEPS


def silence(silent_s: float) -> str:
    """Return why a job counts as hung, as a sentence without its full stop."""
    return f"The job was silent for {silent_s:.0f} s: no step, no report, no beat, and hardly any processor time"


REMEDY = (
    "Call run.beat() in long work between two steps, put validation into `with run.aside():`, or give silent jobs "
    "more time with the setting hang_s (such as --hang-s 600). stacks.txt beside the checkpoints shows where it was."
)
