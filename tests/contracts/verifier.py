"""What every verifier must do. Inherit, and give a `verifier` fixture."""

import asyncio
from typing import get_args

import pytest

from generation.model import DraftSentence, Quote
from generation.ports import Verdict, Verifier
from tests.passages import context

CONTEXT = context("Refunds are issued within 14 days. Refunds of gifts take longer.", "Shipping is free.")


class VerifierContract:
    """Only what is cited can support, and what stands there word for word does. A verifier that cannot tell says so:
    `unchecked` has no score, nothing that a generator may draft makes it raise, and evidence stands in what is cited.
    Those that say a word and no probability are not `scoring`."""

    scoring = True

    def judge(
        self, verifier: Verifier, text: str, *cited: int, quotes: tuple[Quote, ...] = ()
    ) -> tuple[str, float | None]:
        judged = asyncio.run(verifier.judge(DraftSentence(text, cited, quotes), CONTEXT))
        for n, start, end in ((quote.n, quote.start, quote.end) for quote in judged.evidence):
            assert n in {*cited, *(quote.n for quote in quotes)}
            assert CONTEXT.passages[n - 1].text[start:end].strip()
        assert judged.contradiction is None or 0 <= judged.contradiction <= 1
        return judged.verdict, judged.score

    def test_it_has_a_name(self, verifier: Verifier) -> None:
        assert verifier.name

    @pytest.mark.parametrize("cited", [(1,), (2, 1)])
    def test_word_for_word_is_supported(self, verifier: Verifier, cited: tuple[int, ...]) -> None:
        verdict, score = self.judge(verifier, "Refunds are issued within 14 days.", *cited)
        assert verdict == "supported"
        assert score == pytest.approx(1)

    def test_what_a_quote_names_counts_as_cited(self, verifier: Verifier) -> None:
        assert self.judge(verifier, "Shipping is free.", quotes=(Quote(2, 0, 17),))[0] == "supported"

    @pytest.mark.parametrize("cited", [(), (2,), (9,), (0,), (-1,)])
    def test_what_is_not_cited_supports_nothing(self, verifier: Verifier, cited: tuple[int, ...]) -> None:
        assert self.judge(verifier, "Refunds are issued within 14 days.", *cited)[0] != "supported"

    def test_what_contradicts_is_not_supported(self, verifier: Verifier) -> None:
        assert self.judge(verifier, "Refunds are issued within 15 days.", 1)[0] != "supported"

    @pytest.mark.parametrize("text", ["", " ", "?", "x" * 100_000, "🙂", "Refunds [1] (are", "Refunds are\nissued"])
    @pytest.mark.parametrize("cited", [(), (1,), (1, 1, 7)])
    def test_any_sentence_gets_a_verdict(self, verifier: Verifier, text: str, cited: tuple[int, ...]) -> None:
        verdict, score = self.judge(verifier, text, *cited)
        assert verdict in get_args(Verdict)
        assert score is None or verdict != "unchecked"
        assert score is not None or verdict == "unchecked" or not self.scoring
        assert score is None or 0 <= score <= 1
        assert (verdict, score) == self.judge(verifier, text, *cited)
