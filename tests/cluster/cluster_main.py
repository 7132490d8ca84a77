"""A Ray cluster of several nodes on this machine, on loopback only: a program of its own, spoken to by lines of JSON.

Commands: {"do": "add", "cpus": 2}, {"do": "kill", "node": 1}, {"do": "freeze", "node": 1}, {"do": "head", ...},
{"do": "quit"}. Each is answered by one line. It ends, and takes every process of the cluster along, when its input
ends.
"""

import contextlib
import json
import os
import signal
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # binds to loopback, not to every interface
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

from ray.cluster_utils import Cluster

STORE_BYTES = 80 * 1024 * 1024
QUICK = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}


class Nodes:
    """The nodes in the order they were added; the first one is the head."""

    def __init__(self, folder, config):
        self.folder = folder
        self.config = config
        Path(folder, "ray").mkdir()
        self.cluster = Cluster(shutdown_at_exit=False)
        self.nodes = []
        self.port = 0

    def add(self, cpus=1, gpus=0):
        is_head = not self.nodes
        node = self.cluster.add_node(
            num_cpus=cpus,
            num_gpus=gpus,
            object_store_memory=STORE_BYTES,
            node_ip_address="127.0.0.1",
            include_dashboard=False,
            dashboard_port=None,
            **({"_system_config": self.config, "gcs_server_port": self.port} if is_head else {}),
        )
        self.nodes.append(node)
        self.port = int(self.cluster.address.rpartition(":")[2])
        return {"node": len(self.nodes) - 1, "id": node.node_id, "address": self.cluster.address, "pids": _pids(node)}

    def kill(self, node):
        """Kill a node's processes at once: its raylet first, so that nothing is said."""
        _end(self.nodes[node], signal.SIGKILL)
        return {}

    def restart(self):
        """Kill every node, and start a head at the same address again, which knows nothing of before."""
        self.quit()
        self.nodes, self.cluster = [], Cluster(shutdown_at_exit=False)
        return self.add(cpus=0)

    def freeze(self, node):
        for pid in _pids(self.nodes[node]):
            os.kill(pid, signal.SIGSTOP)
        return {}

    def quit(self):
        for node in reversed(self.nodes):
            with contextlib.suppress(Exception):
                _end(node, signal.SIGKILL)
        return {}


def _pids(node):
    return [info.process.pid for infos in node.all_processes.values() for info in infos]


def _end(node, number):
    infos = [info for infos in node.all_processes.values() for info in infos]
    children = [pid for info in infos for pid in _descendants(info.process.pid)]
    for pid in [*(info.process.pid for info in infos), *children]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    for info in infos:
        info.process.wait()


def _descendants(pid):
    found = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *_descendants(child)]
    return found


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # and with it the cluster
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        os.environ["RAY_TMPDIR"] = folder
        nodes = Nodes(folder, QUICK | json.loads(os.environ.get("CLUSTER_CONFIG", "{}")))
        try:
            for line in sys.stdin:
                command = json.loads(line)
                what = command.pop("do")
                try:
                    answer = {"ok": True, **getattr(nodes, what)(**command)}
                except Exception as error:  # noqa: BLE001 - told to whoever asked
                    answer = {"ok": False, "error": repr(error)}
                out.write(json.dumps(answer) + "\n")
                if what == "quit":
                    break
        finally:
            nodes.quit()


main()
