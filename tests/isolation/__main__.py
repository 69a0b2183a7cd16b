"""`python -m tests.isolation --calls 100000 --tenants 50`: one line of JSON; exit code 1 when a word stood where it may not."""

import argparse
import json
import sys
import time

from tests.isolation.canaries import sweep

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.isolation", description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--tenants", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    begun = time.perf_counter()
    found = sweep(options.calls, options.tenants, options.seed)
    sys.stdout.write(json.dumps({**found, "seconds": round(time.perf_counter() - begun, 1)}) + "\n")
    sys.exit(bool(found["wrong"]))
