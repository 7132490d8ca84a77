"""Runs the benchmark, all of it or the parts that are named: python -m bench [part ...].

Each part has a process of its own: what one leaves in memory is not the next one's cost.
"""

import subprocess
import sys
import time

PARTS = ("steps", "start", "feed", "http", "guard", "history", "data", "tools")
# Long, or with a cluster or a browser: only where it is named
LONG = ("quality", "ray", "ray_crowd", "study", "study_quality", "compare_page", "life", "uploads")


def main() -> None:
    asked = sys.argv[1:] or PARTS
    if unknown := [part for part in asked if part not in (*PARTS, *LONG)]:
        sys.exit(f"no such part: {', '.join(unknown)}; there are {', '.join((*PARTS, *LONG))}")
    for part in asked:
        print(f"\n=== {part}", flush=True)
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", f"bench.{part}"], check=True)
        print(f"=== {part} took {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
