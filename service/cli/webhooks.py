"""`traind webhooks`: list webhooks and deliveries, send a test."""

import time
from typing import Annotated

from cyclopts import Parameter

from traind.service.cli.entry import Failed
from traind.service.cli.flags import Json, Remote

ANYWHERE = Remote()


def webhooks(
    name: Annotated[
        str | None, Parameter(help="the webhook whose deliveries to show; none: list all webhooks")
    ] = None,
    *,
    test: Annotated[bool, Parameter(help="send it a test message", negative="")] = False,
    limit: Annotated[int, Parameter(help="how many deliveries, newest first")] = 20,
    remote: Remote = ANYWHERE,
    as_json: Json = False,
) -> None:
    """List a server's webhooks and their deliveries, and send a test."""
    from traind.service.cli.show import print_json, print_table

    client = remote.client()
    if name is None:
        if test:
            raise Failed("Name the webhook to test.")
        found = client.webhook_list()
        rows = ([one["name"], one["address"], *one["deliveries"].values(), " ".join(one["events"])] for one in found)
        print_json(found) if as_json else print_table(
            ["webhook", "address", "waiting", "delivered", "given up", "events"], rows
        )
    elif test:
        sent = client.test_webhook(name)
        print_json({"webhook_id": sent}) if as_json else print(
            f"{sent}  queued; `traind webhooks {name}` shows the delivery"
        )
    else:
        shown = client.webhook_deliveries(name, limit)
        lines = (
            [_clock(one.created_at), f"{one.job_id}.{one.seq}", one.state, one.attempts, one.problem or ""]
            for one in shown
        )
        print_json(shown) if as_json else print_table(["event", "webhook-id", "state", "tries", "problem"], lines)


def _clock(ts: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ts))
