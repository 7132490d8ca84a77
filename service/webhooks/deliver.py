"""Deliveries: a task for each webhook sends its outbox, signed, until accepted or three days have passed.

At least once, and in order for each job: its next one is sent only after the one before is settled. A receiver that
is down or slow delays no job and no other webhook. Redirects are not followed.
"""

import asyncio
import contextlib
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from traind.service.errors import ServiceError, WebhookNotFound
from traind.service.jobs.job import Job
from traind.service.record.store import Store
from traind.service.webhooks.outbox import Delivery, Due, Entry
from traind.service.webhooks.targets import Target
from traind.trainer.contract.events import AnyEvent, State

if TYPE_CHECKING:
    import aiohttp

LOG = logging.getLogger(__name__)
AT_ONCE = 8  # jobs of one webhook
TIMEOUT_S = 15.0  # limit of one try
SHORTEST_S, LONGEST_S = 1.0, 3_600.0  # between two tries of one delivery; each pause doubles
GIVE_UP_S = 3 * 86_400.0
KEPT_S = 7 * 86_400.0  # for which finished deliveries are kept
TEST = "webhook.test"


class Webhooks:
    """The deliveries of one service, which calls `start` and `close`."""

    def __init__(self, targets: tuple[Target, ...]) -> None:
        self.targets = targets
        self._store: Store
        self._wake = {target.name: asyncio.Event() for target in targets}
        self._tasks: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None

    def entries(self, job: Job, event: AnyEvent) -> list[Entry]:
        """Return the deliveries of an event that is about to be recorded; `job` is the record after it."""
        if not isinstance(event, State):
            return []
        wanting = [target for target in self.targets if _wants(target, job, event)]
        if not wanting:
            return []
        body = msgspec.json.encode(_message(f"job.{event.status.lower()}", event.ts, _told(job, event)))
        for target in wanting:
            asyncio.get_running_loop().call_soon(self._wake[target.name].set)
        return [Entry(target.name, job.job_id, event.seq, body, event.ts) for target in wanting]

    async def start(self, store: Store) -> None:
        """Begin to send waiting deliveries, also those of earlier servers."""
        self._store = store
        if not self.targets:
            return
        import aiohttp

        with contextlib.suppress(ServiceError):
            await store.forget_deliveries(time.time() - KEPT_S)
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )
        for target in self.targets:
            task = asyncio.create_task(self._serve(target), name=f"traind-webhook {target.name}")
            self._tasks.append(task)

    async def close(self) -> None:
        """Stop sending; the next server sends the rest."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        if self._session is not None:
            await self._session.close()

    def target(self, name: str) -> Target:
        """Return a webhook; raises `WebhookNotFound`."""
        for target in self.targets:
            if target.name == name:
                return target
        raise WebhookNotFound(f"There is no webhook {name!r}.")

    async def listed(self) -> list[dict[str, Any]]:
        """Return every webhook, without its secret, and its deliveries by state."""
        counts = await self._store.delivery_counts()
        return [
            {
                "name": target.name,
                "address": target.address,
                "events": list(target.webhook.events),
                "tags": list(target.webhook.tags),
                "deliveries": {"waiting": 0, "delivered": 0, "given_up": 0} | counts.get(target.name, {}),
            }
            for target in self.targets
        ]

    async def deliveries(self, name: str, limit: int) -> list[Delivery]:
        """Return a webhook's newest deliveries, newest first; raises `WebhookNotFound`."""
        self.target(name)
        return await self._store.deliveries(name, limit)

    async def test(self, name: str) -> str:
        """Queue a test message and return its webhook-id. Raises `WebhookNotFound`."""
        target, now = self.target(name), time.time()
        entry = Entry(target.name, "test", int(now * 1000), msgspec.json.encode(_message(TEST, now, {})), now)
        await self._store.put_deliveries([entry])
        self._wake[name].set()
        return f"{entry.job_id}.{entry.seq}"

    async def _serve(self, target: Target) -> None:
        """Send due deliveries, for ever; errors are logged, and it is tried again."""
        wake = self._wake[target.name]
        while True:
            wake.clear()
            try:
                rows, next_at = await self._store.due_deliveries(target.name, time.time(), AT_ONCE)
                await asyncio.gather(*(self._send(target, one) for one in rows))
            except Exception:
                LOG.exception("webhook %s: the outbox could not be worked on", target.name)
                rows, next_at = [], time.time() + SHORTEST_S
            if rows:
                continue
            pause = None if next_at is None else max(0.01, next_at - time.time())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), pause)

    async def _send(self, target: Target, due: Due) -> None:
        """Post one delivery and record the result."""
        status, problem = await self._posted(target, due)
        now = time.time()
        if problem is None:
            state, next_at = "delivered", now
        elif now - due.created_at >= GIVE_UP_S:
            state, next_at = "given_up", now
            LOG.warning("webhook %s: %s.%d is given up: %s", target.name, due.job_id, due.seq, problem)
        else:
            state, next_at = "waiting", now + min(LONGEST_S, SHORTEST_S * 2.0 ** min(due.attempts, 20))
        await self._store.settle_delivery(due.id, state, next_at, now=now, status=status, problem=problem)

    async def _posted(self, target: Target, due: Due) -> tuple[int | None, str | None]:
        """Return the answer's status (None: no answer) and why it is no success (None: it is)."""
        import aiohttp
        from standardwebhooks import Webhook as Signer

        assert self._session is not None
        now, id_ = datetime.now(UTC), f"{due.job_id}.{due.seq}"
        headers = {
            "content-type": "application/json",
            "webhook-id": id_,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Signer(target.secret).sign(id_, now, due.body.decode()),
        }
        try:
            async with self._session.post(
                target.webhook.url, data=due.body, headers=headers, allow_redirects=False
            ) as response:
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return None, _said(error)
        if 200 <= status < 300:
            return status, None
        return status, f"answered {status}" + ("; redirects are not followed" if 300 <= status < 400 else "")


def _wants(target: Target, job: Job, event: State) -> bool:
    hook = target.webhook
    return event.status in hook.events and (not hook.tags or bool(set(hook.tags) & set(job.spec.tags)))


def _message(kind: str, ts: float, data: dict[str, Any]) -> dict[str, Any]:
    stamp = datetime.fromtimestamp(ts, UTC).isoformat().replace("+00:00", "Z")
    return {"type": kind, "timestamp": stamp, "data": data}


def _told(job: Job, event: State) -> dict[str, Any]:
    """Return the job's data in a message; receivers can ask the server for more."""
    return {
        "job_id": job.job_id,
        "seq": event.seq,
        "status": event.status,
        "reason": event.reason,
        "message": job.message,
        "name": job.name,
        "tags": job.spec.tags,
        "dataset": job.spec.dataset,
        "parent": job.parent.job_id if job.parent else None,
        "metrics": job.metrics,
        "best": job.best,
        "model": job.model,
        "weights_digest": job.weights_digest,
        "error": job.error,
    }


def _said(error: Exception) -> str:
    """Return what went wrong, without the address, whose path may be secret."""
    text = getattr(error, "message", None) or str(error)  # aiohttp's own text of a bad answer has the whole address
    return f"{type(error).__name__}: {text}".rstrip(": ")[:300]
