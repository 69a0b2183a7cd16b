"""`python -m tests.streams CHECK [--n N]`: many streams, and their end; see `tests.checks`."""

import logging
import sys

from tests.checks import Check, main

CHECKS = {
    "clients": Check("clients", "clients", 10_000, "open streams of one process"),
    "answers": Check("clients", "answers", 1000, "the same with an answer behind each, in its middle"),
    "drain": Check("drain", "drain", 200, "streams that are open at SIGTERM, and a tenth as many jobs"),
    "slow": Check("slow", "slow", 200, "clients that take nothing of long replies"),
}

if __name__ == "__main__":
    logging.disable(logging.WARNING)
    sys.exit(main("tests.streams", CHECKS, sys.argv[1:]))
