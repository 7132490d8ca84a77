"""The interface of a mirror's target: TensorBoard's files and MLflow's runs have these methods."""

from typing import Protocol

from traind.service.jobs.job import Job
from traind.trainer.contract.events import AnyEvent


class Away(Exception):
    """The target cannot be reached now; no job can be written."""


class Target(Protocol):
    """Jobs are written to it. Raises `Away`; any other error concerns one job."""

    every_s: float  # seconds between two rounds

    def begin(self, job: Job) -> int:
        """Prepare for a job's events; return the number of the last one that the target has, 0 for none."""

    def write(self, job: Job, events: list[AnyEvent]) -> None:
        """Write events, in order; `job` is the record after them, or a later one."""

    def end(self, job: Job) -> None:
        """Write the end of a job, after all of its events."""
