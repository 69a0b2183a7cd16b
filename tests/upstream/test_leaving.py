"""Callers that are cancelled. The full numbers: `python -m tests.upstream cancels`, `... disconnects`."""

import asyncio

import pytest

from tests.upstream.leaving import cancelled


@pytest.mark.slow
def test_after_a_storm_of_cancelled_calls_every_call_succeeds() -> None:
    found = asyncio.run(cancelled(2000, 200, seed=4))
    assert found["wrong"] == []
    assert found["right"] == 200
    assert found["reached_the_model"] > 500
