"""`python -m tests.upstream CHECK [--n N] [--seed S]`: one line of JSON with the numbers; exit code 1 on a miss."""

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

CHECKS = {  # name: (module, function, default of --n, what n counts)
    "cuts": ("cuts", "sweep", 1, "every n-th byte of each recorded stream is cut at, over sockets"),
    "outage": ("outage", "outage", 20, "outages of a minute, in virtual time"),
    "faults": ("outage", "faults", 10_000, "questions to a first endpoint that often fails, in virtual time"),
    "amplification": ("outage", "amplification", 5000, "questions in an outage without a breaker, in virtual time"),
    "cancels": ("leaving", "cancels", 50_000, "calls cancelled, before 1,000 that must succeed"),
    "ttft": ("first_token", "first_token", 1500, "questions at 50 a second through the service, and as many past it"),
    "disconnects": ("leaving", "disconnects", 1000, "clients of the real service that go away, over four phases"),
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.upstream", description=__doc__)
    parser.add_argument("check", choices=CHECKS)
    parser.add_argument("--n", type=int, help="; ".join(f"{k}: {c[3]} (default {c[2]})" for k, c in CHECKS.items()))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, help="questions a second of ttft (default 50)")
    options = parser.parse_args(arguments)
    if options.rate is not None and options.check != "ttft":
        parser.error("--rate is for ttft alone")
    more = {} if options.rate is None else {"rate": options.rate}
    module, function, default, _ = CHECKS[options.check]
    run: Callable[..., dict[str, Any]] = getattr(import_module(f"tests.upstream.{module}"), function)
    logging.disable(logging.WARNING)
    start = time.perf_counter()
    found = run(default if options.n is None else options.n, options.seed, **more)
    wrong = found.pop("wrong")
    seconds = round(time.perf_counter() - start, 1)
    line = {"check": options.check, "ok": not wrong, "seed": options.seed, **found, "seconds": seconds}
    sys.stdout.write(json.dumps(line | ({"misses": len(wrong), "first": wrong[:10]} if wrong else {})) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
