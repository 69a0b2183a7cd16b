import asyncio

import pytest

from generation.model import DraftSentence, Quote
from generation.verify import VerbatimVerifier, find_verbatim, place
from tests.contracts.verifier import VerifierContract
from tests.fakes import WordVerifier
from tests.passages import context

REFUNDS = "Our shop is old. Refunds are issued\nwithin 14 days. Refunds of gifts take longer."
CONTEXT = context(REFUNDS, "Shipping is free. Port 80.5 is odd.", "的退款需要十四天。运费免费。")


def quoted(sentence: str, *cited: int) -> list[str]:
    return [CONTEXT.passages[q.n - 1].text[q.start : q.end] for q in place(sentence, cited, CONTEXT)]


def judge(text: str, *cited: int) -> tuple[str, float | None]:
    judged = asyncio.run(VerbatimVerifier().judge(DraftSentence(text, cited), CONTEXT))
    return judged.verdict, judged.score


class TestVerbatim(VerifierContract):
    @pytest.fixture
    def verifier(self) -> VerbatimVerifier:
        return VerbatimVerifier()


class TestWords(VerifierContract):
    @pytest.fixture
    def verifier(self) -> WordVerifier:
        return WordVerifier()


def test_white_space_is_no_difference() -> None:
    assert judge("Refunds are  issued within 14 days.", 1) == ("supported", 1.0)


@pytest.mark.parametrize(
    ("text", "cited"),
    [
        ("Refunds are issued within 15 days.", (1,)),
        ("Refunds are issued within 14 days.", (2,)),
        ("Port 80.", (2,)),
        ("", (1,)),
    ],
)
def test_of_all_else_nothing_is_claimed(text: str, cited: tuple[int, ...]) -> None:
    assert judge(text, *cited) == ("unchecked", None)


def test_whole_words_only() -> None:
    assert find_verbatim("art of", "part of it, art of it") == (12, 18)
    assert find_verbatim("a.c", "abc") is None


def test_the_best_sentence_is_quoted() -> None:
    assert quoted("A refund is issued in 14 days.", 1) == ["Refunds are issued\nwithin 14 days."]
    assert quoted("Refunds are issued within 14 days.", 1) == ["Refunds are issued\nwithin 14 days."]
    assert quoted("退款要十四天。", 3) == ["的退款需要十四天。"]


def test_ties_go_to_the_earliest() -> None:
    found = context("Alpha beta. Alpha beta.")
    assert place("The alpha.", (1,), found) == (Quote(1, 0, 11),)


def test_one_quote_a_passage_in_the_order_cited() -> None:
    assert [q.n for q in place("Free refunds in 14 days.", (2, 1, 2, 7), CONTEXT)] == [2, 1]


def test_nothing_in_common_is_no_quote() -> None:
    assert quoted("Bananas grow.", 1, 2) == []
    assert quoted("It is in the", 2) == []
    assert quoted("!!!", 1) == []
