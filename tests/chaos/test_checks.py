"""The attacks of `python -m tests.chaos`, small enough for every run; the larger ones are marked slow."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
# In a process of its own: attacks fork, and one that runs tests may have threads that hold locks at that moment.
SWEEP = """
import json, sys
from importlib import import_module
import structlog
from tests.checks import Unavailable
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
try:
    found = import_module(f"tests.chaos.{sys.argv[1]}").sweep(int(sys.argv[2]), 0)
except Unavailable as why:
    found = {"unavailable": str(why)}
print(json.dumps(found))
"""


def attacked(module: str, n: int) -> dict[str, Any]:
    """The numbers of a sweep in which nothing went wrong."""
    command = [sys.executable, "-c", SWEEP, module, str(n)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    if "unavailable" in found:
        pytest.skip(f"{module} cannot be tried here: {found['unavailable']}")
    assert [line for line in found["wrong"] if not line.startswith("slow")] == []  # of a machine that has else to do
    return found


@pytest.mark.parametrize("n", [8, pytest.param(80, marks=pytest.mark.slow)])
def test_sigkill_at_a_system_call(n: int) -> None:
    assert attacked("killpoints", n)["points"] >= n


@pytest.mark.parametrize("n", [4, pytest.param(30, marks=pytest.mark.slow)])
def test_sigkill_at_any_moment(n: int) -> None:
    assert attacked("random_kills", n)["kills"] >= n


@pytest.mark.parametrize("n", [8, pytest.param(90, marks=pytest.mark.slow)])
def test_operations_that_fail(n: int) -> None:
    found = attacked("iofaults", n)
    assert found["faults"] >= n
    assert found["answers"] > n


@pytest.mark.parametrize("n", [10, pytest.param(80, marks=pytest.mark.slow)])
def test_damaged_files(n: int) -> None:
    assert attacked("bitrot", n)["damages"] == n


@pytest.mark.parametrize("n", [4, pytest.param(15, marks=pytest.mark.slow)])
def test_a_full_disk(n: int) -> None:
    assert attacked("fulldisk", n)["refused"] > 0


@pytest.mark.parametrize("n", [5, pytest.param(50, marks=pytest.mark.slow)])
def test_ingest_again_and_at_once(n: int) -> None:
    attacked("reingest", n)


@pytest.mark.parametrize("n", [200, pytest.param(2000, marks=pytest.mark.slow)])
def test_questions_during_ingest(n: int) -> None:
    assert attacked("readers", n)["answers"] >= n
