"""From features to a tier, and from a tier to those that stand behind it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.complexity import Features
from generation.route import EXTRACTIVE, above, chain, is_look_up, level_of, score

PLAIN = Features(words=8, confidence=1.0)
NAMES = ("small", "medium", "large")


@pytest.mark.parametrize(
    "harder",
    [
        {"words": 40},
        {"questions": 2},
        {"reasoning": 1},
        {"conditions": 1},
        {"comparison": True},
        {"breadth": True},
        {"procedure": True},
        {"code": True},
        {"documents": 2},
        {"confidence": 0.3},
        {"turns": 1},
    ],
)
def test_each_feature_makes_a_question_harder(harder: dict[str, object]) -> None:
    assert score(replace(PLAIN, **harder)) > score(PLAIN) == 0  # type: ignore[arg-type]


counts = st.integers(0, 500)
features = st.builds(
    Features,
    words=counts,
    questions=st.integers(1, 500),
    reasoning=counts,
    conditions=counts,
    comparison=st.booleans(),
    breadth=st.booleans(),
    procedure=st.booleans(),
    code=st.booleans(),
    documents=st.integers(1, 50),
    confidence=st.none() | st.floats(0, 1),
    turns=counts,
)


@given(features, st.lists(st.floats(0, 30), max_size=4).map(sorted))
def test_a_score_is_bounded_and_a_level_is_one_of_those_there_are(found: Features, thresholds: list[float]) -> None:
    assert 0 <= score(found) < 20
    assert 0 <= level_of(score(found), thresholds) <= len(thresholds)


@given(features, st.integers(1, 3))
def test_one_thing_more_never_makes_a_question_easier(found: Features, more: int) -> None:
    for name in ("words", "questions", "reasoning", "conditions", "documents", "turns"):
        assert score(replace(found, **{name: getattr(found, name) + more})) >= score(found)


def test_a_threshold_belongs_to_the_dearer_tier() -> None:
    assert [level_of(points, (1.5, 3.5)) for points in (0, 1.49, 1.5, 3.49, 3.5, 9)] == [0, 0, 1, 1, 2, 2]


def test_behind_the_wanted_tier_stand_the_dearer_ones_then_the_cheaper_ones() -> None:
    assert chain(NAMES, 0, NAMES) == ("small", "medium", "large", EXTRACTIVE)
    assert chain(NAMES, 1, NAMES) == ("medium", "large", "small", EXTRACTIVE)
    assert chain(NAMES, 2, NAMES) == ("large", "medium", "small", EXTRACTIVE)
    assert chain(NAMES, 7, NAMES) == ("large", "medium", "small", EXTRACTIVE)


def test_what_may_not_be_used_is_passed_over() -> None:
    assert chain(NAMES, 0, ("large",)) == ("large", EXTRACTIVE)
    assert chain(NAMES, 1, ()) == (EXTRACTIVE,)
    assert chain((), 0, ()) == (EXTRACTIVE,)


@given(st.lists(st.sampled_from("abcdef"), unique=True), st.integers(0, 9), st.sets(st.sampled_from("abcdef")))
def test_a_chain_holds_everything_usable_once_and_quoting_last(names: list[str], wanted: int, usable: set[str]) -> None:
    found = chain(names, wanted, usable)
    assert found[-1] == EXTRACTIVE
    assert sorted(found[:-1]) == sorted(set(names) & usable)


def test_above_is_the_next_that_may_be_used() -> None:
    assert above(NAMES, "small", NAMES) == "medium"
    assert above(NAMES, "small", ("small", "large")) == "large"
    assert above(NAMES, "large", NAMES) is None
    assert above(NAMES, EXTRACTIVE, NAMES) == "small"


@pytest.mark.parametrize(
    "other",
    [
        {"confidence": 0.5},
        {"confidence": None},
        {"documents": 2},
        {"questions": 2},
        {"reasoning": 1},
        {"code": True},
        {"procedure": True},
    ],
)
def test_a_look_up_is_plain_and_sure(other: dict[str, object]) -> None:
    assert is_look_up(PLAIN, 0.8)
    assert not is_look_up(replace(PLAIN, **other), 0.8)  # type: ignore[arg-type]
