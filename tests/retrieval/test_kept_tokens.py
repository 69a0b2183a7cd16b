"""What was read into tokens to be counted is not read again to be embedded, and the vectors are the same to the bit."""

import asyncio
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.ports import PassageCounter
from retrieval.adapters.kept_tokens import Ids, KeptTokens
from retrieval.adapters.model_folder import ModelChoice
from retrieval.adapters.sentence_transformers import SentenceTransformersEmbedder
from retrieval.model import EmbeddedPassage
from tests.contracts.embedder import TEXTS

LONG = "word " * 1000


def ids(*numbers: int) -> Ids:
    return np.array(numbers, dtype=np.int64)


class TestKept:
    def test_what_is_taken_is_kept_no_longer(self) -> None:
        kept = KeptTokens()
        kept.keep([("a", ids(1, 2)), ("b", ids(3))])
        assert {text: list(row) for text, row in kept.take(["a", "c"]).items()} == {"a": [1, 2]}
        assert kept.take(["a"]) == {}
        assert list(kept.take(["b"])["b"]) == [3]

    def test_of_too_many_those_go_that_were_kept_first(self) -> None:
        kept = KeptTokens(most_pieces=4)
        kept.keep([("a", ids(1, 2)), ("b", ids(3, 4))])
        kept.keep([("a", ids(1, 2))])  # kept anew, and counted once
        kept.keep([("c", ids(5))])
        assert set(kept.take("abc")) == {"a", "c"}
        kept.keep([("d", ids(1, 2, 3, 4, 5))])
        assert kept.take("abcd") == {}


@pytest.fixture(scope="module")
def real() -> Iterator[SentenceTransformersEmbedder]:
    embedder = SentenceTransformersEmbedder(1).load()
    yield embedder
    embedder.close()


def embedded(embedder: SentenceTransformersEmbedder, texts: Sequence[str]) -> list[EmbeddedPassage]:
    return asyncio.run(embedder.embed_passages(texts))


def same(one: Sequence[EmbeddedPassage], other: Sequence[EmbeddedPassage]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(np.array_equal(a.vector, b.vector) and np.array_equal(a.bits, b.bits) for a, b in pairs)


@pytest.mark.models
class TestEmbedder:
    def test_vectors_are_the_same_to_the_bit(self, real: SentenceTransformersEmbedder) -> None:
        texts = [*TEXTS, LONG, TEXTS[0]]
        before = embedded(real, texts)
        assert isinstance(real, PassageCounter)
        assert real.count_passages(texts) == real.count(texts)
        assert same(embedded(real, texts), before)
        assert same(embedded(real, texts), before)

    def test_they_need_no_tokenizer(self, real: SentenceTransformersEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
        before = embedded(real, TEXTS)
        real.count_passages(TEXTS)
        monkeypatch.setitem(real.__dict__, "_tokenizer", None)
        assert same(embedded(real, TEXTS), before)

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.text(max_size=60), max_size=4))
    def test_whatever_the_text(self, real: SentenceTransformersEmbedder, texts: list[str]) -> None:
        fresh = [list(row) for row in real._rows(texts)]
        assert real.count_passages(texts) == real.count(texts)
        assert [list(row) for row in real._rows(texts)] == fresh

    def test_a_prefix_is_embedded_too(self) -> None:
        """Counted without it, so what was read then is not all of it."""
        prefixed = SentenceTransformersEmbedder(1, model=ModelChoice(passage_prefix="passage: ")).load()
        try:
            before = embedded(prefixed, TEXTS)
            assert prefixed.count_passages(TEXTS) == prefixed.count(TEXTS)
            assert same(embedded(prefixed, TEXTS), before)
        finally:
            prefixed.close()
