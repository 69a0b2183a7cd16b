"""`python -m tests.api_fuzz [--examples N] [--seed S]`: one line of JSON; exit code 1 where a reply is not as described."""

import argparse
import json
import sys
import time

from tests.api_fuzz.fuzz import sweep

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.api_fuzz", description=__doc__)
    parser.add_argument("--examples", type=int, default=100, help="for each operation and caller (default 100)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    begun = time.perf_counter()
    found = sweep(options.examples, options.seed)
    wrong = found.pop("wrong")
    line = {"check": "api_fuzz", "ok": not wrong, "seed": options.seed, **found}
    line |= {"seconds": round(time.perf_counter() - begun, 1)}
    sys.stdout.write(json.dumps(line | ({"misses": len(wrong), "first": wrong[:80]} if wrong else {})) + "\n")
    sys.exit(int(bool(wrong)))
