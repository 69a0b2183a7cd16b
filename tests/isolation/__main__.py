"""`python -m tests.isolation --calls 100000 --tenants 50`: one line of JSON; exit code 1 when a word stood where it may not.

`--seconds` ends it earlier, `--processes` has several services called side by side, `--timing N` compares instead the times
of N replies each about what is somebody else's and what never was.
"""

import argparse
import json
import multiprocessing
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from tests.isolation import canaries, timing


def _merged(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Numbers added up, but for what was least."""
    found = dict(parts[0])
    for part in parts[1:]:
        for name, value in part.items():
            if name == "routes":
                found[name] = max(found[name], value)
            elif isinstance(value, dict):
                found[name] = dict(Counter(found[name]) + Counter(value))
            else:
                found[name] = found[name] + value
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.isolation", description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--tenants", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--timing", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    begun = time.perf_counter()
    if options.timing:
        found = timing.sweep(options.timing, options.seed)
    else:
        share = -(-options.calls // options.processes)
        with ProcessPoolExecutor(options.processes, multiprocessing.get_context("spawn")) as pool:
            work = [
                pool.submit(canaries.sweep, share, options.tenants, options.seed + n, options.seconds)
                for n in range(options.processes)
            ]
            found = _merged([part.result() for part in work])
    wrong = found.pop("wrong")
    line = {"check": "isolation", "ok": not wrong, "seed": options.seed, "tenants": options.tenants, **found}
    line |= {"seconds": round(time.perf_counter() - begun, 1)}
    sys.stdout.write(json.dumps(line | ({"misses": len(wrong), "first": wrong[:20]} if wrong else {})) + "\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
