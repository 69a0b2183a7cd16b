"""From a sentence to its claim: what it cites, whether it is cited at all, and when its passages say the opposite."""

import asyncio

import pytest

from generation.bars import ATTRIBUTED_FROM, CONTRADICTED_FROM
from generation.checks import Checks, cite, claim_of
from generation.model import Claim, DraftSentence, Quote
from generation.ports import UNCHECKED, Judged, Verdict
from generation.verify import VerbatimVerifier
from retrieval.model import Context
from tests.passages import context

OVER = context(
    "We are fair 👩‍💻. Refunds are issued within 14 days.\nLate ones take 30.", "Parcels take a month. Post is slow."
)
REFUNDS, PARCELS, POST = Quote(1, 17, 51), Quote(2, 0, 21), Quote(2, 22, 35)


class Fixed:
    """A verifier that says what it was told to, by the passages that are asked about."""

    name = "fixed"

    def __init__(self, *judged: Judged) -> None:
        self.judged = list(judged)
        self.asked: list[tuple[int, ...]] = []

    async def judge(self, sentence: DraftSentence, context: Context) -> Judged:
        self.asked.append(sentence.cited)
        return self.judged.pop(0) if len(self.judged) > 1 else self.judged[0]


def claimed(sentence: DraftSentence, checks: Checks, over: Context = OVER) -> Claim:
    return asyncio.run(claim_of(sentence, 0, 0, over, checks))


def quoted(claim: Claim) -> list[str]:
    return [citation.cited_text for citation in claim.citations]


TOLD = DraftSentence("Money comes back in two weeks.", (1,))


def test_the_span_is_the_one_that_the_verifier_found() -> None:
    """Word overlap alone would quote the sentence on late refunds, or nothing."""
    found = claimed(
        DraftSentence("Late money comes back in two weeks.", (1,)),
        Checks(Fixed(Judged("partial", 0.4, 0.1, (REFUNDS,)))),
    )
    assert quoted(found) == ["Refunds are issued within 14 days."]
    citation = found.citations[0]
    passage = OVER.passages[0]
    assert passage.text[citation.start - passage.start : citation.end - passage.start] == citation.cited_text
    assert (found.status, found.score, found.contradiction) == ("partial", 0.4, 0.1)


def test_several_spans_are_cited_in_the_order_of_the_marks() -> None:
    judged = Judged("supported", 0.99, 0.0, (POST, REFUNDS, PARCELS))
    found = claimed(DraftSentence("Refunds and parcels and post take long.", (1, 2)), Checks(Fixed(judged)))
    assert quoted(found) == ["Refunds are issued within 14 days.", "Post is slow.", "Parcels take a month."]


def test_a_passage_that_does_not_carry_it_is_quoted_where_it_comes_nearest() -> None:
    judged = Judged("supported", 0.99, 0.0, (REFUNDS,))
    assert quoted(claimed(DraftSentence("Refunds take a month.", (1, 2)), Checks(Fixed(judged)))) == [
        "Refunds are issued within 14 days.",
        "Parcels take a month.",
    ]
    nowhere = Judged("unsupported", 0.05, 0.1, (REFUNDS,))
    found = claimed(DraftSentence("Late ones take a year.", (1,)), Checks(Fixed(nowhere)))
    assert (quoted(found), found.status) == (["Late ones take 30."], "unsupported")


def test_a_verifier_that_asks_a_model_is_not_asked_of_what_shares_no_word() -> None:
    dear, free = Fixed(Judged("supported")), Fixed(Judged("supported", 0.97, 0.0, (REFUNDS,)))
    found = claimed(TOLD, Checks(dear, free))
    assert (dear.asked, free.asked) == ([], [(1,)])
    assert (found.status, quoted(found)) == ("supported", ["Refunds are issued within 14 days."])
    assert claimed(TOLD, Checks(dear)).status == "uncited"


def test_the_generators_own_quotes_are_taken_as_they_are() -> None:
    judged = Judged("supported", 0.99, 0.0, (REFUNDS,))
    found = claimed(DraftSentence("Parcels take a month.", (2,), (PARCELS,)), Checks(Fixed(judged)))
    assert quoted(found) == ["Parcels take a month."]


def test_no_span_no_citation() -> None:
    bad = (Quote(0, 0, 1), Quote(3, 0, 1), Quote(1, -1, 1), Quote(1, 2, 2), Quote(1, 0, 9999))
    assert cite(bad, OVER) == ()


