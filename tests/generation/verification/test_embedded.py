import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from generation.model import DraftSentence
from generation.ports import UNCHECKED, ReadSentence
from generation.verification.embedded import EmbeddedVerifier, Judgement
from generation.verification.judgement import packaged
from retrieval.adapters.late_interaction import LateInteractionScorer
from retrieval.errors import EmbedderUnavailable
from tests.contracts.verifier import VerifierContract
from tests.fakes import FakeEmbedder
from tests.passages import context

REFUNDS = "Refunds are issued within 14 days of the return. Gifts are never refunded. The shop in Oslo opened in 1999."


class Reader:
    """The sentence reader over an embedder."""

    def __init__(self, embedder: FakeEmbedder) -> None:
        self._embedder = embedder

    async def read(self, sentence: str) -> ReadSentence:
        query = await self._embedder.embed_query(sentence)
        [spans] = self._embedder.offsets([sentence])
        return ReadSentence(query, tuple(spans[1:-1]))


def verifier(*, broken: bool = False) -> EmbeddedVerifier:
    embedder = FakeEmbedder(broken=broken)
    return EmbeddedVerifier(Reader(embedder), LateInteractionScorer(embedder))


def examined(text: str, *passages: str, broken: bool = False) -> Judgement:
    cited = list(enumerate(context(*(passages or (REFUNDS,))).passages, start=1))
    found = asyncio.run(verifier(broken=broken).examined(text, cited))
    assert found is not None
    return found


class TestEmbedded(VerifierContract):
    @pytest.fixture
    def verifier(self) -> EmbeddedVerifier:
        return verifier()


class TestWithoutVectors(VerifierContract):
    @pytest.fixture
    def verifier(self) -> EmbeddedVerifier:
        return verifier(broken=True)


def test_a_quotation_is_certain_and_its_span_is_told() -> None:
    found = examined("Gifts are never refunded.")
    assert (found.verdict, found.support, found.contradiction) == ("supported", 1.0, 0.0)
    [quote] = found.evidence
    assert REFUNDS[quote.start : quote.end] == "Gifts are never refunded."


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "Refunds are issued within 15 days of the return.",
        "Refunds are issued within 14 hours of the return.",
        "Refunds are not issued within 14 days of the return.",
        "Gifts are always refunded.",
        "The shop in Bergen opened in 1999.",
        "The shop in Oslo opened in 1989.",
    ],
)
def test_a_quotation_that_was_changed_is_not_supported(text: str, broken: bool) -> None:
    assert examined(text, broken=broken).verdict != "supported"


def test_the_evidence_is_the_statement_that_carries_it() -> None:
    found = examined("In 1999 the shop in Oslo opened.")
    first = found.evidence[0]
    assert REFUNDS[first.start : first.end] == "The shop in Oslo opened in 1999."


def test_a_contradiction_is_told_from_lack_of_support() -> None:
    opposite = examined("Gifts are surely refunded.", "Gifts are not refunded.")
    silent = examined("Bananas grow in the garden.", "Gifts are refunded at once.")
    assert opposite.contradiction > silent.contradiction


def test_of_what_cannot_be_a_sentence_nothing_is_claimed() -> None:
    sentence = DraftSentence("x" * 100_000, (1,))
    assert asyncio.run(verifier().judge(sentence, context(REFUNDS))) == UNCHECKED


def test_thresholds_are_in_order() -> None:
    judge = packaged()
    assert 0 < judge.partial < judge.supported < 1
    assert [judge.verdict(p) for p in (0.0, judge.partial, judge.supported)] == ["unsupported", "partial", "supported"]


def test_matches_of_vectors_that_do_not_fit_are_left_out() -> None:
    class Short(Reader):
        async def read(self, sentence: str) -> ReadSentence:
            whole = await super().read(sentence)
            return ReadSentence(whole.query, whole.spans[:-1])

    embedder = FakeEmbedder()
    short = EmbeddedVerifier(Short(embedder), LateInteractionScorer(embedder))
    cited = list(enumerate(context(REFUNDS).passages, start=1))
    one = asyncio.run(short.examined("Gifts are refunded never.", cited))
    other = asyncio.run(verifier(broken=True).examined("Gifts are refunded never.", cited))
    assert one == other


def test_passages_that_cannot_be_scored_are_read_by_their_words() -> None:
    class Broken:
        async def matches(self, query: object, passages: Sequence[object], spans: Sequence[object]) -> list[np.ndarray]:
            raise EmbedderUnavailable("gone")

    cited = list(enumerate(context(REFUNDS).passages, start=1))
    found = asyncio.run(EmbeddedVerifier(Reader(FakeEmbedder()), Broken()).examined("Gifts are refunded never.", cited))
    assert found == asyncio.run(verifier(broken=True).examined("Gifts are refunded never.", cited))
