"""`python -m tests.security CHECK [--n N] [--seed S]`: what may not leave in an answer; see `tests.checks`."""

import sys

from tests.checks import Check, main

CHECKS = {
    "pii": Check("pii", "sweep", 10_000, "items of personal data, and as many near misses, at every cut"),
}

if __name__ == "__main__":
    sys.exit(main("tests.security", CHECKS, sys.argv[1:]))