class TestAttribution:
    UNMARKED = DraftSentence("Money for returned gifts comes back in two weeks.")

    def found(self, *judged: Judged, sentence: DraftSentence = UNMARKED, bar: float = ATTRIBUTED_FROM) -> Claim:
        return claimed(sentence, Checks(VerbatimVerifier(), Fixed(*judged), bar))

    def test_a_passage_that_clearly_carries_it_is_cited(self) -> None:
        found = self.found(Judged("supported", ATTRIBUTED_FROM, 0.0, (REFUNDS,)))
        assert (found.status, found.score, quoted(found)) == (
            "supported",
            ATTRIBUTED_FROM,
            ["Refunds are issued within 14 days."],
        )

    @pytest.mark.parametrize("score", [ATTRIBUTED_FROM - 1e-6, 0.94, 0.5, None])
    def test_just_below_the_bar_there_is_no_citation(self, score: float | None) -> None:
        found = self.found(Judged("supported", score, 0.0, (REFUNDS,)))
        assert (found.status, found.score, found.citations) == ("uncited", None, ())
        assert found.contradiction is None

    @pytest.mark.parametrize("verdict", ["partial", "unsupported", "unchecked"])
    def test_less_than_supported_is_no_citation_whatever_the_score(self, verdict: Verdict) -> None:
        assert self.found(Judged(verdict, 0.99, 0.0, (REFUNDS,))).status == "uncited"

    def test_one_passage_alone_must_carry_it(self) -> None:
        """Both together reach the bar, and the better one alone does not."""
        both = Judged("supported", 0.99, 0.0, (REFUNDS, PARCELS))
        alone = Judged("partial", 0.6, 0.0, (REFUNDS,))
        checks = Checks(VerbatimVerifier(), attributor := Fixed(both, alone))
        assert claimed(self.UNMARKED, checks).status == "uncited"
        assert attributor.asked == [(1, 2), (1,)]

    @pytest.mark.parametrize("text", ["That is all.", "It is so.", "Yes.", "Slow."])
    def test_a_sentence_of_hardly_any_words_is_carried_by_none(self, text: str) -> None:
        assert self.found(Judged("supported", 1.0, 0.0, (POST,)), sentence=DraftSentence(text)).status == "uncited"

    def test_what_asserts_nothing_is_not_looked_for(self) -> None:
        checks = Checks(VerbatimVerifier(), attributor := Fixed(Judged("supported", 1.0, 0.0, (POST,))))
        assert claimed(DraftSentence("How long do refunds take?", check_required=False), checks).status == "unchecked"
        assert attributor.asked == []

    def test_without_anybody_to_look_there_is_no_citation(self) -> None:
        assert (
            claimed(DraftSentence("Refunds are issued within 14 days."), Checks(VerbatimVerifier())).status == "uncited"
        )

    def test_what_stands_there_word_for_word_is_found_without_a_mark(self) -> None:
        checks = Checks(VerbatimVerifier(), VerbatimVerifier())
        found = claimed(DraftSentence("Parcels take a month."), checks)
        assert (found.status, quoted(found)) == ("supported", ["Parcels take a month."])


class TestContradiction:
    @pytest.mark.parametrize("verdict", ["partial", "unsupported"])
    def test_a_contradiction_is_unsupported_and_says_so(self, verdict: Verdict) -> None:
        found = claimed(
            DraftSentence("Refunds take 15 days.", (1,)), Checks(Fixed(Judged(verdict, 0.3, CONTRADICTED_FROM)))
        )
        assert (found.status, found.contradicted, found.contradiction) == ("unsupported", True, CONTRADICTED_FROM)

    @pytest.mark.parametrize("against", [CONTRADICTED_FROM - 1e-6, 0.0, None])
    def test_less_is_none(self, against: float | None) -> None:
        found = claimed(DraftSentence("Refunds take 15 days.", (1,)), Checks(Fixed(Judged("partial", 0.3, against))))
        assert (found.status, found.contradicted, found.contradiction) == ("partial", False, against)

    @pytest.mark.parametrize("judged", [Judged("supported", 0.99, 0.99), UNCHECKED])
    def test_what_is_supported_or_not_judged_is_not_contradicted(self, judged: Judged) -> None:
        assert not claimed(DraftSentence("Refunds take 14 days.", (1,)), Checks(Fixed(judged))).contradicted
