"""Whether a question is answered at all: each kind of evidence by itself."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.abstention import (
    LOST_NAME,
    LOST_NUMBER,
    NOT_TURNED,
    SHIPPED,
    Bars,
    doubt,
    is_hopeless,
    nearness,
    sufficiency,
)
from generation.negation import asks_what_is_not, says_no
from retrieval.model import Context, Hit, Place
from tests.passages import context, passage


def near(*scores: float | None) -> Context:
    """A context whose passages were read closely with these scores; None was not."""
    found = []
    for n, score in enumerate(scores, 1):
        places: dict[Any, Place] = {"dense": Place(n, 0.9)}
        if score is not None:
            places["rerank"] = Place(n, score)
        found.append(passage(f"Passage {n}.", n, hit=Hit(f"src-{n}", places)))
    return Context(tuple(found), (), 0)


class TestNearness:
    def test_the_nearest_passage_counts(self) -> None:
        assert nearness(near(0.2, 0.6, 0.4)) == 0.6
        assert nearness(near(None, 0.3)) == 0.3

    def test_what_was_not_read_closely_tells_nothing(self) -> None:
        assert nearness(near(None, None)) is None
        assert not is_hopeless(near(None, None), Bars(near=0.9, answer=0.9))

    def test_below_the_bar_it_is_hopeless_and_at_the_bar_it_is_not(self) -> None:
        bars = Bars(near=0.5, answer=0.5)
        assert is_hopeless(near(0.49), bars)
        assert not is_hopeless(near(0.5), bars)
        assert not is_hopeless(near(0.01), replace(bars, near=None))


class TestSufficiency:
    def test_a_sentence_of_usual_length_keeps_its_match(self) -> None:
        text = "word " * 20
        assert sufficiency("What is it?", [text], np.array([0.6])) == pytest.approx(0.6, abs=0.001)

    def test_of_equal_matches_the_shorter_sentence_says_more(self) -> None:
        short, long = "It is so.", "It is so, " * 30
        few = sufficiency("Is it so?", [short], np.array([0.5]))
        many = sufficiency("Is it so?", [long], np.array([0.5]))
        assert few > 0.5 > many

    def test_a_question_for_what_is_not_wants_a_sentence_that_says_no(self) -> None:
        asked, told = "Which city did the army not take?", "The army took the city of Rouen in the end."
        turned = "The army did not take the city of Rouen."
        assert sufficiency(asked, [told], np.array([0.6])) == pytest.approx(
            sufficiency("Which city did the army take?", [told], np.array([0.6])) - NOT_TURNED
        )
        assert sufficiency(asked, [told, turned], np.array([0.6, 0.59])) > 0.58

    def test_no_sentence_holds_nothing(self) -> None:
        assert sufficiency("What?", [], np.array([])) == 0.0

    @given(st.lists(st.floats(-1, 1), min_size=1, max_size=12))
    def test_it_never_leaves_its_scale(self, matches: list[float]) -> None:
        found = sufficiency("Why not?", ["A few words of text."] * len(matches), np.array(matches))
        assert -1.2 <= found <= max(matches) + 0.05

    def test_lost_names_and_numbers_take_off(self) -> None:
        texts = ["The Normans came in 1066."]
        assert doubt("When did the Normans come in 1066?", texts) == 0.0
        assert doubt("When did the great Napoleon come?", texts) == LOST_NAME
        assert doubt("Did the Normans come in 1789?", texts) == LOST_NUMBER


@pytest.mark.parametrize(
    ("text", "asks", "says"),
    [
        ("What did the war not end?", True, True),
        ("Which of them can't swim?", True, True),
        ("Which of them doesn’t swim?", True, True),
        ("What is a knot?", False, False),
        ("Who was never crowned?", True, True),
        ("The key is unknown.", False, True),
        ("It works without a network.", False, True),
        ("They refused to go.", False, True),
        ("The notes are in the folder.", False, False),
        ("", False, False),
    ],
)
def test_negation_is_told_by_words(text: str, asks: bool, says: bool) -> None:
    assert (asks_what_is_not(text), says_no(text)) == (asks, says)


def test_the_texts_of_a_context_without_places_of_a_reranker_are_asked_about() -> None:
    assert not is_hopeless(context("Some text."), SHIPPED)
