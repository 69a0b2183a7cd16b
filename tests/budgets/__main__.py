"""`python -m tests.budgets CHECK [--n N] [--seed S]`: money that nobody spends twice; see `tests.checks`."""

import sys

from app.telemetry import configure
from tests.checks import Check, main

CHECKS = {
    "parallel": Check("spending", "parallel", 1000, "calls of a model at once, on a budget for ten"),
    "processes": Check("spending", "processes", 1000, "calls of two processes on one database, on a budget for ten"),
    "kill": Check("spending", "kill", 5, "processes that are killed in the middle of ten calls each"),
}

if __name__ == "__main__":
    configure("json", "error")
    sys.exit(main("tests.budgets", CHECKS, sys.argv[1:]))
