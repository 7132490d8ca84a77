"""`traind alias`: list, history, move, move if better, remove."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from traind.service.cli.entry import Failed
from traind.service.cli.flags import Json, Remote

if TYPE_CHECKING:
    from traind.service.results import Alias, AliasSet, Comparison

ANYWHERE = Remote()


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Move:
    """How the name is moved."""

    remove: Annotated[bool, Parameter(help="remove the alias", negative="")] = False
    if_better_on: Annotated[str | None, Parameter(help="move only if the job is better on this data set")] = None
    metric: Annotated[str | None, Parameter(help="by this metric: rmse, mae, r2, accuracy, f1, auc, log_loss")] = None
    by: Annotated[float, Parameter(help="better by this much at least")] = 0.0

    def condition(self) -> dict[str, Any] | None:
        """Return the condition that was typed, or None."""
        if (self.if_better_on is None) != (self.metric is None):
            raise Failed("--if-better-on and --metric belong together.")
        if self.if_better_on is None:
            return None
        return {"dataset": self.if_better_on, "metric": self.metric, "by": self.by}


PLAIN = Move()


def alias(
    name: Annotated[str | None, Parameter(help="the alias; none: list them all")] = None,
    job_id: Annotated[str | None, Parameter(help="the job to point it at; none: show its history")] = None,
    *,
    move: Move = PLAIN,
    remote: Remote = ANYWHERE,
    as_json: Json = False,
) -> None:
    """Point names at a server's models, move them only to better ones, and show their history."""
    from traind.service.cli.show import print_json, print_table

    client, condition = remote.client(), move.condition()
    if name is None:
        found = client.aliases()
        rows = ([one, now["job_id"], _clock(now["since"])] for one, now in found.items())
        print_json(found) if as_json else print_table(["alias", "job", "since"], rows)
    elif move.remove:
        client.set_alias(name, None)
        print_json({"ok": True, "removed": name}) if as_json else print(f"{name} is removed")
    elif job_id is None:
        history = client.alias(name)
        print_json(history) if as_json else _print_history(history)
    else:
        made = client.set_alias(name, job_id, condition)
        assert made is not None
        print_json(made) if as_json else _print_set(made)


def _print_set(made: "AliasSet") -> None:
    print(f"{made.name} points at {made.job_id}" + ("" if made.is_moved else ", as before"))
    if made.comparison is not None:
        print(_compared(made.comparison))


def _print_history(history: "Alias") -> None:
    from traind.service.cli.show import print_table

    rows = (
        [_clock(move.at), move.job_id or "nothing", "" if move.comparison is None else _compared(move.comparison)]
        for move in history.history
    )
    print_table(["since", "job", "because"], rows)


def _compared(comparison: "Comparison") -> str:
    from traind.service.cli.show import number

    words = f"{comparison.metric} on {comparison.dataset}: {number(comparison.score)}"
    before = comparison.before_job_id
    return words if before is None else f"{words}, {number(comparison.before)} of {before} before"


def _clock(ts: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ts))
