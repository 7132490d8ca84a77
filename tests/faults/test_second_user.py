"""Another user of the machine: reads nothing of a root, reaches no process, and cannot keep workers from starting.

The tests need to become another user, so they run as root only: the server is root's, the other one is `nobody`.
"""

import json
import os
import pwd
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
CANARY = "canary-of-a-stranger"
LOOK = """
import json, os, sys
found = {"read": [], "listed": [], "connected": [], "memory": []}
for top in sys.argv[1:]:
    for folder, _, names in os.walk(top):
        found["listed"].append(folder) if names else None
        for name in names:
            path = os.path.join(folder, name)
            try:
                with open(path, "rb") as file:
                    file.read(1)
                found["read"].append(path)
            except OSError:
                pass
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        if os.stat(f"/proc/{pid}").st_uid == os.getuid():
            continue
        with open(f"/proc/{pid}/environ", "rb") as file:
            file.read(1)
        found["memory"].append(pid)
    except OSError:
        pass
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            found["memory"].append(f"{pid}/{fd}")
    except OSError:
        pass
print(json.dumps(found))
"""


def as_nobody(code: str, *arguments: str) -> Any:
    """Run Python as `nobody` and return what it prints, as JSON."""
    nobody = pwd.getpwnam("nobody")
    python = os.path.realpath("/usr/bin/python3")
    done = subprocess.run(
        [python, "-c", code, *arguments],
        user=nobody.pw_uid,
        group=nobody.pw_gid,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that everybody may look into: only the root's own modes keep others out."""
    with tempfile.TemporaryDirectory(prefix="traind-test-", dir="/tmp") as folder:
        place = Path(folder)
        place.chmod(0o755)
        yield place


@pytest.fixture
def common_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def used(server: Any) -> None:
    """Upload a table, train on it and export the model: everything that a root holds is there."""
    table = "\n".join(["x,note,y", *(f"{i},{CANARY},{i * 2}" for i in range(200))])
    ask(server, "PUT", "/api/datasets/secret", table.encode(), "text/csv")
    accepted = ask(server, "POST", "/api/train", json.dumps({"dataset": "secret", "epochs": 1}).encode())
    while ask(server, "GET", f"/api/train/status?job_id={accepted['job_id']}")["status"]["finished_at"] is None:
        pass


def ask(server: Any, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> Any:
    request = urllib.request.Request(server.url + path, body, {"Content-Type": kind}, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


@pytest.mark.usefixtures("common_umask")
def test_another_user_reads_nothing_and_reaches_no_process(make_server: Any, open_place: Path) -> None:
    root = open_place / "root"
    server = make_server(root).start()
    used(server)
    found = as_nobody(LOOK, str(open_place), "/dev/shm")
    assert found["read"] == [path for path in found["read"] if CANARY not in path and not path.startswith(str(root))]
    assert not [path for path in found["listed"] if path.startswith(str(root))]
    family = {str(pid) for pid in server.left()}
    assert not [pid for pid in found["memory"] if str(pid).partition("/")[0] in family]
    loose = [path for path in root.rglob("*") if path.lstat().st_mode & 0o077]
    assert loose == [], "a mode that lets others in"
    assert server.stop() == 0
    server.check_nothing_is_left()


@pytest.mark.faults
@pytest.mark.usefixtures("common_umask")
def test_a_root_is_shared_where_that_is_wanted(make_server: Any, open_place: Path) -> None:
    root = open_place / "root"
    server = make_server(root, "--private-root=false").start()
    used(server)
    found = as_nobody(LOOK, str(root))
    assert [path for path in found["read"] if path.endswith(".pt")]
    server.stop()


@pytest.mark.usefixtures("common_umask")
def test_a_root_of_before_is_closed_and_the_folder_around_it_left_alone(make_server: Any, open_place: Path) -> None:
    (open_place / "models").mkdir(mode=0o755)
    (open_place / "models" / "old.pt").write_text("old")
    assert as_nobody(LOOK, str(open_place))["read"]
    server = make_server(open_place).start()
    assert as_nobody(LOOK, str(open_place))["read"] == []
    assert open_place.stat().st_mode & 0o777 == 0o755
    server.stop()


@pytest.mark.faults
def test_what_another_user_made_beforehand_keeps_no_worker_from_starting(make_server: Any, open_place: Path) -> None:
    """The names that a stranger can guess are made beforehand, all of them his."""
    shared = open_place / "tmp"
    shared.mkdir()
    shared.chmod(0o1777)
    numbers = f"range({os.getpid()}, {os.getpid() + 3_000})"
    as_nobody(f"import os\nfor n in {numbers}: os.mkdir(f'{shared}/traind-boot-{{n}}', 0o777)\nprint('null')")
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(shared)
    try:
        server = make_server(open_place / "root").start()
        used(server)
        server.stop()
    finally:
        os.environ.pop("TMPDIR") if before is None else os.environ.update(TMPDIR=before)


def test_no_socket_of_a_server_has_a_name(server: Any) -> None:
    used(server)
    inodes = {os.readlink(link) for pid in server.left() for link in links(pid)}  # noqa: PTH115
    named = []
    for line in Path("/proc/net/unix").read_text(encoding="ascii", errors="replace").splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and f"socket:[{fields[6]}]" in inodes:
            named.append(fields[7])
    for name in named:  # what still has one in the table is unlinked, or refuses a stranger
        assert not Path(name).exists() or not connects(name), name


def connects(name: str) -> bool:
    code = f"import socket, json\ns = socket.socket(socket.AF_UNIX)\nprint(json.dumps(s.connect_ex({name!r}) == 0))"
    return bool(as_nobody(code))


def links(pid: int) -> list[str]:
    try:
        return [f"/proc/{pid}/fd/{fd}" for fd in os.listdir(f"/proc/{pid}/fd")]  # noqa: PTH208
    except OSError:
        return []
