"""The judge of what a server did: the invariants that hold whatever was done to it."""

import json
import zipfile
from pathlib import Path
from typing import Any

from fault_harness import TERMINAL, Server, Workload
from tally import Breach


def judge(server: Server, work: Workload, digests: list[str] | None) -> list[Breach]:
    """Return every breach of the invariants. The server runs, and all jobs are over."""
    breaches = []
    for job_id, place in work.accepted.items():
        code, answer = server.call("GET", f"/api/train/status?job_id={job_id}")
        if code != 200:
            breaches.append(Breach("job lost", f"{job_id} was accepted and is lost: {answer}"))
            continue
        job = answer["status"]
        breaches += _judge_events(job, server.events(job_id))
        breaches += _judge_files(job, server.root)
        if job["status"] == "FAILED" and not (job["error"] or {}).get("code"):
            breaches.append(Breach("other", f"{job_id} failed without a code"))
        if digests is None:
            continue
        if job["status"] != "COMPLETED":
            breaches.append(Breach("job lost", f"{job_id} is {job['status']}: {job['error']}"))
        elif job["weights_digest"] != digests[place]:
            told = f"{job_id} ({work.specs[place]}) has other weights than the undisturbed run"
            breaches.append(Breach("other weights", told))
    torn = [path.name for folder in ("artifacts/jobs", "models") for path in (server.root / folder).glob(".tmp-*")]
    return [*breaches, *(Breach("torn file", f"half-written: {name}") for name in torn)]


def left_behind(server: Server) -> list[Breach]:
    """Return what is still there of a server some seconds after its end."""
    return [Breach("left behind", told) for told in server.left_behind()]


def _judge_events(job: dict[str, Any], events: list[dict[str, Any]]) -> list[Breach]:
    job_id, breaches = job["job_id"], []
    if [event["seq"] for event in events] != list(range(1, len(events) + 1)):
        breaches.append(Breach("gap in seq", f"{job_id}: seq has gaps"))
    if len(events) != job["seq"]:
        breaches.append(Breach("gap in seq", f"{job_id}: {len(events)} events, the job says {job['seq']}"))
    states = [event["status"] for event in events if event["type"] == "state"]
    if [state for state in states if state in TERMINAL] != states[-1:]:
        breaches.append(Breach("other", f"{job_id}: not one terminal state at the end: {states}"))
    attempts = [event["attempt"] for event in events if event.get("attempt") is not None]
    if attempts != sorted(attempts):
        breaches.append(Breach("run twice", f"{job_id}: two attempts at once: {attempts}"))
    return breaches


def _judge_files(job: dict[str, Any], root: Path) -> list[Breach]:
    job_id, breaches = job["job_id"], []
    try:
        kept = json.loads((root / "artifacts/jobs" / f"{job_id}.json").read_bytes())
        if kept["status"] != job["status"] or kept["seq"] != job["seq"]:
            told = f"{job_id}: the status file says {kept['status']} at {kept['seq']}"
            breaches.append(Breach("torn file", told))
    except (OSError, ValueError) as error:
        breaches.append(Breach("torn file", f"{job_id}: the status file is not whole: {error}"))
    if job["status"] == "COMPLETED" and not zipfile.is_zipfile(root / (job["model"] or "absent")):
        breaches.append(Breach("torn file", f"{job_id}: the model is not whole"))
    return breaches
