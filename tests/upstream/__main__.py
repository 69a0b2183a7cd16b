"""`python -m tests.upstream CHECK [--n N] [--seed S]`: what model endpoints do wrong; see `tests.checks`."""

import logging
import sys

from tests.checks import Check, main

CHECKS = {
    "cuts": Check("cuts", "sweep", 1, "every n-th byte of each recorded stream is cut at, over sockets"),
    "outage": Check("outage", "outage", 20, "outages of a minute, in virtual time"),
    "faults": Check("outage", "faults", 10_000, "questions to a first endpoint that often fails, in virtual time"),
    "amplification": Check(
        "outage", "amplification", 5000, "questions in an outage without a breaker, in virtual time"
    ),
    "cancels": Check("leaving", "cancels", 50_000, "calls cancelled, before 1,000 that must succeed"),
    "ttft": Check(
        "first_token", "first_token", 1500, "questions at 50 a second through the service, and as many past it"
    ),
    "ttft20": Check("first_token", "at_20", 600, "the same at 20 a second, for machines of two cores"),
    "throughput": Check(
        "throughput", "throughput", 10, "seconds of 1, 8 and 64 clients each, with the built-in answerer and a model"
    ),
    "disconnects": Check("leaving", "disconnects", 1000, "clients of the real service that go away, over five phases"),
}

if __name__ == "__main__":
    logging.disable(logging.WARNING)
    sys.exit(main("tests.upstream", CHECKS, sys.argv[1:]))
