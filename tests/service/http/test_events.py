"""A job's events as JSON pages and as server-sent events: each seq once, in order, from any cursor."""

import asyncio

import msgspec

STREAM = {"Accept": "text/event-stream"}


def messages(body):
    """Return the id and data of each server-sent event."""
    blocks = [block.split("\n") for block in body.decode().strip().split("\n\n") if not block.startswith(":")]
    assert all(len(lines) == 2 for lines in blocks)
    return [(int(first.removeprefix("id: ")), second.removeprefix("data: ")) for first, second in blocks]


async def test_a_page_holds_events_from_the_cursor_on(call, done):
    whole = (await call.get(f"/api/train/events?job_id={done}")).json
    assert set(whole) == {"ok", "events", "last_seq"}
    assert [event["seq"] for event in whole["events"]] == list(range(1, whole["last_seq"] + 1))
    assert all(event["job_id"] == done and event["ts"] > 0 and event["type"] for event in whole["events"])
    part = (await call.get(f"/api/train/events?job_id={done}&after=2&limit=3")).json
    assert part == {**whole, "events": whole["events"][2:5]}


async def test_a_progress_event_says_where_training_is(call, done):
    events = (await call.get(f"/api/train/events?job_id={done}")).json["events"]
    progress = next(event for event in events if event["type"] == "progress")
    assert {"epoch", "step", "total_steps", "progress", "loss"} <= set(progress)


async def test_a_stream_sends_what_the_page_holds(call, done):
    page = (await call.get(f"/api/train/events?job_id={done}")).json
    stream = await call.get(f"/api/train/events?job_id={done}", headers=STREAM)
    assert stream.status == 200
    assert stream.headers["Content-Type"] == "text/event-stream"
    sent = messages(stream.body)
    assert [seq for seq, _ in sent] == list(range(1, page["last_seq"] + 1))
    assert [msgspec.json.decode(data) for _, data in sent] == page["events"]


async def test_a_browser_comes_back_with_the_last_id_it_saw(call, done):
    last = (await call.get(f"/api/train/events?job_id={done}")).json["last_seq"]
    stream = await call.get(f"/api/train/events?job_id={done}", headers={"Last-Event-ID": str(last - 2)})
    assert [seq for seq, _ in messages(stream.body)] == [last - 1, last]


async def test_a_finished_stream_that_was_read_answers_204(call, done):
    last = (await call.get(f"/api/train/events?job_id={done}")).json["last_seq"]
    by_header = await call.get(f"/api/train/events?job_id={done}", headers={**STREAM, "Last-Event-ID": str(last)})
    by_query = await call.get(f"/api/train/events?job_id={done}&after={last}", headers=STREAM)
    assert (by_header.status, by_header.body, by_query.status) == (204, b"", 204)


async def test_a_cursor_beyond_the_end_is_an_error(call, done):
    for options in ({}, {"headers": STREAM}):
        answered = await call.get(f"/api/train/events?job_id={done}&after=100000", **options)
        assert (answered.status, answered.error["code"]) == (409, "cursor_ahead")


async def test_a_last_event_id_that_is_no_seq_is_named(call, done):
    for text in ("x", "-1", "1e3", "9" * 40, "٣"):
        answered = await call.get(f"/api/train/events?job_id={done}", headers={"Last-Event-ID": text})
        assert (answered.status, answered.error["details"][0]["loc"]) == (422, "Last-Event-ID")


async def test_a_live_stream_is_followed_across_a_dropped_connection(call, endless):
    job_id = await call.train(**endless)
    seen = []
    while len(seen) < 30:
        headers = {**STREAM, "Last-Event-ID": str(seen[-1] if seen else 0)}
        async with asyncio.timeout(60):
            url = f"{call.url}/api/train/events?job_id={job_id}"
            async with call.session.get(url, headers=headers) as response:
                async for line in response.content:
                    if line.startswith(b"id: "):
                        seen.append(int(line[4:]))
                    if len(seen) % 10 == 0 and seen:
                        break
    assert seen == list(range(1, len(seen) + 1))
    await call.post("/api/train/cancel", {"job_id": job_id})


async def test_a_silent_stream_shows_signs_of_life(calling_on, tmp_path, limits_door, endless):
    async with calling_on(tmp_path, limits_door(beat_s=0.01), slots=1) as call:
        await call.train(**endless)
        waiting = await call.train(**endless)
        url = f"{call.url}/api/train/events?job_id={waiting}"
        async with asyncio.timeout(30), call.session.get(url, headers=STREAM) as response:
            lines = [await response.content.readline() for _ in range(5)]
        assert lines[0] == b"id: 1\n"
        assert lines[3:] == [b":\n", b"\n"]
