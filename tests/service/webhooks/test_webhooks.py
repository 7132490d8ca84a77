"""Other programs are told of every end: signed, at least once, in order, over kills, whatever the receiver does."""

import asyncio
import base64
import contextlib
import json
import os
import random
from collections import defaultdict

import aiohttp
import pytest
from aiohttp import web
from standardwebhooks import Webhook as Verifier

from traind.service.errors import InvalidSpec, WebhookNotFound
from traind.service.webhooks.targets import load_targets

SECRET = base64.b64encode(b"a secret of enough bytes").decode()
KILLS = int(os.environ.get("TRAIND_WEBHOOK_KILLS", "2"))  # in `make faults` 1,000
TINY = {"epochs": 1, "synthetic": {"rows": 50, "columns": 2}, "batch_size": 32}


class Receiver:
    """A program that is told, and may behave badly: `mood(request)` gives a status, or None to hang up."""

    def __init__(self, mood=lambda _: 204):
        self.mood = mood
        self.taken = []  # (id, message) as they were taken, verified
        self.tries = 0
        self.arrived = asyncio.Condition()

    async def __aenter__(self):
        app = web.Application()
        app.router.add_post("/hook", self.handle)
        app.router.add_post("/elsewhere", self.elsewhere)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}/hook"
        return self

    async def __aexit__(self, *_):
        await self.runner.cleanup()

    async def handle(self, request):
        self.tries += 1
        body = await request.read()
        status = self.mood(request)
        if status is None:
            request.transport.abort()
            return web.Response()
        if 200 <= status < 300:
            message = Verifier(SECRET).verify(body, dict(request.headers))
            self.taken.append((request.headers["webhook-id"], message))
            async with self.arrived:
                self.arrived.notify_all()
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 301 else {})

    async def elsewhere(self, _request):
        raise AssertionError("a redirect was followed")

    async def until(self, condition):
        """Wait until it is so; the test's timeout bounds it: what many kills left undone takes long."""
        async with self.arrived:
            await self.arrived.wait_for(condition)


@pytest.fixture
def hook(tmp_path):
    path = tmp_path / "secret"
    path.write_text(f"whsec_{SECRET}\n")
    path.chmod(0o600)
    return lambda url, **more: {"name": "told", "url": url, "secret_file": str(path), **more}


async def settled(service):
    """Its deliveries, once none waits: a receiver has a message before the answer to it is written down."""
    async with asyncio.timeout(60):
        while True:
            shown = await service.webhook_deliveries("told")
            if all(one.state != "waiting" for one in shown):
                return shown
            await asyncio.sleep(0.02)


async def test_an_end_is_told_once_signed_and_with_what_there_is_to_know(tmp_path, hook, open_root):
    async with Receiver() as receiver:
        hooks = [hook(receiver.url)]
        async with open_root(tmp_path / "root", webhooks=hooks, slots=1) as service:
            job = await service.submit(**TINY, tags=["nightly"], name="n")
            done = await service.wait(job.job_id)
            await receiver.until(lambda: receiver.taken)
            ((id_, message),) = receiver.taken
            assert id_ == f"{job.job_id}.{done.seq}"
            assert (message["type"], message["data"]["status"]) == ("job.completed", "COMPLETED")
            assert message["data"]["metrics"]["validation"] == done.metrics["validation"]
            assert message["data"]["tags"] == ["nightly"]
            (shown,) = await settled(service)
            assert (shown.state, shown.status, shown.attempts) == ("delivered", 204, 1)
            (listed,) = await service.webhook_list()
            assert listed["deliveries"] == {"waiting": 0, "delivered": 1, "given_up": 0}
            assert "hook" not in listed["address"]


async def test_only_what_is_wanted_is_told(tmp_path, hook, open_root):
    async with Receiver() as receiver:
        hooks = [hook(receiver.url, events=["RUNNING", "COMPLETED"], tags=["a", "b"])]
        async with open_root(tmp_path / "root", webhooks=hooks, slots=1) as service:
            other = await service.submit(**TINY, tags=["c"])
            await service.wait(other.job_id)
            job = await service.submit(**TINY, tags=["b"])
            await service.wait(job.job_id)
            await receiver.until(lambda: len(receiver.taken) == 2)
            assert [message["type"] for _, message in receiver.taken] == ["job.running", "job.completed"]


@pytest.mark.parametrize("answer", [500, 301, 404, None])
async def test_what_is_not_taken_is_sent_again_with_the_same_id_and_in_order(tmp_path, hook, answer, open_root):
    seen = []

    def mood(request):
        seen.append(request.headers["webhook-id"])
        return answer if len(seen) <= 2 else 200

    async with Receiver(mood) as receiver:
        hooks = [hook(receiver.url, events=["RUNNING", "COMPLETED"])]
        async with open_root(tmp_path / "root", webhooks=hooks, slots=1) as service:
            job = await service.submit(**TINY)
            await service.wait(job.job_id)
            await receiver.until(lambda: len(receiver.taken) == 2)
            assert seen[0] == seen[1] == seen[2] != seen[3]
            assert [id_ for id_, _ in receiver.taken] == [seen[2], seen[3]]
            first = (await settled(service))[-1]
            assert (first.state, first.attempts) == ("delivered", 3)


