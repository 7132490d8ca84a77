"""Figures and log lines: one registry a service, ids in every line, no secrets in any."""

import io
import json
import logging
import os
import signal

import pytest
from prometheus_client.parser import text_string_to_metric_families

from traind.service.http.server import Door
from traind.service.http.telemetry import JsonFormatter, PlainFormatter, configure_logging
from traind.service.http.tokens import Tokens


def figures(text):
    """Return every sample by its name and labels."""
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_figures_count_jobs_events_steps_and_waits(calling_on, tmp_path):
    async with calling_on(tmp_path, slots=1) as call:
        await call.trained(batch_size=16)
        answered = await call.get("/metrics")
        assert answered.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        found = figures(answered.body.decode())
    assert found["traind_jobs", "COMPLETED"] == 1
    assert found["traind_steps_total",] == 10
    assert found["traind_queue_wait_seconds_count",] == 1
    assert found["traind_submit_to_first_step_seconds_count",] == 1
    assert found["traind_event_latency_seconds_count",] >= 1
    assert found["traind_slots",] == 1
    assert found["traind_disk_free_bytes",] > 0
    assert found["process_resident_memory_bytes",] > 0
    assert found["traind_http_requests_total", "202", "POST /api/train"] == 1


async def test_figures_tell_what_was_thinned_and_which_workers_died(calling_on, tmp_path, endless):
    async with calling_on(tmp_path, slots=1) as call, call.socket("/api/train/ws") as overview:
        job_id = await call.train(**endless, report_every=1, batch_size=16)
        async for seen in call.service.watch(job_id):  # at most 20 a second of thousands of steps
            if seen.seq > 40:
                break
        before = figures((await call.get("/metrics")).body.decode())
        os.kill((await call.service.status(job_id)).pid, signal.SIGKILL)
        async for event in call.service.watch(job_id, seen.seq):
            if getattr(event, "reason", None) == "worker_died":
                break
        after = figures((await call.get("/metrics")).body.decode())
        assert not overview.closed
    assert before["traind_points_dropped_total", "worker"] > 0
    assert before["traind_points_dropped_total", "overview"] > 0
    assert before["traind_points_dropped_total", "slow_watcher"] == 0
    assert before["traind_samples_per_second",] > 0
    assert before["traind_event_loop_lag_seconds_count",] > 0
    assert before["traind_slot_restarts_total", "training"] == 0
    assert after["traind_slot_restarts_total", "training"] == 1


@pytest.fixture
def lines():
    """What traind logs from here on, as JSON lines."""
    stream = io.StringIO()
    handler = configure_logging("json", "DEBUG", stream=stream)
    logger = logging.getLogger("traind")
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.removeHandler(handler)
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


async def test_a_line_tells_of_each_request_with_its_ids(call, done, lines):
    answered = await call.get(f"/api/train/status?job_id={done}", headers={"X-Request-ID": "mine.1"})
    assert answered.headers["X-Request-ID"] == "mine.1"
    line = lines()[-1]
    assert line["request_id"] == "mine.1"
    assert line["job_id"] == done
    assert (line["call"], line["status"], line["level"]) == ("GET /api/train/status", 200, "debug")
    forged = await call.get("/health", headers={"X-Request-ID": "a b\tc"})
    assert forged.headers["X-Request-ID"] == lines()[-1]["request_id"] != "a b\tc"


async def test_tokens_are_in_no_line_and_no_answer(calling_on, tmp_path, lines):
    canary = "canary-5f2c9e"
    door = Door(port=0, tokens=Tokens({"alice": canary}))
    async with calling_on(tmp_path, door, slots=1) as call:
        answers = [
            await call.get("/api/train/jobs", headers={"Authorization": f"Bearer {canary}"}),
            await call.get("/api/train/jobs", headers={"Authorization": f"Bearer {canary}x"}),
            await call.get(f"/api/train/jobs?token={canary}", headers={"Authorization": f"Bearer {canary}"}),
            await call.get("/nope", headers={"Authorization": f"Basic {canary}"}),
        ]
    said = json.dumps(lines()) + "".join(str(answer.headers) + answer.body.decode() for answer in answers)
    assert canary not in said
    assert "alice" in said


def test_a_line_is_one_line_whatever_it_says():
    record = logging.LogRecord("traind.x", logging.ERROR, "f", 1, "a\nb\x1b[31m %s", ("c\r\nd",), None)
    assert json.loads(JsonFormatter().format(record))["message"] == "a\nb\x1b[31m c\r\nd"
    assert len(JsonFormatter().format(record).splitlines()) == 1
    plain = PlainFormatter().format(record)
    assert plain.isprintable()
    assert "a\\nb\\x1b[31m c\\r\\nd" in plain
