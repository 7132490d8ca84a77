"""What an operator reads in the log of a job, and what `resume` refuses."""

import logging

from traind.service.http.telemetry import PlainFormatter


async def test_a_jobs_life_is_logged_a_line_each(call, caplog):
    with caplog.at_level(logging.INFO, logger="traind"):
        job_id = await call.trained()
        failed = await call.train(max_seconds=0.000001, epochs=1000)
        await call.service.wait(failed)
    lines = [record.getMessage() for record in caplog.records if job_id in record.getMessage()]
    assert lines[0] == f"job {job_id} accepted: tabular on synthetic data"
    assert lines[1] == f"job {job_id} started, attempt 1"
    assert lines[2].startswith(f"job {job_id} completed at step ")
    assert len(lines) == 3
    assert any(f"job {failed} failed: timed_out: " in record.getMessage() for record in caplog.records)
    assert not [record for record in caplog.records if record.name == "traind.http"]  # requests are for debug


def test_a_line_says_the_day_and_parts_level_from_message():
    record = logging.LogRecord("traind", logging.CRITICAL, "", 0, "traind-dispatch broke", (), None)
    line = PlainFormatter().format(record)
    assert line[4] == line[7] == "-"
    assert line.endswith(" critical traind-dispatch broke")


async def test_fewer_epochs_than_were_trained_are_refused(call):
    job_id = await call.trained(epochs=3)
    for epochs in (1, 2):
        refused = await call.post("/api/train/resume", {"job_id": job_id, "epochs": epochs})
        assert (refused.status, refused.error["code"]) == (409, "not_resumable")
    assert "3 epochs already" in refused.error["message"]
