"""Outages and faults in virtual time, through the real chain with its real breakers and budgets."""

import asyncio
import time

from tests.upstream.outage import amplification, faults, outage
from tests.upstream.virtual import run_virtually


def test_virtual_time_costs_none() -> None:
    async def main() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    begun = time.monotonic()
    assert run_virtually(main()) == 3600
    assert time.monotonic() - begun < 60


def test_a_minute_of_outage() -> None:
    found = outage(4, seed=1)
    assert found["wrong"] == []
    assert found["calls_per_request"] <= 1.10
    assert 5 <= found["failures_before_open"] <= 20
    assert 0 < found["probes_a_second"] <= 1
    assert 0 <= found["back_after_s"] <= 5
    assert found["answered"] == 1


def test_a_first_endpoint_that_often_fails() -> None:
    found = faults(2000, seed=2)
    assert found["wrong"] == []
    assert found["answered"] >= 1998
    assert found["failures_of_first"] > 100
    assert found["by"]["first"] > 400
    assert found["by"]["second"] > 400


def test_retries_are_a_tenth_without_any_breaker() -> None:
    found = amplification(500, seed=3)
    assert found["wrong"] == []
    assert 1.05 < found["calls_per_request"] <= 1.1 + 3 / 500
    assert found["by"] == {"quoting": 500}
