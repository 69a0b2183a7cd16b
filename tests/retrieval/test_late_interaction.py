"""MaxSim against a slow and obvious twin, and what is built on it."""

import asyncio
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.model import embedded_text, header_text
from retrieval.adapters.late_interaction import (
    LateInteractionReranker,
    LateInteractionScorer,
    maxsim,
    similarities,
)
from retrieval.errors import EmbedderUnavailable, RerankerUnavailable
from retrieval.model import EmbeddedQuery, Hit, Passage
from tests.contracts.reranker import RerankerContract
from tests.fakes import FakeEmbedder


def passage(name, text, bits=None, title="", headings=()) -> Passage:
    return Passage(
        hit=Hit(name, {}),
        document_id="d",
        collection_id="c",
        version=1,
        ordinal=0,
        name="notes.md",
        title=title,
        media_type="text/markdown",
        heading_path=headings,
        page=None,
        line=None,
        cell=None,
        start=0,
        end=len(text),
        text=text,
        modified_at=datetime(2026, 1, 1, tzinfo=UTC),
        bits=bits,
    )


def vectors(rng, n, d):
    rows = rng.normal(size=(n, d)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def slow_maxsim(query, bits):
    """As the formula reads: for each question token the best of the passage's unit sign vectors; the mean of those."""
    total = 0.0
    for q in query:
        best = -1.0
        for row in bits:
            signs = [1.0 if bit else -1.0 for bit in np.unpackbits(row)]
            best = max(best, sum(a * b for a, b in zip(q.tolist(), signs, strict=True)) / len(signs) ** 0.5)
        total += best
    return total / len(query)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_maxsim_equals_its_slow_twin(seed, tokens, lengths):
    rng = np.random.default_rng(seed)
    query = vectors(rng, tokens, 24)
    bits = [np.packbits(vectors(rng, n, 24) > 0, axis=1) for n in lengths]
    assert maxsim(query, bits) == pytest.approx([slow_maxsim(query, b) for b in bits], abs=1e-5)


def test_a_passage_that_holds_the_question_scores_highest():
    rng = np.random.default_rng(1)
    query, other = vectors(rng, 4, 64), vectors(rng, 9, 64)
    same, with_more = np.packbits(query > 0, axis=1), np.packbits(np.vstack([other, query]) > 0, axis=1)
    scores = maxsim(query, [np.packbits(other > 0, axis=1), same, with_more])
    assert scores[0] < scores[1] <= scores[2] <= 1


def test_no_tokens_score_minus_one():
    rng = np.random.default_rng(2)
    bits = np.packbits(vectors(rng, 3, 16) > 0, axis=1)
    scores = maxsim(vectors(rng, 2, 16), [np.zeros((0, 2), np.uint8), bits, np.zeros((0, 2), np.uint8)])
    assert scores[0] == scores[2] == -1 < scores[1]
    assert maxsim(np.zeros((0, 16), np.float32), [bits]).tolist() == [-1]
    assert maxsim(vectors(rng, 2, 16), []).shape == (0,)


def test_similarities_of_signs_are_cosines():
    signs = np.where(vectors(np.random.default_rng(3), 5, 32) > 0, 1, -1).astype(np.float32) / 32**0.5
    table = similarities(signs, np.packbits(signs > 0, axis=1))
    assert np.diag(table) == pytest.approx(1, abs=1e-6)
    assert table == pytest.approx(signs @ signs.T, abs=1e-6)


class TestReranker(RerankerContract):
    @pytest.fixture
    def reranker(self):
        return LateInteractionReranker()

    def test_passages_without_bits_keep_their_order_at_the_end(self, reranker):
        passages = [passage("x", "?"), *self.stored("Bolts."), passage("y", "?")]
        assert [r.id for r in self.rerank(reranker, passages)] == ["src-1", "x", "y"]

    def test_bits_of_another_dimension_are_an_error(self, reranker):
        with pytest.raises(RerankerUnavailable):
            self.rerank(reranker, [passage("a", "x", np.zeros((3, 2), np.uint8))])


class TestScorer:
    TEXT = "Rollo swore fealty. Bolts are sold by weight."
    SPANS = ((0, 19), (20, 45))

    def matches(self, passages, spans=SPANS, embedder=None, question="Who swore fealty?"):
        embedder = embedder or FakeEmbedder()
        query = asyncio.run(FakeEmbedder().embed_query(question))
        return asyncio.run(LateInteractionScorer(embedder).matches(query, passages, [spans] * len(passages)))

    def stored(self, title="", headings=()):
        whole = embedded_text(header_text(title, headings), self.TEXT)
        bits = asyncio.run(FakeEmbedder().embed_passages([whole]))[0].bits
        return passage("p", self.TEXT, bits, title, headings)

    @pytest.mark.parametrize("headings", [(), ("Normans",), ("Normans", "Fealty sworn")])
    def test_each_span_is_matched_by_its_own_tokens_alone(self, headings):
        found = self.matches([self.stored("History", headings)])[0]
        assert found.shape == (2, 4)
        assert found[0, 1:3].min() > 0.7  # "swore fealty" stands in the first sentence,
        assert found[1, 1:3].max() < 0.5  # not in the second, whatever the header says

    def test_missing_or_foreign_bits_are_made_now(self):
        embedder = FakeEmbedder()
        stale = passage("s", self.TEXT, np.zeros((3, 16), np.uint8))
        stored, absent, mended = self.matches([self.stored(), passage("a", self.TEXT), stale], embedder=embedder)
        assert np.array_equal(stored, absent)
        assert np.array_equal(stored, mended)
        assert embedder.embedded == [self.TEXT] * 2

    def test_spans_without_tokens_match_nothing(self):
        long = "word " * 400
        found = self.matches([passage("l", long)], spans=((0, 4), (1990, 1994)))[0]
        assert found[1].tolist() == [-1] * 4
        assert self.matches([self.stored()], spans=())[0].shape == (0, 4)

    def test_a_question_without_tokens(self):
        assert self.matches([self.stored()], question="")[0].shape == (2, 0)

    def test_a_broken_embedder_is_told(self):
        with pytest.raises(EmbedderUnavailable):
            self.matches([passage("a", self.TEXT)], embedder=FakeEmbedder(broken=True))

    @pytest.mark.models
    def test_the_real_tokens_line_up(self):
        from retrieval.adapters.sentence_transformers import SentenceTransformersEmbedder

        embedder = SentenceTransformersEmbedder()
        query: EmbeddedQuery = asyncio.run(embedder.embed_query("Who swore fealty?"))
        stored = asyncio.run(embedder.embed_passages([f"Normans\n{self.TEXT}"]))[0]
        passages = [passage("p", self.TEXT, stored.bits, "Normans")]
        found = asyncio.run(LateInteractionScorer(embedder).matches(query, passages, [self.SPANS]))[0]
        embedder.close()
        assert found.mean(axis=1)[0] > found.mean(axis=1)[1] + 0.2
