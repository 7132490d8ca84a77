"""`traind submit`: a job on a running server. It goes on when this command has ended."""

import asyncio
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from traind.service.cli.entry import Failed
from traind.service.cli.flags import SERVER, Json
from traind.service.cli.spec import SpecFlags, typed_values
from traind.service.cli.train import TrainCall, accepted, train_on

NOTHING_TYPED = SpecFlags()


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Stay:
    """What to do once the job is accepted."""

    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative="", help="show its events until it ends")] = (
        False
    )
    wait: Annotated[bool, Parameter(negative="", help="wait until it ends and print its result")] = False


LEAVE = Stay()


def submit(
    *,
    job_id: Annotated[str | None, Parameter(help="id of the job; the same command again gives the same job")] = None,
    format: Annotated[  # noqa: A002 - the public word for it
        str | None,
        Parameter(help="format of the file, where its name does not show it: csv;charset=latin-1, jsonl ..."),
    ] = None,
    stay: Stay = LEAVE,
    server: Annotated[
        str, Parameter(env_var="TRAIND_SERVER", help="address of the server; the token is taken from TRAIND_TOKEN")
    ] = SERVER,
    as_json: Json = False,
    spec: SpecFlags = NOTHING_TYPED,  # type: ignore[valid-type]
) -> None:
    """Submit a job to a server and print its id at once.

    With --follow its events are shown until it ends, with --wait only its result; the command then fails if the job
    does, and Ctrl-C leaves the job alone. `traind watch` and `traind status` show it later.
    """
    if stay.follow and stay.wait:
        raise Failed("--follow and --wait exclude each other: give one.")
    call = TrainCall(typed_values(spec), format, job_id, is_dry_run=False, as_json=as_json)
    if stay.follow or stay.wait:
        call.is_quiet = stay.wait
        asyncio.run(train_on(call, server))
    else:
        asyncio.run(_submit(call, server))


async def _submit(call: TrainCall, server: str) -> None:
    from traind.service.cli.show import print_json
    from traind.service.client.asynchronous import Client

    async with Client(server) as client:
        job = await accepted(client, call)
    if call.as_json:
        print_json(job)
    else:
        print(job.job_id)