async def test_a_test_message_says_that_it_is_one(tmp_path, hook, open_root):
    async with Receiver() as receiver, open_root(tmp_path / "root", webhooks=[hook(receiver.url)]) as service:
        id_ = await service.test_webhook("told")
        await receiver.until(lambda: receiver.taken)
        assert receiver.taken[0][0] == id_
        assert receiver.taken[0][1]["type"] == "webhook.test"
        with pytest.raises(WebhookNotFound):
            await service.test_webhook("other")


async def test_kills_of_the_server_lose_and_repeat_no_end(tmp_path, hook, make_server):
    """The server is killed at random while its receiver is down, slow, or answers errors half of the time."""
    draw = random.Random(4)

    def mood(_request):
        return draw.choice([200, 200, 200, 500, 301, None])

    async with Receiver(mood) as receiver:
        root = tmp_path / "root"
        listed = tmp_path / "hooks.toml"
        told = hook(receiver.url)
        listed.write_text(
            "[[webhook]]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in told.items())
        )
        server = make_server(root, "--webhooks", str(listed), "--slots", "1")
        jobs = []
        for turn in range(KILLS):
            await asyncio.to_thread(server.start)
            for number in range(3):
                job_id = f"job_{turn}_{number}"
                await post(f"{server.url}/api/train", {**TINY, "job_id": job_id})
                jobs.append(job_id)
            await wait_any(server.url, draw)
            await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        receiver.mood = lambda _request: 200
        try:
            await receiver.until(
                lambda: {message["data"].get("job_id") for _, message in receiver.taken} >= set(jobs)
            )
        finally:
            assert await asyncio.to_thread(server.stop) == 0
            await asyncio.to_thread(server.check_nothing_is_left)
        by_job = defaultdict(list)
        for id_, message in receiver.taken:
            by_job[message["data"]["job_id"]].append(id_)
        for job_id in jobs:
            assert len(set(by_job[job_id])) == 1, by_job[job_id]  # one end, one id, however often it came
        assert receiver.tries >= len(receiver.taken)


async def post(url, body):
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as answered:
        assert answered.status == 202, await answered.text()


async def wait_any(url, draw):
    """Wait until some random number of events of the last job has come."""
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/api/train/ws") as socket:
        with contextlib.suppress(TimeoutError):  # fewer came, all is over
            for _ in range(draw.randrange(1, 12)):
                await socket.receive(timeout=1.0)


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ({"url": "ftp://x.example/"}, "webhook.0.url"),
        ({"url": "https:///nowhere"}, "webhook.0.url"),
        ({"url": "http://u:p@x.example/"}, "webhook.0.url"),
        ({"url": "http://exa mple/"}, "webhook.0.url"),
        ({"url": "http://x.example/\nInjected: header"}, "webhook.0.url"),
        ({"url": "http://x\\y.example/"}, "webhook.0.url"),
        ({"url": "http://...//"}, "webhook.0.url"),
        ({"url": "http://%00/"}, "webhook.0.url"),
        ({"url": "http://x.example:99999/"}, "webhook.0.url"),
        ({"url": "http://[::1/"}, "webhook.0.url"),
        ({"secret_file": "/no/such/file"}, "webhook.0.secret_file"),
        ({"events": ["DONE"]}, "webhook.0.events.0"),
        ({"name": "a b"}, "webhook.0.name"),
        ({"colour": "red"}, "webhook.0.colour"),
    ],
)
def test_a_wrong_list_is_named_by_field(hook, change, loc):
    with pytest.raises(InvalidSpec) as refused:
        load_targets([hook("http://127.0.0.1:1/hook") | change])
    assert [detail["loc"] for detail in refused.value.details] == [loc]


@pytest.mark.parametrize("url", ["http://[::1]:8080/a?b=c#d", "https://x-1.example.", "HTTP://10.0.0.1/%C3%BC;v=1"])
def test_every_address_of_the_web_may_be_named(hook, url):
    assert load_targets([hook(url)])[0].webhook.url == url


async def test_what_is_shown_of_an_answer_that_is_none_keeps_the_path_secret(tmp_path, hook, open_root):
    async def nonsense(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"nonsense\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(nonsense, "127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/secret-path"
        async with open_root(tmp_path / "root", webhooks=[hook(url)]) as service:
            await service.test_webhook("told")
            async with asyncio.timeout(30):
                while not (shown := (await service.webhook_deliveries("told"))[0]).attempts:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
    assert shown.problem
    assert "secret-path" not in shown.problem


def test_a_secret_that_others_can_read_or_that_is_none_is_refused(hook, tmp_path):
    told = hook("http://127.0.0.1:1/hook")
    wrong = ((SECRET, 0o644, "read by others"), ("c2hvcnQ=", 0o600, "bytes"), ("!!", 0o600, "base64"))
    for text, mode, said in wrong:
        (tmp_path / "secret").write_text(text)
        (tmp_path / "secret").chmod(mode)
        with pytest.raises(InvalidSpec, match=said):
            load_targets([told])
    with pytest.raises(InvalidSpec, match="TOML"):
        load_targets(tmp_path / "secret")
    (tmp_path / "secret").write_text(SECRET)
    with pytest.raises(InvalidSpec, match="twice"):
        load_targets([told, told])
