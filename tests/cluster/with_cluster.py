"""Run a command beside a Ray cluster of three nodes on this machine: `with_cluster.py COMMAND ...`.

The command finds it by TRAIND_EXECUTOR and TRAIND_RAY_ADDRESS, as `traind serve` does. Each node but the head's says
that it has two cores, or TRAIND_NODE_CORES of them; the head's has none (docs/scaling.md).
"""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

HEAD, NODE = {"do": "add", "cpus": 0}, {"do": "add", "cpus": int(os.environ.get("TRAIND_NODE_CORES", "2"))}


def main() -> int:
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}  # as docs/scaling.md tells to
    program = [sys.executable, str(Path(__file__).with_name("cluster_main.py"))]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as cluster:
        assert cluster.stdin is not None
        assert cluster.stdout is not None
        for command in (HEAD, NODE, NODE):
            cluster.stdin.write(json.dumps(command) + "\n")
            cluster.stdin.flush()
            answer = json.loads(cluster.stdout.readline())
            assert answer["ok"], answer
        environment = {"TRAIND_EXECUTOR": "ray", "TRAIND_RAY_ADDRESS": answer["address"]}
        code = subprocess.run(sys.argv[1:], env={**os.environ, **environment}, check=False).returncode
        cluster.stdin.close()
        cluster.wait()
    return code


if __name__ == "__main__":
    sys.exit(main())
