"""`python -m tests.overload CHECK [--n N] [--seed S]`: three times what can be answered; see `tests.checks`."""

import sys

from app.telemetry import configure
from tests.checks import Check, main

CHECKS = {
    "flood": Check("flood", "flood", 60, "seconds at three times the peak, in an open loop; needs a quiet machine")
}

if __name__ == "__main__":
    configure("json", "error")
    sys.exit(main("tests.overload", CHECKS, sys.argv[1:]))
