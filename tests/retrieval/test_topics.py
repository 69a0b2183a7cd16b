"""Whether a heading names what a question asks about."""

from dataclasses import replace

import pytest

from retrieval.context import Limits, pack
from retrieval.model import Found
from retrieval.topics import fits, is_headed
from tests.passages import passage


@pytest.mark.parametrize(
    ("question", "heading"),
    [
        ("How do I return an HTML response?", "HTML Response"),
        ("How do I use WebSockets?", "Create a websocket"),
        ("What is a load balancer?", "Load balancers"),
    ],
)
def test_a_heading_that_says_what_is_asked_and_nothing_else(question: str, heading: str) -> None:
    assert is_headed(question, ("The guide", heading))
    assert fits(question, ("The guide", heading)) == 1
    assert fits(question, (heading, "Another thing")) == 0.5


@pytest.mark.parametrize("heading", ["HTML Response of errors", "Response", "JSON Response", "", "Return it"])
def test_a_heading_that_says_more_or_less_or_something_else(heading: str) -> None:
    assert not is_headed("How do I return an HTML response?", (heading,))
    assert fits("How do I return an HTML response?", (heading,)) < 1


def test_a_question_or_a_passage_without_a_topic_fits_nothing() -> None:
    assert not is_headed("How do I use it?", ("Use it",))
    assert not is_headed("", ("HTML",))
    assert not is_headed("HTML", ())
    assert fits("HTML", ()) == 0


def test_the_section_headed_by_the_topic_comes_in_where_there_is_no_room_for_all() -> None:
    texts = [" ".join(f"word{100 * n + i}" for i in range(20)) for n in range(4)]
    passages = [passage(text, n, tokens=20) for n, text in enumerate(texts, 1)]
    passages[3] = replace(passages[3], heading_path=("Guide", "HTML Response"))
    found = Found(tuple(passages), tuple(p.hit for p in passages), None)
    limits = Limits(top_k=2, token_budget=1000, per_source=8, near_duplicate=0.9)
    asked = pack(found, limits, "How do I return an HTML response?")
    assert [p.id for p in asked.passages] == [passages[0].id, passages[3].id]
    assert [(left.passage.id, left.reason) for left in asked.left_out] == [(p.id, "top_k") for p in passages[1:3]]
    assert [p.id for p in pack(found, limits, "Who?").passages] == [p.id for p in passages[:2]]
