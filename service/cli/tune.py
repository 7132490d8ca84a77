"""`traind tune`: a study in this process without a server, or with `--server` on a server."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import Parameter

from traind.service.cli.entry import INTERRUPTED, Failed
from traind.service.cli.flags import Json
from traind.service.cli.spec import SpecFlags, typed_values
from traind.service.cli.train import (
    HERE,
    NOTHING_TYPED,
    TrainCall,
    Where,
    leave_on_terminate,
    with_dataset,
)
from traind.service.plain_text import plain

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from traind.service.client.asynchronous import Client
    from traind.service.service import TrainingService
    from traind.service.studies.events import AnyStudyEvent
    from traind.service.studies.study import Study

_END = re.compile(r"[-+0-9.eE]+\Z")  # of a range


@Parameter(name="*")
@dataclass(frozen=True)
class Search:
    """The search and its limits."""

    search: Annotated[
        tuple[str, ...],
        Parameter(
            help="field and its range or choices: lr=1e-4..1e-2:log, model.hidden=[[64],[128,128]]; "
            "none: the usual fields"
        ),
    ] = ()
    trials: Annotated[int, Parameter(help="number of trials at most")] = 50
    parallel: Annotated[int | None, Parameter(help="trials at once; none: one for each slot, and one that waits")] = (
        None
    )
    metric: Annotated[str, Parameter(help="metric to compare trials by")] = "val_loss"
    sampler: Annotated[str, Parameter(help="how trials are suggested: tpe or random")] = "tpe"
    pruner: Annotated[str, Parameter(help="which trials end early: median, halving or none")] = "median"
    ensemble: Annotated[bool, Parameter(help="make an ensemble of the trials' models at the end")] = True
    study_id: Annotated[
        str | None, Parameter(help="id of the study; the same command again continues the same study")
    ] = None


USUAL = Search()


def tune(
    *,
    format: Annotated[str | None, Parameter(help="format of the file, where its name does not show it")] = None,  # noqa: A002
    as_json: Json = False,
    where: Where = HERE,
    search: Search = USUAL,
    spec: SpecFlags = NOTHING_TYPED,  # type: ignore[valid-type]
) -> None:
    """Search for the best spec by trials.

    Needs no server. After Ctrl-C the same command with the same --study-id continues. --name, --seed and
    --max-seconds apply to the study.
    """
    request = _request_of(search, typed_values(spec))
    call = TrainCall(request["spec"], format, None, False, as_json)
    asyncio.run(_tune(call, request, where))


def _request_of(search: Search, spec: dict[str, Any]) -> dict[str, Any]:
    """Return the study that was typed."""
    study: dict[str, Any] = {name: spec.pop(name) for name in ("name", "max_seconds") if name in spec}
    if "seed" in spec:
        study["seed"] = spec["seed"]
    if search.search:
        study["space"] = _space(search.search)
    if search.study_id is not None:
        study["study_id"] = search.study_id
    if not search.ensemble:
        study["ensemble"] = False
    for name in ("trials", "parallel", "metric", "sampler", "pruner"):
        study[name] = getattr(search, name)
    return {**study, "spec": spec}


def _space(typed: Sequence[str]) -> dict[str, Any]:
    """Return the search space that was typed, each field once."""
    space: dict[str, Any] = {}
    for path, dimension in map(_dimension, typed):
        if path in space:
            raise Failed(f"--search names {path} twice.", hint="Give one range, or all choices as a list.")
        space[path] = dimension
    return space


def _dimension(typed: str) -> tuple[str, dict[str, Any]]:
    """Return a field's path and its range or choices."""
    path, sign, value = typed.partition("=")
    first, dots, last = value.partition("..")
    if dots and _END.match(first) and _END.match(last.removesuffix(":log")):
        low, high = _number(first, typed), _number(last.removesuffix(":log"), typed)
        return path, {"low": low, "high": high, **({"log": True} if last.endswith(":log") else {})}
    try:
        decoded = msgspec.json.decode(value)
    except msgspec.DecodeError:
        decoded = None
    if not sign or not isinstance(decoded, list | dict):
        hint = 'As lr=1e-4..1e-2:log, batch_size=[64,256], or lr={"low": 0.1, "high": 1}.'
        raise Failed(f"--search {typed} names no range or choices.", hint=hint)
    return path, decoded if isinstance(decoded, dict) else {"choices": decoded}


