"""A disk that is full, cannot be written, or fails to sync: jobs wait, and go on; nothing is torn."""

import contextlib
import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_harness import Calm, Server, Workload, workload
from judge import judge, left_behind
from tally import Case, Tally, seeds, side_by_side

HERE = Path(__file__).parent
MIB = 2**20
SWEEP_KIB = [0, 4, 16, 32, 64, 100, 150, 200, 300, 500, 700, 1_000, 1_500, 2_000, 3_000]
SYNCS = [1, 2, 3, 4, 6, 9, 12, 16, 20, 25]  # with the sweep of both floors, forty
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")


@pytest.fixture(scope="module")
def digests(calm: Calm) -> list[str]:
    """What the jobs' weights must be."""
    return calm(workload(2, seed=1, epochs=60))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mount a disk of some bytes; it is unmounted at the end."""
    mounted, numbers = [], itertools.count()

    def mount(size_bytes: int) -> Path:
        path = tmp_path / f"disk-{next(numbers)}"
        path.mkdir()
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", path], check=False, capture_output=True
        )
        if made.returncode:
            pytest.skip(f"no disk can be mounted here: {made.stderr.decode()}")
        mounted.append(path)
        return path

    yield mount
    for path in mounted:
        subprocess.run(["umount", "-l", path], check=True)


@pytest.mark.faults
def test_a_checkpoint_that_does_not_fit_waits_for_its_room_and_is_not_tried_without_it(
    small_disk: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """More is free than the floor, and less than the checkpoint needs."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]))
    disk = small_disk(160 * MIB)
    ballast = disk / "ballast"
    ballast.write_bytes(b"\0" * 110 * MIB)
    flags = ("--disk-floor-bytes", str(4 * MIB), "--trainers", '{"big": "big_checkpoints:train"}')
    server = Server(disk / "root", *flags)
    server.start()
    assert server.wait_up(), server.tail()
    work = Workload([{"trainer": "big", "options": {"mebibytes": 60}}])
    work.submit(server, "d")
    (job_id,) = work.accepted
    while server.status(job_id)["status"] != "PAUSED":
        time.sleep(0.05)
    job = server.status(job_id)
    assert (job["reason"], job["attempt"], job["disk_pauses"]) == ("disk_full", 1, 1)
    assert job["needs_bytes"] > 60 * MIB
    assert "60." in job["message"]
    for _ in range(3):  # some room, and still too little: nothing is tried
        os.truncate(ballast, ballast.stat().st_size - 4 * MIB)
        looked_until = time.monotonic() + 1.5
        while time.monotonic() < looked_until:
            assert server.status(job_id)["attempt"] == 1
            time.sleep(0.1)
    ballast.unlink()
    server.wait_over([job_id])
    job = server.status(job_id)
    assert (job["status"], job["attempt"], job["needs_bytes"], job["disk_pauses"]) == ("COMPLETED", 2, None, 0)
    server.kill()
    assert server.left_behind() == []


def filled_and_freed(case: Case, disk: Path, digests: list[str], left_bytes: int, floor_bytes: int) -> None:
    """Fill the disk in mid-training up to `left_bytes`, wait until jobs pause, free it; the same models come out."""
    case.asked = 1
    server = Server(disk / "root", "--disk-floor-bytes", str(floor_bytes))
    work = workload(2, seed=1, epochs=60)
    server.start()
    assert server.wait_up(), server.tail()
    work.submit(server, "d")
    while not any(job["checkpoint"] for job in server.jobs()):
        time.sleep(0.02)
    ballast = disk / "ballast"
    free = shutil.disk_usage(disk).free
    with ballast.open("wb") as file, contextlib.suppress(OSError):
        file.write(b"\0" * max(0, free - left_bytes))
    deadline = time.monotonic() + 10  # a disk without a byte left takes no event either
    while time.monotonic() < deadline and not all(
        job["finished_at"] or _has_paused(server, job) for job in server.jobs()
    ):
        time.sleep(0.05)
    if left_bytes < floor_bytes:
        code, answer = server.call("POST", "/api/train", {"epochs": 1})
        assert (code, answer["error"]["code"]) == (507, "disk_full")
    ballast.unlink()
    server.wait_over(list(work.accepted))
    case.breaches += judge(server, work, digests)
    server.kill()
    case.breaches += left_behind(server)


def _has_paused(server: Server, job: dict[str, Any]) -> bool:
    return any(event.get("reason") == "disk_full" for event in server.events(job["job_id"]))


