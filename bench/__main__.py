"""Runs the benchmark, all of it or the parts that are named: python -m bench [part ...]."""

import importlib
import sys
import time

PARTS = ("steps", "start", "feed", "http", "guard", "history", "data")
LONG = ("quality",)  # half an hour and more: only where it is named


def main() -> None:
    asked = sys.argv[1:] or PARTS
    if unknown := [part for part in asked if part not in (*PARTS, *LONG)]:
        sys.exit(f"no such part: {', '.join(unknown)}; there are {', '.join((*PARTS, *LONG))}")
    sys.argv[1:] = []  # the parts have flags of their own when they are run alone
    for part in asked:
        print(f"\n=== {part}", flush=True)
        began = time.perf_counter()
        importlib.import_module(f"bench.{part}").main()
        print(f"=== {part} took {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
