"""The attacks of `python -m tests.chaos`, small enough for every run; the larger ones are marked slow."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

from tests.checks import Unavailable

Found = dict[str, Any]


def attacked(module: str, n: int) -> Found:
    sweep: Callable[[int, int], Found] = import_module(f"tests.chaos.{module}").sweep
    try:
        found = sweep(n, 0)
    except Unavailable as why:
        pytest.skip(f"{module} cannot be tried here: {why}")
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
