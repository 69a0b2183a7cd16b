"""What is measured of a question and of what was found for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.complexity import Features, agreement, documents_needed, measure, questions
from retrieval.model import Arm, Context, Hit, Passage, Place
from tests.passages import context, passage

NOTHING = Context((), (), 0)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Which port does the service listen on?", 1),
        ("port", 1),
        ("", 1),
        ("When a file fails, what happens to the others?", 1),
        ("When is a file read again?", 1),
        ("What is a chunk, and how large can it be?", 2),
        ("What causes it, which settings help, and what do they cost?", 3),
        ("How do I stop it? Does it lose anything? Where is the log?", 3),
        ("Is it kept, or is it deleted?", 2),
        ("Does it keep files that fail and can be read again?", 1),
    ],
)
def test_questions_are_counted_by_how_they_begin(text: str, count: int) -> None:
    assert questions(text) == count


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Compare the two strategies.", "comparison"),
        ("What is the difference between a job and a batch?", "comparison"),
        ("Should I use the server instead of the embedded engine?", "comparison"),
        ("Give me an overview of the limits.", "breadth"),
        ("How do I change the port?", "procedure"),
        ("Write a Python script that uploads a file.", "code"),
        ("What does `[a for a in b]` do?", "code"),
    ],
)
def test_a_form_is_told(text: str, name: str) -> None:
    plain = measure("Which port is used?", NOTHING)
    assert getattr(measure(text, NOTHING), name) is True
    assert getattr(plain, name) is False


def test_words_that_ask_for_reasons_are_counted_once_each() -> None:
    assert measure("Why, and why again, and what are the consequences?", NOTHING).reasoning == 2
    assert measure("Which port is used?", NOTHING).reasoning == 0


def test_earlier_questions_count_and_answers_do_not() -> None:
    history = (("user", "One?"), ("assistant", "Yes."), ("user", "Two?"))
    assert measure("And three?", NOTHING, history).turns == 2  # type: ignore[arg-type]


class TestDocumentsNeeded:
    def test_one_that_holds_all_is_enough(self) -> None:
        passages = context(
            "Refunds take 14 days.", "Parcels take 30 days.", "Refunds and parcels are insured."
        ).passages
        assert documents_needed("How are refunds and parcels insured?", passages) == 1

    def test_two_that_hold_a_half_each_are_two(self) -> None:
        passages = context("Refunds are slow.", "Parcels are heavy.").passages
        assert documents_needed("How slow are refunds and how heavy parcels?", passages) == 2

    def test_passages_of_one_document_are_one(self) -> None:
        passages = (passage("Refunds are slow.", 1), passage("Parcels are heavy.", 2, document_id="doc_1"))
        assert documents_needed("How slow are refunds and how heavy parcels?", passages) == 1

    @given(st.text(max_size=80), st.lists(st.text(max_size=80), max_size=6))
    def test_never_more_than_there_are(self, question: str, texts: list[str]) -> None:
        assert 1 <= documents_needed(question, context(*texts).passages) <= max(1, len(texts))


def placed(n: int, **ranks: int) -> Passage:
    places: dict[Arm, Place] = {arm: Place(rank, 0.5) for arm, rank in ranks.items()}  # type: ignore[misc]
    return passage("Text.", n, hit=Hit(f"src-{n}", places))


class TestAgreement:
    def test_all_put_one_first(self) -> None:
        assert agreement((placed(1, dense=1, bm25=1, rerank=1), placed(2, dense=2, bm25=2, rerank=2))) == 1.0

    def test_each_puts_another_first(self) -> None:
        found = agreement((placed(1, dense=1, bm25=4), placed(2, dense=4, bm25=1)))
        assert found == pytest.approx((1 + 1 / 4) / 2)

    def test_one_that_an_arm_did_not_find(self) -> None:
        assert agreement((placed(1, dense=1), placed(2, bm25=1))) == pytest.approx(0.5)

    @pytest.mark.parametrize("passages", [(), (placed(1, dense=1),), (placed(1, fused=1),)])
    def test_there_is_none_with_one_search(self, passages: tuple[Passage, ...]) -> None:
        assert agreement(passages) is None


@given(st.text(max_size=2000))
def test_whatever_is_asked_can_be_measured(text: str) -> None:
    found = measure(text, NOTHING)
    assert found.questions >= 1
    assert min(found.words, found.reasoning, found.conditions) >= 0


def test_a_long_line_of_anything_is_measured_at_once() -> None:
    for text in ("between " * 5000, "write " * 5000, "when a " * 5000, "whether " * 5000, "`" * 20_000):
        assert isinstance(measure(text, NOTHING), Features)
