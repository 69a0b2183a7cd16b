"""Which passages are versions of one rule, and which only look alike."""

from datetime import timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.model import Passage
from retrieval.versions import are_versions, latest, masked
from tests.passages import passage

RULE = "Refunds are issued within {days} days of the order, to the card that was charged, and {who} is told by e-mail."
BAR = 0.9


def version(n: int, days: object = 14, who: str = "Ada Lovelace", age: float = 0.0, **more: object) -> Passage:
    made = passage("")
    fields = {"title": f"Refund policy 20{20 + n}", "modified_at": made.modified_at - timedelta(days=age), **more}
    return passage(RULE.format(days=days, who=who), n, **fields)


def test_numbers_dates_and_names_are_masked() -> None:
    said, values = masked("On 1 May 2024 the fee rose to $12.50, says Ada Lovelace. Customers pay ten percent.")
    assert values == ("1", "may", "2024", "$", "12.50", "ada", "lovelace", "ten")
    assert said == "on _ the fee rose to _ says _ customers pay _ percent"


@pytest.mark.parametrize(("days", "who"), [(30, "Ada Lovelace"), ("thirty", "Ada Lovelace"), (14, "Grace Hopper")])
def test_the_same_with_another_number_or_name_is_a_version(days: object, who: str) -> None:
    assert are_versions(version(1), version(2, days, who, age=2), BAR)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (version(2, 14, age=2), "it says the very same"),
        (version(2, 30, age=0.5), "their dates tell nothing"),
        (version(1, 30, age=2, document_id="doc_1"), "it is the same document"),
        (version(2, 30, age=2, title="Shipping policy 2022"), "the documents are called otherwise"),
        (passage("Refunds take 30 days.", 2, title="Refund policy 2022"), "it says something else"),
    ],
)
def test_what_only_looks_alike_is_none(other: Passage, why: str) -> None:
    assert not are_versions(version(1), other, BAR), why


def test_documents_that_are_called_by_a_number_alone_are_no_versions() -> None:
    assert not are_versions(version(1, title="2021"), version(2, 30, age=2, title="2021"), BAR)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_of_three_the_newest_stays_however_they_rank(order: tuple[int, ...]) -> None:
    three = [version(1, 10, age=700), version(2, 20, age=350), version(3, 30)]
    kept, left_out = latest([three[i] for i in order], BAR)
    assert kept == [three[2]]
    assert {left.passage.id for left in left_out} == {three[0].id, three[1].id}
    assert {left.reason for left in left_out} == {"superseded"}


def test_a_question_that_names_the_older_one_gets_both() -> None:
    newer, older = version(2, 14), version(1, 30, age=300)
    assert latest([newer, older], BAR, "What was the refund policy of 2021?")[0] == [newer, older]
    assert latest([newer, older], BAR, "Are refunds paid within 30 days?")[0] == [newer, older]
    assert latest([newer, older], BAR, "Are refunds paid within 99 days?")[0] == [newer]


SAID = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(0, 900)), max_size=8)


@given(SAID)
def test_nothing_is_lost_and_nothing_newer_goes(drawn: list[tuple[int, int, int]]) -> None:
    passages = [
        version(n, days, age=age, document_id=f"d{document}", title="Refund policy")
        for n, (document, days, age) in enumerate(drawn, 1)
    ]
    kept, left_out = latest(passages, BAR)
    assert sorted([*(p.id for p in kept), *(left.passage.id for left in left_out)]) == sorted(p.id for p in passages)
    for left in left_out:
        assert any(p.modified_at - left.passage.modified_at >= timedelta(days=1) for p in passages)
    newest = max((p.modified_at for p in passages), default=None)
    assert not passages or any(p.modified_at == newest for p in kept)
