"""Runs the benchmark, all of it or the parts that are named: python -m bench [part ...]."""

import importlib
import importlib.util
import sys

PARTS = ("steps", "start", "feed", "http", "history", "data")


def main() -> None:
    known = [part for part in PARTS if importlib.util.find_spec(f"bench.{part}")]
    asked = sys.argv[1:] or known
    if unknown := [part for part in asked if importlib.util.find_spec(f"bench.{part}") is None]:
        sys.exit(f"no such part: {', '.join(unknown)}; there are {', '.join(known)}")
    sys.argv[1:] = []  # the parts have flags of their own when they are run alone
    for part in asked:
        print(f"\n=== {part}", flush=True)
        importlib.import_module(f"bench.{part}").main()


if __name__ == "__main__":
    main()
