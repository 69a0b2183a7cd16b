"""`python -m tests.chaos CHECK [--n N] [--seed S]`: one line of JSON with the numbers; exit code 1 on a miss."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import structlog

from tests.chaos.trap import Unavailable

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a process with threads must not fork

CHECKS = {  # name: (module, function, default of --n, what n counts)
    "killpoints": ("killpoints", "sweep", 600, "system calls killed at; 0 for every one"),
    "kill": ("random_kills", "sweep", 200, "random kills, with readers"),
    "iofault": ("iofaults", "sweep", 600, "operations that fail"),
    "bitrot": ("bitrot", "sweep", 500, "files damaged"),
    "fulldisk": ("fulldisk", "sweep", 60, "disks filled up"),
    "reingest": ("reingest", "sweep", 50, "runs at once"),
    "mutants": ("mutants", "sweep", 0, "bugs planted; 0 for all"),
    "jobs": ("jobs", "sweep", 150, "jobs, the process killed about every second"),
    "reindex": ("reindexing", "sweep", 200, "system calls of a reindex killed at; 0 for every one"),
    "readers": ("readers", "sweep", 5000, "questions during re-ingest"),
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("check", choices=CHECKS)
    parser.add_argument("--n", type=int, help="; ".join(f"{k}: {c[3]} (default {c[2]})" for k, c in CHECKS.items()))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    module, function, default, _ = CHECKS[options.check]
    run: Callable[[int, int], dict[str, Any]] = getattr(import_module(f"tests.chaos.{module}"), function)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    start = time.perf_counter()
    try:
        found = run(default if options.n is None else options.n, options.seed)
    except Unavailable as why:  # what could not be tried has not been passed
        sys.stdout.write(json.dumps({"check": options.check, "ok": False, "skipped": str(why)}) + "\n")
        return 1
    wrong = found.pop("wrong")
    seconds = round(time.perf_counter() - start, 1)
    line = {"check": options.check, "ok": not wrong, "seed": options.seed, **found, "seconds": seconds}
    sys.stdout.write(json.dumps(line | ({"misses": len(wrong), "first": wrong[:10]} if wrong else {})) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