def _number(text: str, typed: str) -> float:
    try:
        return int(text) if re.fullmatch(r"[-+]?[0-9]+", text) else float(text)
    except ValueError:
        raise Failed(f"--search {typed}: {text} is not a number.") from None


async def _tune(call: TrainCall, request: dict[str, Any], where: Where) -> None:
    leave_on_terminate()
    shown = request.get("study_id")
    try:
        async with _opened(call, where) as service:
            request["spec"] = await with_dataset(service, call)
            study = await service.submit_study(request)
            shown = study.study_id
            await _follow(service, study, as_json=call.as_json)
    except asyncio.CancelledError:
        again = "The study goes on." if where.server else f"The same command with --study-id {shown} goes on."
        raise Failed(f"Interrupted. {again if shown else ''}".strip(), code=INTERRUPTED) from None


def _opened(call: TrainCall, where: Where) -> "AbstractAsyncContextManager[TrainingService | Client]":
    """Return a service of this process, or the client of a server."""
    if where.server is not None:
        from traind.service.client.asynchronous import Client

        where.check_mirrors()
        return Client(where.server)
    return where.open_here(call.spec)


async def _follow(service: "TrainingService | Client", study: "Study", *, as_json: bool) -> None:
    """Print the ends of trials, then the study."""
    from traind.service.cli.show import print_json
    from traind.service.studies.events import StudyStatus, encode_study_event

    if study.status is StudyStatus.PAUSED:
        study = await service.resume_study(study.study_id)
    if not as_json:
        print(f"study {study.study_id}", flush=True)
    async for event in service.watch_study(study.study_id):
        line = encode_study_event(event).decode() if as_json else line_of(event, study.metric)
        if line:
            print(line, flush=True)
    study = await service.study(study.study_id)
    if as_json:
        print_json(study)
    else:
        print_study(study)
    if study.status in (StudyStatus.FAILED, StudyStatus.CANCELLED):
        raise Failed(study.error.message if study.error is not None else f"The study is {study.status.lower()}.")


def line_of(event: "AnyStudyEvent", metric: str) -> str:
    """Return an event as a line; an empty one for events that are not shown."""
    from traind.service.cli.show import number
    from traind.service.studies.events import StudyLog, StudyState, TrialEnded, TrialSuggested

    match event:
        case TrialSuggested():
            return ""
        case TrialEnded():
            if event.error is not None:
                return plain(f"trial {event.trial:4}  failed: {event.error.message}")
            best = "  best so far" if event.is_best else ""
            return f"trial {event.trial:4}  {event.status.lower():9}  {metric} {number(event.value)}{best}"
        case StudyState():
            return plain(event.message or event.status.capitalize())
        case StudyLog():
            return plain(event.message)
        case _:
            return ""


def print_study(study: "Study") -> None:
    """Print a study: its trials by state, the best one, its ensemble."""
    from traind.service.cli.show import number

    counts = {name: getattr(study, name) for name in ("completed", "pruned", "stopped", "failed", "running")}
    parts = [f"{count} {name}" for name, count in counts.items() if count]
    print(f"{study.study_id}  {study.status}  {study.suggested}/{study.trials} trials: {', '.join(parts) or 'none'}")
    if study.best is not None:
        print(f"best: trial {study.best.trial}  {study.metric} {number(study.best.value)}  {study.best.job_id}")
        for path, value in study.used(study.best.params).items():
            share = study.importance.get(path)
            mattered = "" if share is None else f"  (mattered {share:.0%})"
            print(plain(f"  {path} = {value}{mattered}"))
    if study.model is not None:
        print(plain(f"ensemble: {study.model}"))
    if study.note is not None:
        print(plain(study.note))
