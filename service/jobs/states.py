"""The states of a job and which may follow which, as data. The table in docs/architecture.md is made of it.

An attempt that ends may also go back to QUEUED: its worker died, or its server left.
"""

from traind.trainer.contract.events import Status

_ENDS = frozenset({Status.COMPLETED, Status.STOPPED, Status.PAUSED, Status.CANCELLED, Status.FAILED, Status.QUEUED})
STATES: dict[Status, tuple[str, frozenset[Status]]] = {
    Status.QUEUED: (
        "accepted, durable, waiting for a slot",
        frozenset({Status.QUEUED, Status.STARTING, Status.PAUSED, Status.CANCELLED, Status.FAILED}),
    ),
    Status.STARTING: ("a worker has it", _ENDS | {Status.LOADING, Status.RUNNING}),
    Status.LOADING: ("reading and encoding the data", _ENDS | {Status.RUNNING}),
    Status.RUNNING: ("gradient steps", _ENDS | {Status.RUNNING}),
    Status.PAUSED: (
        "checkpoint written, slot free; with `reason` `disk_full` it goes on by itself when there is space",
        frozenset({Status.QUEUED, Status.CANCELLED}),
    ),
    Status.COMPLETED: ("ran to its end, model saved", frozenset({Status.QUEUED})),
    Status.STOPPED: ("a user stopped it; the best model so far is saved", frozenset({Status.QUEUED})),
    Status.CANCELLED: ("a user discarded it; nothing kept but the record", frozenset()),
    Status.FAILED: ("with `error`; the last good model, if any, kept", frozenset({Status.QUEUED})),
}


def may_follow(before: Status, after: Status) -> bool:
    """Tell whether a job may go from one state to the other."""
    return after in STATES[before][1]


def table() -> str:
    """Return the states as a table in Markdown."""
    rows = ["| state | meaning | next |", "|---|---|---|"]
    for status, (meaning, following) in STATES.items():
        rows.append(f"| {status} | {meaning} | {', '.join(one for one in Status if one in following) or '-'} |")
    return "\n".join(rows) + "\n"
