"""A citation that the model forgot is given where it is right, or not at all: real sentences, the real verifier."""

import asyncio

from tests.attribution import measured


def test_what_is_cited_without_a_mark_is_cited_rightly() -> None:
    found = asyncio.run(measured(30, seed=3))
    assert found["cited"] >= 8
    assert found["right"] >= 0.95
    assert found["changed"] == found["its own gone"] == {"none": 30}
