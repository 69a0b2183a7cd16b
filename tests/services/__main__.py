"""`make test-services`: PostgreSQL and Redis found or installed, started, the tests run on them, the servers ended.

`python -m tests.services -- -k replicas` gives pytest words of its own. Where the servers cannot be had the reason is told,
and nothing has failed.
"""

import argparse
import os
import signal
import subprocess
import sys

from app.evals.corpus import progress
from tests.services.machine import Servers, Unavailable, programs, running

# Suites that are run again: what they open with the settings of `tests.app.serving` has its catalog in a database of its
# own. The contracts of the stores, migrations and replicas have their tests in tests/services.
SUITES = (
    "tests/app/jobs",
    "tests/app/test_keys.py",
    "tests/app/test_keyed_service.py",
    "tests/app/test_isolation.py",
    "tests/app/test_cached.py",
    "tests/app/test_flight.py",
    "tests/app/test_batches.py",
    "tests/app/test_budgeted.py",
    "tests/app/test_rates.py",
)


def main(words: list[str]) -> int:
    """The exit code of the tests, or 0 where there was nothing to run them against."""
    parser = argparse.ArgumentParser(prog="python -m tests.services", description="Grounded on PostgreSQL and Redis.")
    parser.add_argument("pytest", nargs="*", help="what pytest is given, behind --")
    options = parser.parse_args(words)
    try:
        found = programs()
        with running(found) as servers:
            return _test(servers, options.pytest)
    except Unavailable as reason:
        progress(f"SKIPPED the tests with PostgreSQL and Redis: {reason}.")
        return 0


def _test(servers: Servers, more: list[str]) -> int:
    env = {
        **os.environ,
        "GROUNDED_TEST_DATABASE_URL": servers.postgresql,
        "GROUNDED_TEST_REDIS_URL": servers.redis,
    }
    chosen = more or ["tests/services", *SUITES]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.services.databases", *chosen]
    return subprocess.run(command, env=env).returncode


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the servers are ended then too
    sys.exit(main(sys.argv[1:]))
