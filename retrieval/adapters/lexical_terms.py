"""The terms of BM25: words as the engine takes them apart, and identifiers as they stand. One place for documents and
questions, and for every backend of BM25, so that what is asked for is looked for as it was written down.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import qdrant_edge as edge

from retrieval.identifiers import identifiers

FORMAT = 2  # of terms and weights; what was written with another is made anew. 2: identifiers, names of files
K1, B = 1.2, 0.75
# BM25's mean document length in terms. Fixed, since the engine weighs terms when they are written; chunks of at most
# 256 word pieces have about this many words that count, and nDCG is flat around it (`grounded eval beir`).
MEAN_TERMS = 100.0
_COUNTING = 1e9  # with a saturation this high and no norm for length, the weight of a term is how often it stands there
_IDENTIFIER = 1 << 31  # the engine's own terms are below


@dataclass(frozen=True, slots=True)
class Terms:
    """How often each term stands in a text. `length` counts its words alone: an identifier stands where some of them do, and
    a text that has many is not longer for it (Lucene's `discountOverlaps`)."""

    counts: Mapping[int, int]
    length: int

    @property
    def weights(self) -> dict[int, float]:
        """BM25 without idf (Robertson and Zaragoza 2009): tf (k1 + 1) / (tf + k1 (1 - b + b length / mean))."""
        norm = K1 * (1 - B + B * self.length / MEAN_TERMS)
        return {term: tf * (K1 + 1) / (tf + norm) for term, tf in self.counts.items()}


class Lexicon:
    """English words without stop words, stemmed; of other languages their words as they are."""

    def __init__(self) -> None:
        self._words = edge.Bm25(edge.Bm25Config(language="english", k=_COUNTING, b=0.0))

    def document(self, text: str) -> Terms:
        """The terms of an indexed text."""
        found = self._words.embed_document(text)
        words = {term: round(weight) for term, weight in zip(found.indices, found.values, strict=True)}
        named = Counter(map(_term, identifiers(text)))
        return Terms({**words, **named}, sum(words.values()))

    def question(self, text: str) -> list[int]:
        """The terms of a question, each once."""
        found = self._words.embed_query(text).indices
        return [*found, *dict.fromkeys(map(_term, identifiers(text)))]


@lru_cache(maxsize=8192)
def _term(identifier: str) -> int:
    """Two identifiers share a number once in a corpus of some 50,000 of them (31 bits)."""
    digest = hashlib.blake2b(identifier.encode("utf-8", "surrogatepass"), digest_size=4).digest()
    return int.from_bytes(digest) | _IDENTIFIER
