"""BM25 by the library rank-bm25, for small corpora: every text is scored for every question, with nothing on disk.

Terms, weights and statistics are those of the engine, so both rank alike, and each is a check of the other. What differs is
the library's idf, which is negative for words that stand in more than half of the texts, and so here is the engine's.
"""

import asyncio
import math
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog
from rank_bm25 import BM25Okapi

from retrieval.adapters.lexical_terms import K1, MEAN_TERMS, B, Lexicon, Terms
from retrieval.errors import IndexUnavailable
from retrieval.matching import passes
from retrieval.model import Query, Ranked, Scope
from retrieval.ports import LexicalEntry, LiveCorpus

_SCOPES = 16  # whose statistics are kept; those that were asked for least recently go first


class _Okapi(BM25Okapi):  # type: ignore[misc]  # the library has no types
    """idf = ln(1 + (N - n + 0.5) / (n + 0.5)) for a term in n of N texts, as in Lucene and in the engine."""

    def __init__(self, texts: Sequence[Terms]) -> None:
        super().__init__([list(Counter(text.counts).elements()) for text in texts], k1=K1, b=B)
        self.doc_len = [text.length for text in texts]
        self.avgdl = MEAN_TERMS

    def _calc_idf(self, nd: Mapping[int, int]) -> None:
        self.idf = {term: math.log(1 + (self.corpus_size - n + 0.5) / (n + 0.5)) for term, n in nd.items()}


@dataclass(frozen=True, slots=True)
class _Shelf:
    """What one scope may read of a collection, at the moment of `stamp`."""

    stamp: str
    entries: tuple[LexicalEntry, ...]
    okapi: _Okapi | None  # the library knows no empty corpus


class RankBm25Index:
    """LexicalIndex over the live chunks of the catalog, read again when the catalog has changed."""

    def __init__(self, corpus: LiveCorpus, most_chunks: int) -> None:
        """A collection of more than `most_chunks` is not searched: a question would take too long, and the memory of all of
        its terms."""
        self._corpus = corpus
        self._most = most_chunks
        self._lexicon = Lexicon()
        self._shelves: OrderedDict[Scope, _Shelf] = OrderedDict()
        self._refused: dict[str, str] = {}  # stamp by collection
        self._reading = asyncio.Lock()  # questions that come while the catalog is read wait for it, and read it once

    async def search_lexical(self, query: Query, limit: int) -> list[Ranked]:
        """Scope and filters decide what is ranked at all; statistics are those of the scope. Raises IndexUnavailable for a
        collection that is too large."""
        terms = self._lexicon.question(query.text)
        if not terms:
            return []
        shelf = await self._shelf(query.scope)
        return await asyncio.to_thread(_best, shelf, terms, query, limit)

    async def _shelf(self, scope: Scope) -> _Shelf:
        async with self._reading:
            stamp = await self._corpus.stamp(scope.collection_id)
            shelf = self._shelves.get(scope)
            if shelf is None or shelf.stamp != stamp:
                await self._check_size(scope, stamp)
                entries = await self._corpus.entries(scope.collection_id)
                shelf = await asyncio.to_thread(self._filled, stamp, entries, scope)
            self._shelves[scope] = shelf
            self._shelves.move_to_end(scope)
            if len(self._shelves) > _SCOPES:
                self._shelves.popitem(last=False)
            return shelf

    async def _check_size(self, scope: Scope, stamp: str) -> None:
        size = await self._corpus.size(scope.collection_id)
        if size <= self._most:
            return
        if self._refused.get(scope.collection_id) != stamp:  # once, and not at every question
            structlog.get_logger().warning("lexical.too_large", chunks=size, most=self._most)
            self._refused[scope.collection_id] = stamp
        raise IndexUnavailable(
            f"A collection of {size} chunks is too large for rank_bm25, which takes {self._most}.",
            "Set GROUNDED_RETRIEVAL__LEXICAL=engine, or raise GROUNDED_RETRIEVAL__RANK_BM25_CHUNKS.",
        )

    def _filled(self, stamp: str, entries: Sequence[LexicalEntry], scope: Scope) -> _Shelf:
        mine = tuple(entry for entry in entries if passes(entry.payload, scope.filter))
        texts = [self._lexicon.document(entry.text) for entry in mine]
        return _Shelf(stamp, mine, _Okapi(texts) if texts else None)


def _best(shelf: _Shelf, terms: Sequence[int], query: Query, limit: int) -> list[Ranked]:
    """Equal scores by id, as the engine orders them."""
    passing = [n for n, entry in enumerate(shelf.entries) if passes(entry.payload, query.filters)]
    if shelf.okapi is None or not passing:
        return []
    scores = shelf.okapi.get_batch_scores(terms, passing)
    found = [Ranked(shelf.entries[n].id, score) for n, score in zip(passing, scores, strict=True) if score > 0]
    return sorted(found, key=lambda entry: (-entry.score, entry.id))[:limit]
