"""Deterministic stand-ins that pass the contract suites of what they stand for."""

import asyncio
import hashlib
import math
import re
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from generation.model import Ask, Draft, DraftSentence
from generation.ports import UNCHECKED, Judged
from retrieval.errors import EmbedderUnavailable
from retrieval.filters import Filter
from retrieval.matching import passes
from retrieval.model import Bits, Context, EmbeddedPassage, EmbeddedQuery, Floats, Passage, Query, Ranked
from retrieval.ports import Payload, Point, StoredVectors

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


class MemoryEngine:
    """VectorIndex, LexicalIndex and PointStore in a dict: every point is looked at, so nothing is approximate."""

    def __init__(self) -> None:
        self.points: dict[str, Point] = {}

    async def search_dense(self, vector: EmbeddedQuery, query: Query, limit: int) -> list[Ranked]:
        scores = {point.id: float(point.embedded.vector @ vector.vector) for point in self._passing(query.confined)}
        return _best(scores.items(), limit)

    async def search_lexical(self, query: Query, limit: int) -> list[Ranked]:
        """BM25 (Robertson and Zaragoza 2009), k1 = 1.2 and b = 0.75."""
        mine = self._passing(query.scope.filter)
        texts = {point.id: Counter(_terms(point.text)) for point in mine}
        mean = sum(counts.total() for counts in texts.values()) / max(1, len(texts)) or 1.0
        asked = set(_terms(query.text))
        holders = {term: sum(term in counts for counts in texts.values()) for term in asked}

        def score(counts: Counter[str]) -> float:
            length = 1.2 * (0.25 + 0.75 * counts.total() / mean)
            return sum(
                math.log(1 + (len(texts) - holders[term] + 0.5) / (holders[term] + 0.5))
                * (counts[term] * 2.2 / (counts[term] + length))
                for term in asked & counts.keys()
            )

        scores = {point.id: score(texts[point.id]) for point in self._passing(query.confined)}
        return _best(((i, s) for i, s in scores.items() if s > 0), limit)

    async def prepare(self) -> None:
        """A dict is there."""

    async def activate(self) -> None:
        """There is nobody to tell."""

    async def discard(self) -> None:
        """It is forgotten with its owner."""

    async def upsert(self, points: Sequence[Point]) -> None:
        self.points |= {point.id: point for point in points}

    async def existing(self, ids: Sequence[str]) -> set[str]:
        return self.points.keys() & set(ids)

    async def delete_document(self, document_id: str, keep: Collection[str]) -> list[str]:
        gone = [i for i, p in self.points.items() if p.payload["document_id"] == document_id and i not in keep]
        for i in gone:
            del self.points[i]
        return gone

    async def count(self, collection_id: str | None = None) -> int:
        return sum(collection_id in (None, p.payload["collection_id"]) for p in self.points.values())

    async def count_document(self, document_id: str) -> int:
        return sum(p.payload["document_id"] == document_id for p in self.points.values())

    async def describe(self, payloads: Mapping[str, Payload]) -> int:
        stale = [i for i in payloads if i in self.points and self.points[i].payload != payloads[i]]
        self.points |= {i: replace(self.points[i], payload=payloads[i]) for i in stale}
        return len(stale)

    def _passing(self, wanted: Filter) -> list[Point]:
        return [point for point in self.points.values() if passes(point.payload, wanted)]


def _terms(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _best(scores: Iterable[tuple[str, float]], limit: int) -> list[Ranked]:
    return [Ranked(i, score) for i, score in sorted(scores, key=lambda entry: -entry[1])[:limit]]


class MemoryVectorStore:
    """VectorStore in a dict."""

    def __init__(self) -> None:
        self.stored: dict[str, StoredVectors] = {}

    async def put(self, rows: Sequence[StoredVectors]) -> None:
        self.stored |= {row.id: replace(row, embedded=_copy(row.embedded)) for row in rows}

    async def embedded(self, digests: Sequence[str]) -> dict[str, EmbeddedPassage]:
        return {row.digest: row.embedded for row in self.stored.values() if row.digest in digests}

    async def existing(self, ids: Sequence[str]) -> set[str]:
        return self.stored.keys() & set(ids)

    async def get(self, ids: Sequence[str]) -> dict[str, Bits]:
        return {i: self.stored[i].embedded.bits for i in ids if i in self.stored}

    async def delete_document(self, document_id: str, keep: Collection[str]) -> int:
        gone = [i for i, row in self.stored.items() if row.document_id == document_id and i not in keep]
        for i in gone:
            del self.stored[i]
        return len(gone)

    async def count(self, document_id: str | None = None) -> int:
        return sum(document_id in (None, row.document_id) for row in self.stored.values())

    async def verify(self) -> bool:
        return True


def _copy(passage: EmbeddedPassage) -> EmbeddedPassage:
    return EmbeddedPassage(passage.vector.copy(), passage.bits.copy())


class WordReranker:
    """Reranker by the share of the question's words that a passage holds."""

    async def rerank(self, query: EmbeddedQuery, text: str, passages: Sequence[Passage]) -> list[Ranked]:
        asked = set(_terms(text))
        held = ((p.id, len(asked & set(_terms(p.text))) / max(1, len(asked))) for p in passages)
        return _best(held, len(passages))


class ScriptedGenerator:
    """A generator that says what it was given; an exception in the script is raised, an event is waited for."""

    name = "scripted"
    prompt_version = "test-1"

    def __init__(self, *script: Draft | Exception | asyncio.Event) -> None:
        self.script = script
        self.asked: list[Ask] = []
        self.contexts: list[Context] = []
        self.open = 0
        self.begun = asyncio.Event()

    async def draft(self, ask: Ask, context: Context) -> AsyncGenerator[Draft, None]:
        self.asked.append(ask)
        self.contexts.append(context)
        self.open += 1
        self.begun.set()
        try:
            for step in self.script:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, asyncio.Event):
                    await step.wait()
                else:
                    yield step
        finally:
            self.open -= 1

    async def aclose(self) -> None:
        """Nothing is held."""


class WordVerifier:
    """Verifier by the share of a sentence's words that its passages hold: all support it, half support a part of it."""

    name = "words"

    async def judge(self, sentence: DraftSentence, context: Context) -> Judged:
        numbers = {*sentence.cited, *(quote.n for quote in sentence.quotes)} & set(range(1, len(context.passages) + 1))
        said = set(_terms(sentence.text))
        if not numbers or not said:
            return UNCHECKED
        score = len(said & {term for n in numbers for term in _terms(context.passages[n - 1].text)}) / len(said)
        return Judged("supported" if score == 1 else "partial" if score >= 0.5 else "unsupported", score)
