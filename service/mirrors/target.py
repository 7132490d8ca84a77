"""What a mirror's process needs of a target: TensorBoard's files and MLflow's runs have these methods."""

from typing import Protocol

from traind.service.jobs.job import Job
from traind.trainer.contract.events import AnyEvent


class Away(Exception):
    """The target cannot be reached now; no job can be told of."""


class Target(Protocol):
    """Where jobs are told of. Raises `Away`; any other error is about the one job."""

    every_s: float  # seconds between two looks

    def begin(self, job: Job) -> int:
        """Prepare for a job's events; return the number of the last one that the target has, 0 for none."""

    def write(self, job: Job, events: list[AnyEvent]) -> None:
        """Tell of events, which come in order; `job` is as it is after them, or later."""

    def end(self, job: Job) -> None:
        """Tell that a job is over, once all of its events are told."""
