"""Bars of abstention: where they are put, and what the figures about them say."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.evals.abstaining import (
    Cases,
    Target,
    at,
    auroc,
    bar_for,
    changes,
    chosen,
    held_out,
    intervals,
    risk_coverage,
    target_of,
)
from app.evals.rows import BadEvalData
from app.evals.scores import auroc as plain_auroc

Rows = list[tuple[float, bool, bool]]
ROWS = st.lists(
    st.tuples(st.floats(0, 1).map(lambda x: round(x, 3)), st.booleans(), st.booleans()), min_size=2, max_size=60
)


def cases(rows: Rows) -> Cases:
    """(confidence, answerable, right), where nothing unanswerable is answered rightly."""
    sure, yes, right = zip(*rows, strict=True)
    return Cases(np.array(sure), np.array(yes), np.array(right) & np.array(yes))


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("answered=0.98", Target("answered", 0.98)),
        ("right=1", Target("right", 1.0)),
        ("balanced", Target("balanced", 0.0)),
    ],
)
def test_a_target_is_read_and_said_alike(text: str, target: Target) -> None:
    assert target_of(text) == target
    assert target_of(str(target)) == target


@pytest.mark.parametrize(
    "text", ["", "answered", "answered=", "answered=0", "right=1.1", "best=0.5", "balanced=1", "right=x"]
)
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(BadEvalData) as error:
        target_of(text)
    assert "answered=0.98" in error.value.next_step


@given(ROWS, st.sampled_from([0.5, 0.9, 0.98, 1.0]))
def test_as_many_are_answered_as_were_wanted_and_no_higher_bar_does_it(rows: Rows, share: float) -> None:
    found = cases(rows)
    assume(found.answerable.any())
    bar = chosen(found, Target("answered", share))
    asked = found.confidence[found.answerable]
    assert (asked >= bar).mean() >= share
    higher = asked[asked > bar + 1e-4]
    if len(higher):
        assert (asked >= higher.min()).mean() < share or (asked >= higher.min()).sum() == (asked >= bar).sum()


@given(ROWS, st.sampled_from([0.5, 0.9, 1.0]))
def test_as_many_answers_are_right_as_were_wanted_where_any_bar_does_it(rows: Rows, share: float) -> None:
    found = cases(rows)
    bar = chosen(found, Target("right", share))
    best = max(found.right[found.confidence >= t].mean() for t in found.confidence)
    told = found.right[found.confidence >= bar].mean()
    assert told >= share or told == pytest.approx(best)


def test_balanced_parts_what_can_be_parted() -> None:
    rows = [(0.2, False, False), (0.3, False, False), (0.6, True, True), (0.9, True, False)]
    bar = chosen(cases(rows), Target("balanced"))
    assert 0.3 < bar <= 0.6
    assert at(cases(rows), bar) == {"answered": 1.0, "abstained": 1.0, "correct": 0.5, "risk": 0.5}


@given(ROWS)
def test_the_area_is_that_of_every_pair(rows: Rows) -> None:
    found = cases(rows)
    yes, no = found.confidence[found.answerable], found.confidence[~found.answerable]
    assert auroc(found) == plain_auroc(list(yes), list(no))


def test_rates_of_nothing_are_none() -> None:
    only = cases([(0.5, True, True), (0.6, True, False)])
    assert auroc(only) is None
    assert at(only, 0.7) == {"answered": 0.0, "abstained": None, "correct": 0.0, "risk": None}
    assert intervals(only, 0.55, seed=0)["auroc"] is None
    assert held_out(cases([(0.5, True, True), (0.6, False, False)]), Target(), 0) == {}


def test_intervals_hold_the_value_and_narrow_with_more_cases() -> None:
    random = np.random.default_rng(1)

    def drawn(n: int) -> Cases:
        yes = np.arange(n) % 2 == 0
        return Cases(random.normal(0.4 + 0.1 * yes, 0.1), yes, yes)

    def width(n: int) -> float:
        some = drawn(n)
        found = intervals(some, 0.4, seed=0)
        value = auroc(some)
        assert found["auroc"] is not None
        assert value is not None
        assert found["auroc"][0] <= value <= found["auroc"][1]
        return found["auroc"][1] - found["auroc"][0]

    assert width(800) < width(50)


@given(ROWS)
def test_the_table_falls_from_the_surest_to_all(rows: Rows) -> None:
    table = risk_coverage(cases(rows))
    shares = [row["coverage"] for row in table]
    assert shares == sorted(shares)  # type: ignore[type-var]
    assert shares[-1] == 1.0
    assert table[-1]["risk"] == pytest.approx(round(1 - cases(rows).right.mean(), 4))


def test_what_changes_is_counted_both_ways() -> None:
    rows = [(0.2, False, False), (0.4, True, True), (0.5, True, False), (0.9, True, True)]
    none = {"n": 0, "answerable": 0, "right": 0}
    some = {"n": 2, "answerable": 2, "right": 1}
    assert changes(cases(rows), 0.3, 0.6) == {"answered_now": none, "declined_now": some}
    assert changes(cases(rows), 0.6, 0.3) == {"answered_now": some, "declined_now": none}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.floats(0.01, 1))
def test_a_bar_never_shuts_out_the_case_that_set_it(scores: list[float], share: float) -> None:
    bar = bar_for(np.array(scores), share)
    assert (np.array(scores) >= bar).sum() >= share * len(scores) - 1e-6
