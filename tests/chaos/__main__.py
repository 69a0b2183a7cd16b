"""`python -m tests.chaos CHECK [--n N] [--seed S]`: kills, faults, damage and planted bugs; see `tests.checks`."""

import os
import sys

import structlog

from tests.checks import Check, main

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a process with threads must not fork

CHECKS = {
    "killpoints": Check("killpoints", "sweep", 600, "system calls killed at; 0 for every one"),
    "kill": Check("random_kills", "sweep", 200, "random kills, with readers"),
    "iofault": Check("iofaults", "sweep", 600, "operations that fail"),
    "bitrot": Check("bitrot", "sweep", 500, "files damaged"),
    "fulldisk": Check("fulldisk", "sweep", 60, "disks filled up"),
    "reingest": Check("reingest", "sweep", 50, "runs at once"),
    "mutants": Check("mutants", "sweep", 0, "bugs planted; 0 for all"),
    "access": Check("mutants", "access", 0, "bugs planted in who may read what; 0 for all"),
    "budgets": Check("mutants", "budgets", 0, "bugs planted where money is spent and where somebody waits; 0 for all"),
    "http": Check("mutants", "http", 0, "bugs planted in how requests are read and secrets kept; 0 for all"),
    "jobs": Check("jobs", "sweep", 150, "jobs, the process killed about every second"),
    "reindex": Check("reindexing", "sweep", 200, "system calls of a reindex killed at; 0 for every one"),
    "hostile": Check("hostile", "sweep", 2000, "files broken at random, beside all that are crafted"),
    "readers": Check("readers", "sweep", 5000, "questions during re-ingest"),
}

if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    sys.exit(main("tests.chaos", CHECKS, sys.argv[1:]))
