"""Client gone = work gone, held against vLLM's own words: it says that it aborted the request, within a second."""

import time
from collections.abc import Iterator

import pytest

from tests.vllm.conftest import Asked, Serving
from tests.vllm.endpoint import Endpoint, within

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

LONG = "List everything that is in the kitchen, the cellar and the tower, one thing after the other, with its year."
BOUND_S = 1.0


@pytest.fixture(scope="module")
def asked(serving: Serving) -> Iterator[Asked]:
    with serving(GENERATION__MAX_TOKENS="400") as running:
        yield running


@pytest.mark.parametrize("when", ["before the first word", "in the middle"])
def test_hanging_up_on_a_stream_ends_the_work_in_vllm(asked: Asked, vllm: Endpoint, when: str) -> None:
    begun, aborted = vllm.begun(), vllm.aborted()
    body = {"question": LONG, "collection": "inventory", "stream": True, "release": "token"}
    with asked.client.stream("POST", "/ask", json=body) as reply:
        wanted = "event: delta" if when == "in the middle" else "event: sources"
        lines = reply.iter_lines()  # held, because letting go of it closes the connection
        while next(lines) != wanted:
            pass
        assert within(20, lambda: vllm.begun() == begun + 1)
    _told_within_a_second(vllm, aborted)
    assert within(5, lambda: asked.log_of("ask.completed")[-1]["finish_reason"] == "cancelled")


def test_hanging_up_on_a_whole_answer_too(asked: Asked, vllm: Endpoint) -> None:
    begun, aborted = vllm.begun(), vllm.aborted()
    with asked.served.dial({"question": LONG, "collection": "inventory"}):
        assert within(20, lambda: vllm.begun() == begun + 1)
    _told_within_a_second(vllm, aborted)


def test_what_was_left_takes_no_place_from_the_next(asked: Asked, vllm: Endpoint) -> None:
    """Twice as many as vLLM runs at once are left; none of them is still computed for when the next one comes."""
    begun, aborted = vllm.begun(), vllm.aborted()
    lines = [asked.served.dial({"question": LONG, "collection": "inventory"}) for _ in range(4)]
    assert within(30, lambda: vllm.begun() == begun + 4)
    for line in lines:
        line.close()
    assert within(BOUND_S, lambda: vllm.aborted() == aborted + 4)
    assert asked.ask("When was the lighthouse built?", max_tokens=8)["usage"]["output_tokens"] > 0
    assert vllm.aborted() == aborted + 4


def _told_within_a_second(vllm: Endpoint, aborted: int) -> None:
    begun = time.monotonic()
    assert within(5, lambda: vllm.aborted() == aborted + 1)
    assert time.monotonic() - begun < BOUND_S
