"""What every embedder must do. Inherit, and give an `embedder` fixture; one with token vectors passes TokenVectorContract."""

import asyncio

import numpy as np
import pytest

from retrieval.model import EmbeddedPassage

TEXTS = [
    "A short one.",
    "The reranker reads the twenty best candidates and gives them a new order.",
    "",
    "Paris is the capital of France. " * 12,
    "Two words",
    "Überraschung: naïve café, 東京タワー, and a 🙂 face.",
]


class EmbedderContract:
    def passages(self, embedder, texts) -> list[EmbeddedPassage]:
        return asyncio.run(embedder.embed_passages(texts))

    def test_it_says_what_it_is(self, embedder):
        assert embedder.name
        assert len(embedder.fingerprint) >= 16
        assert embedder.dimension % 8 == 0
        assert embedder.window > 2

    def test_counts_tokens_without_cutting(self, embedder):
        assert embedder.count([]) == []
        empty, word, many = embedder.count(["", "word", "word " * 1000])
        assert empty == 0 < word
        assert 1000 <= many <= 2000 * word

    def test_a_question_has_a_unit_vector(self, embedder):
        query = asyncio.run(embedder.embed_query("Which file formats are read?"))
        assert query.vector.shape == (embedder.dimension,)
        assert query.tokens.shape[1:] == (embedder.dimension,)
        assert query.vector.dtype == query.tokens.dtype == np.float32
        assert np.linalg.norm(query.vector) == pytest.approx(1, abs=1e-3)

    def test_a_question_without_tokens_has_none(self, embedder):
        query = asyncio.run(embedder.embed_query(""))
        assert query.tokens.shape == (0, embedder.dimension)
        assert np.linalg.norm(query.vector) == pytest.approx(1, abs=1e-3)

    def test_no_texts_no_vectors(self, embedder):
        assert self.passages(embedder, []) == []

    def test_passages_come_in_order_whatever_the_batch(self, embedder):
        together = self.passages(embedder, TEXTS)
        for text, passage in zip(TEXTS, together, strict=True):
            alone = self.passages(embedder, [text])[0]
            assert float(alone.vector @ passage.vector) > 0.998
            assert alone.bits.shape == passage.bits.shape
            assert np.unpackbits(alone.bits ^ passage.bits).sum() <= 0.02 * 8 * passage.bits.size

    def test_like_is_near_like(self, embedder):
        query = asyncio.run(embedder.embed_query("Where is the capital of France?")).vector
        near, far = self.passages(embedder, ["Paris is the capital of France.", "Bolts are sold by weight."])
        assert float(query @ near.vector) > float(query @ far.vector) + 0.2

    def test_vectors_do_not_keep_a_batch_alive(self, embedder):
        passage = self.passages(embedder, TEXTS)[0]
        assert passage.vector.base is None or passage.vector.base.size <= 10 * embedder.dimension


class TokenVectorContract(EmbedderContract):
    """Of an embedder that late interaction can read: a vector for each token, and where the token stands."""

    def test_counts_exactly(self, embedder):
        assert embedder.count(["", "word", "word " * 1000]) == [0, 1, 1000]

    def test_a_question_has_unit_vectors_for_its_tokens(self, embedder):
        query = asyncio.run(embedder.embed_query("Which file formats are read?"))
        assert len(query.tokens) == embedder.count(["Which file formats are read?"])[0]
        assert np.linalg.norm(query.tokens, axis=1) == pytest.approx(1, abs=1e-3)

    def test_a_question_longer_than_the_window_is_cut(self, embedder):
        query = asyncio.run(embedder.embed_query("word " * 1000))
        assert len(query.tokens) == embedder.window - 2

    def test_bits_have_a_row_for_each_offset(self, embedder):
        texts = [*TEXTS, "word " * 1000]
        spans = embedder.offsets(texts)
        for text, row, passage in zip(texts, spans, self.passages(embedder, texts), strict=True):
            assert passage.bits.shape == (len(row), embedder.dimension // 8)
            assert passage.bits.dtype == np.uint8
            assert len(row) == min(embedder.count([text])[0] + 2, embedder.window)
            assert row[1:-1] == sorted(row[1:-1])
            assert all(0 <= start <= end <= len(text) for start, end in row)

    def test_offsets_point_at_the_words(self, embedder):
        text = "Rollo swore fealty"
        assert [text[a:b] for a, b in embedder.offsets([text])[0]][1:6][0].lower().startswith("rol")
