"""Follow-ups, from turn two on."""

import pytest

from retrieval.query import standalone

FIRST = "How are refunds paid?"


@pytest.mark.parametrize("question", ["How long do they take?", "And for gift cards?", "why", "What about this case?"])
def test_a_follow_up_carries_the_question_before_it(question: str) -> None:
    assert standalone(question, [FIRST]) == f"{FIRST}\n{question}"


@pytest.mark.parametrize("question", ["Which cities have a warehouse?", "How do I change my password on the page?"])
def test_a_question_that_stands_alone_is_left_alone(question: str) -> None:
    assert standalone(question, [FIRST]) == question


def test_a_first_question_is_never_touched() -> None:
    assert standalone("why it", []) == "why it"


def test_only_the_last_question_counts() -> None:
    assert standalone("And it?", ["Old one?", FIRST]) == f"{FIRST}\nAnd it?"
