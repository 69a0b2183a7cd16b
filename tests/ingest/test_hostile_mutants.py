"""Good files with something broken in them: each gets a verdict in time, and neighbours are read."""

import zipfile
from io import BytesIO

import pytest

from tests.ingest.hostile_packages import GOOD, members, zipped
from tests.ingest.mutants import mutants
from tests.ingest.test_hostile_files import BUSY, IN_TIME
from tests.ingest.verdicts import swept


def _sweep(seed: int, count: int) -> None:
    sweep = swept(mutants(seed, count))
    assert sweep.read_well == sweep.neighbours == len(sweep.verdicts) == count
    assert sweep.slowest.seconds < IN_TIME + BUSY, sweep.slowest
    assert {verdict.name for verdict in sweep.verdicts if verdict.said == "reader_crashed"} == set()
    assert sum(verdict.said == "read" for verdict in sweep.verdicts) > count // 5, "faults, and not rubbish"


def test_a_hundred_mutants():
    _sweep(seed=1, count=100)


@pytest.mark.slow
def test_two_thousand_mutants():
    _sweep(seed=20261120, count=2000)


def test_the_same_seed_draws_the_same_files():
    assert list(mutants(7, 20)) == list(mutants(7, 20))
    assert all(zipfile.is_zipfile(BytesIO(zipped(members(kind)))) for kind in GOOD)
