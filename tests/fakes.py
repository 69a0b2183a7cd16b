"""Deterministic stand-ins that pass the contract suites of what they stand for."""

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from retrieval.errors import EmbedderUnavailable
from retrieval.model import EmbeddedPassage, EmbeddedQuery, Floats

_WORD = re.compile(r"\w+|[^\w\s]")
_SPECIAL = 2


@lru_cache(maxsize=100_000)
def _word_vector(stem: str, dimension: int) -> Floats:
    seed = int.from_bytes(hashlib.blake2b(stem.encode(), digest_size=8).digest())
    vector = np.random.default_rng(seed).standard_normal(dimension).astype(np.float32)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


class FakeEmbedder:
    """A bag of words: a word's vector is drawn from a hash of its first five letters, a text's is the mean of its words'.

    Texts with common words are near, others about orthogonal. A token is a word or a mark; the window is 256 tokens with
    two special ones, and what lies beyond it is invisible, as to the real model. `broken` makes every call fail.
    """

    name = "fake"
    fingerprint = "fakefakefakefake"
    window = 256

    def __init__(self, dimension: int = 128, broken: bool = False) -> None:
        self.dimension = dimension
        self.broken = broken
        self.embedded: list[str] = []  # every passage ever embedded, to count work with

    def load(self) -> "FakeEmbedder":
        return self

    def close(self) -> None:
        """Nothing is held."""

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(_WORD.findall(text)) for text in texts]

    def offsets(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        kept = self.window - _SPECIAL
        return [[(0, 0), *[m.span() for m in _WORD.finditer(text)][:kept], (0, 0)] for text in texts]

    async def embed_query(self, text: str) -> EmbeddedQuery:
        self._check()
        tokens = self._tokens(text)
        return EmbeddedQuery(self._mean(tokens), tokens)

    async def embed_passages(self, texts: Sequence[str]) -> list[EmbeddedPassage]:
        self._check()
        self.embedded += texts
        return [self._passage(text) for text in texts]

    def _passage(self, text: str) -> EmbeddedPassage:
        tokens = self._tokens(text)
        mean = self._mean(tokens)
        return EmbeddedPassage(mean, np.packbits(np.vstack([mean, tokens, mean]) > 0, axis=1))

    def _tokens(self, text: str) -> Floats:
        words = _WORD.findall(text.lower())[: self.window - _SPECIAL]
        vectors = [_word_vector(word[:5], self.dimension) for word in words]
        return np.array(vectors, dtype=np.float32).reshape(-1, self.dimension)

    def _mean(self, tokens: Floats) -> Floats:
        total = tokens.sum(axis=0) + _word_vector("[CLS]", self.dimension) * 1e-3
        return np.asarray(total / np.linalg.norm(total), dtype=np.float32)

    def _check(self) -> None:
        if self.broken:
            raise EmbedderUnavailable("The fake embedder was told to fail.")