@pytest.mark.timeout(180)
def test_jobs_wait_while_the_disk_is_full_and_go_on_when_it_is_not(
    small_disk: Callable[[int], Path], digests: list[str], tally: Tally
) -> None:
    with tally.case("disk full", 2_048) as case:
        filled_and_freed(case, small_disk(64 * MIB), digests, left_bytes=2 * MIB, floor_bytes=8 * MIB)


@pytest.mark.faults
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("floor_mib", [0, 8])
def test_a_sweep_of_free_space(
    small_disk: Callable[[int], Path], digests: list[str], tally: Tally, floor_mib: int
) -> None:
    def one(left_kib: int) -> None:
        with tally.case(f"disk full, floor {floor_mib} MiB", left_kib) as case:
            filled_and_freed(case, small_disk(64 * MIB), digests, left_kib * 1024, floor_mib * MIB)

    side_by_side(one, seeds(SWEEP_KIB))


@pytest.mark.faults
@pytest.mark.timeout(180)
def test_a_disk_that_turns_read_only_stops_nothing_for_good(
    tmp_path: Path, small_disk: Callable[[int], Path], digests: list[str], tally: Tally
) -> None:
    with tally.case("disk read-only") as case:
        turned_read_only(case, small_disk(64 * MIB), tmp_path, digests)


def _remount_read_only(disk: Path) -> None:
    """Remount it once the kernel has closed the files of those that were killed, some moments after they are gone."""
    deadline = time.monotonic() + 20
    while (made := subprocess.run(["mount", "-o", "remount,ro", disk], check=False, capture_output=True)).returncode:
        assert b"busy" in made.stderr, made.stderr
        assert time.monotonic() < deadline, made.stderr
        time.sleep(0.02)


def turned_read_only(case: Case, disk: Path, tmp_path: Path, digests: list[str]) -> None:
    case.asked = 1
    server = Server(disk / "root", "--disk-floor-bytes", str(MIB))
    server.log = tmp_path / "server.log"
    work = workload(2, seed=1, epochs=60)
    server.start()
    assert server.wait_up(), server.tail()
    work.submit(server, "r")
    while not any(job["checkpoint"] for job in server.jobs()):
        time.sleep(0.02)
    server.kill()
    assert server.left_behind() == []  # nobody writes any more
    _remount_read_only(disk)
    server.start()
    assert server.process is not None
    assert server.process.wait(60) != 0
    assert "Traceback" not in server.tail()
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    server.start()
    assert server.wait_up(), server.tail()
    server.wait_over(list(work.accepted))
    case.breaches += judge(server, work, digests)
    server.kill()
    case.breaches += left_behind(server)


@pytest.mark.faults
@pytest.mark.timeout(180)
@needs_strace
def test_a_sync_that_fails_is_never_taken_for_done(tmp_path: Path, digests: list[str], tally: Tally) -> None:
    with tally.case("sync fails", 6) as case:
        failed_sync(case, tmp_path / "root", digests, number=6)


@pytest.mark.faults
@pytest.mark.timeout(1_800)
@needs_strace
def test_each_of_the_first_syncs_fails(tmp_path: Path, digests: list[str], tally: Tally) -> None:
    def one(number: int) -> None:
        with tally.case("sync fails", number) as case:
            failed_sync(case, tmp_path / str(number), digests, number)

    side_by_side(one, seeds(SYNCS))


def failed_sync(case: Case, root: Path, digests: list[str], number: int) -> None:
    """Let the N-th sync of whoever makes one fail; what was not answered 202 is asked for again."""
    case.asked = 1
    server = Server(root)
    work = workload(2, seed=1, epochs=60)
    server.start()
    assert server.wait_up(), server.tail()
    server.wait_ready()
    tracer = server.trace(
        root.with_name(f"{root.name}.trace"),
        "trace=fsync,fdatasync",
        f"inject=fsync,fdatasync:error=EIO:when={number}",
    )
    for place, spec in enumerate(work.specs):
        code, _ = server.call("POST", "/api/train", {**spec, "job_id": f"e_{place}"})
        if code == 202:
            work.accepted[f"e_{place}"] = place
    time.sleep(3)
    server.kill()
    case.breaches += left_behind(server)
    tracer.wait(20)
    server.start()
    assert server.wait_up(), server.tail()
    for job in server.jobs():
        if job["status"] == "FAILED":
            assert job["error"]["code"] in {"disk_failed", "disk_full"}, job
            server.call("POST", "/api/train/resume", {"job_id": job["job_id"]})
    work.submit(server, "e")
    server.wait_over(list(work.accepted))
    resumed = "not one terminal state"  # a job that failed for the disk has one more
    case.breaches += [breach for breach in judge(server, work, digests) if resumed not in breach.text]
    server.kill()
    case.breaches += left_behind(server)
