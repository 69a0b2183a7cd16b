"""A question's way through retrieval: dense || bm25 -> rrf -> catalog -> rerank. Failures of a part are named, not hidden."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from ingest.ports import LiveChunk
from retrieval.cascade import Cascade, Stage
from retrieval.errors import IndexUnavailable, RetrievalError, SearchTimeout
from retrieval.fusion import reciprocal_rank_fusion
from retrieval.model import Arm, Bits, Dropped, EmbeddedQuery, Found, Fusion, Hit, Passage, Query, Ranked
from retrieval.names import DocumentNames
from retrieval.ports import CircuitBreaker, Embedder, LexicalIndex, LiveChunks, Reranker, VectorIndex, VectorStore
from retrieval.timings import Timings, in_time

_TRIES = 10  # searches, where documents change between ranking and reading
DEFAULT_WEIGHTS: Mapping[Arm, float] = {
    "dense": 1,
    "bm25": 1,
    "named_dense": 1,
    "named_bm25": 1,
    "rerank": 3,
    "cross": 5,
}
# Seconds of single stages. Together less than the whole has, so that what is late costs itself and not the answer.
DEFAULT_DEADLINES: Mapping[str, float] = {"embed": 2, "dense": 1, "bm25": 2}
_AGREED = 10  # first hits, of which one must be in a document that is named
_PART: Mapping[Arm, str] = {"dense": "vector", "bm25": "lexical", "named_dense": "vector", "named_bm25": "lexical"}
_Tokens = tuple[Mapping[str, Bits], tuple[str, ...]]  # by chunk, and the part that failed meanwhile
_NAMED_SHARE = 0.5  # of the time that is left to the whole search: what only makes an answer better must not cost it


@dataclass(frozen=True, slots=True)
class SearchLimits:
    """The knobs of `RetrievalSettings` that a search needs; `timeout_s` is for the whole of it."""

    candidates: int = 50
    rrf_k: int = 60
    rerank_k: int = 10
    weights: Mapping[Arm, float] = field(default_factory=lambda: dict(DEFAULT_WEIGHTS))
    read_closely: int = 20
    timeout_s: float = 5.0
    deadlines: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_DEADLINES))
    rerank_s: float = 0.5
    cross_s: float = 1.0
    cross_reads: int = 20


class HybridSearch:
    """Both arms at the same time, fused, read closely, and only what is live in the catalog."""

    def __init__(
        self,
        embedder: Embedder,
        dense: VectorIndex,
        lexical: LexicalIndex,
        live: LiveChunks,
        vectors: VectorStore,
        reranker: Reranker,
        limits: SearchLimits,
        names: DocumentNames | None = None,
        cross: Reranker | None = None,
        cross_breaker: CircuitBreaker | None = None,
    ) -> None:
        self._embedder = embedder
        self._dense = dense
        self._lexical = lexical
        self._live = live
        self._vectors = vectors
        self._reranker = reranker
        self._limits = limits
        self._names = names
        self._cross = cross
        self._cross_breaker = cross_breaker

    async def search(self, query: Query) -> Found:
        """The best passages, best first, ids unique, each with its place in every arm that found it.

        Raises IndexUnavailable when neither arm answers, SearchTimeout when the time is up.
        """
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                return await self._search(query)
        except TimeoutError as error:
            raise SearchTimeout(f"The search took longer than {self._limits.timeout_s:g} s.") from error

    async def _search(self, query: Query) -> Found:
        timings, begun = Timings(allowed=self._limits.deadlines), time.perf_counter()
        ends = begun + self._limits.timeout_s
        gone: set[str] = set()
        for _ in range(_TRIES):
            rankings, vector, degraded = await self._both_arms(query, timings, ends)
            start = time.perf_counter()
            hits = reciprocal_rank_fusion(rankings, self._limits.weights, self._limits.rrf_k)
            timings.ms["fuse"] = (time.perf_counter() - start) * 1e3
            (live, dropped), tokens = await timings.measure("read", partial(self._read, hits, query))
            if dropped.keys() <= gone:  # known to be gone before this search, which so found what stands in their place
                break
            gone |= dropped.keys()
        passages, unread = await timings.measure("read", partial(self._passages, hits, live, query, tokens))
        degraded += unread
        cascade = self._cascade(query, vector, tokens=not unread)
        if passages and cascade.stages:
            passages, failed = await timings.measure("rerank", partial(cascade.read, query, vector, passages, ends))
            degraded += failed
        timings.ms["total"] = (time.perf_counter() - begun) * 1e3
        first = {passage.id for passage in passages}
        candidates = (*(p.hit for p in passages), *(hit for hit in hits if hit.id not in first))
        fusion = Fusion(self._limits.weights, self._limits.rrf_k, self._limits.rerank_k)
        return Found(passages, candidates, vector, degraded, timings.ms, query, fusion, dropped)

    async def _both_arms(
        self, query: Query, timings: Timings, ends: float
    ) -> tuple[dict[Arm, Sequence[Ranked]], EmbeddedQuery | None, tuple[str, ...]]:
        """BM25 needs no vector, so it runs while the question is embedded. Raises only when no arm is left."""
        lexical = partial(self._lexical.search_lexical, query, self._limits.candidates)
        dense, bm25 = await asyncio.gather(
            self._dense_arm(query, timings), timings.measure("bm25", lexical), return_exceptions=True
        )
        rankings: dict[Arm, Sequence[Ranked]] = {}
        vector: EmbeddedQuery | None = None
        failures: list[tuple[str, BaseException]] = []
        if isinstance(dense, BaseException):
            failures.append(("embedder" if "dense" not in timings.ms else _PART["dense"], dense))
        else:
            vector, rankings["dense"] = dense
        if isinstance(bm25, BaseException):
            failures.append((_PART["bm25"], bm25))
        else:
            rankings["bm25"] = bm25
        _raise_unexpected(failures)
        if not rankings:
            raise IndexUnavailable("Neither dense nor BM25 search answered.") from failures[0][1]
        if self._names is not None and vector is not None and not failures:
            narrowed = partial(self._named_arms, self._names, query, vector, ends)
            named, failures = await timings.measure("named", narrowed)
            rankings |= named if named and self._agreed(rankings, named) else {}
        return rankings, vector, tuple(part for part, _ in failures)

    async def _named_arms(
        self, names: DocumentNames, query: Query, vector: EmbeddedQuery, ends: float
    ) -> tuple[dict[Arm, Sequence[Ranked]], list[tuple[str, BaseException]]]:
        """Both searches once more, within the documents that the question names: two lists more in the fusion. One that
        fails or is late is left out and its part named, as in the whole search; its deadline is the same."""
        try:
            named = await names.narrowed(query)
        except SearchTimeout as error:
            return {}, [("names", error)]
        if named is None:
            return {}, []
        dense = partial(self._dense.search_dense, vector, named, self._limits.candidates)
        lexical = partial(self._lexical.search_lexical, named, self._limits.candidates)
        left = max(_NAMED_SHARE * (ends - time.perf_counter()), 0.0)
        allowed = self._limits.deadlines
        found = await asyncio.gather(
            in_time("named_dense", dense, min(allowed.get("dense", left), left)),
            in_time("named_bm25", lexical, min(allowed.get("bm25", left), left)),
            return_exceptions=True,
        )
        arms: tuple[Arm, Arm] = ("named_dense", "named_bm25")
        both = list(zip(arms, found, strict=True))
        failures = [(_PART[arm], result) for arm, result in both if isinstance(result, BaseException)]
        _raise_unexpected(failures)
        return {arm: result for arm, result in both if not isinstance(result, BaseException)}, failures

    def _agreed(self, rankings: Mapping[Arm, Sequence[Ranked]], named: Mapping[Arm, Sequence[Ranked]]) -> bool:
        """A document is meant when its content says so too: one of its passages is among the first of the whole search."""
        found = {entry.id for ranking in named.values() for entry in ranking}
        first = reciprocal_rank_fusion(rankings, self._limits.weights, self._limits.rrf_k)[:_AGREED]
        return any(hit.id in found for hit in first)

    async def _dense_arm(self, query: Query, timings: Timings) -> tuple[EmbeddedQuery, list[Ranked]]:
        vector = await timings.measure("embed", partial(self._embedder.embed_query, query.text))
        dense = partial(self._dense.search_dense, vector, query, self._limits.candidates)
        return vector, await timings.measure("dense", dense)

    async def _read(
        self, hits: Sequence[Hit], query: Query
    ) -> tuple[tuple[dict[str, LiveChunk], dict[str, Dropped]], _Tokens]:
        """Texts and token vectors of the best hits, side by side: nearly always all of them are live. Of a chunk that is not,
        the vectors are read for nothing and go nowhere."""
        best = [hit.id for hit in hits[: self._wanted(query)]]
        return await asyncio.gather(self._live_hits(hits, query), self._token_vectors(best))

    async def _live_hits(self, hits: Sequence[Hit], query: Query) -> tuple[dict[str, LiveChunk], dict[str, Dropped]]:
        """Texts of the best hits, all from one moment of the catalog, so that no answer holds two versions of a document.
        A hit whose chunk is not live in this collection ends here; if there is one, the ranking is of an older moment."""
        wanted = self._wanted(query)
        ids = [hit.id for hit in hits]
        live, dropped = await self._readable(query, ids[:wanted])
        if dropped and len(ids) > wanted:
            live, dropped = await self._readable(query, ids)
        return live, dropped

    async def _readable(self, query: Query, ids: Sequence[str]) -> tuple[dict[str, LiveChunk], dict[str, Dropped]]:
        """Those that are live and that the asker may read by what the catalog says, whatever the index let through; and
        why the others are not."""
        found = await self._live.live_chunks(query.scope.collection_id, ids)
        live = {i: chunk for i, chunk in found.items() if query.scope.admits(chunk.metadata.access)}
        return live, {i: "not_readable" if i in found else "not_live" for i in ids if i not in live}

    async def _passages(
        self, hits: Sequence[Hit], live: Mapping[str, LiveChunk], query: Query, tokens: _Tokens
    ) -> tuple[tuple[Passage, ...], tuple[str, ...]]:
        """The best live hits with their token vectors. Those that stand in for hits that are gone are read now."""
        best = [hit for hit in hits if hit.id in live][: self._wanted(query)]
        bits, degraded = tokens
        asked = {hit.id for hit in hits[: self._wanted(query)]}
        if not degraded and (more := [hit.id for hit in best if hit.id not in asked]):
            further, degraded = await self._token_vectors(more)
            bits = {**bits, **further}
        return tuple(as_passage(hit, live[hit.id], bits.get(hit.id)) for hit in best), degraded

    def _wanted(self, query: Query) -> int:
        return max(self._limits.read_closely, query.wanted)

    async def _token_vectors(self, ids: Sequence[str]) -> _Tokens:
        """What the reranker reads; without it the fused order stands, and the answer says so."""
        try:
            return await self._vectors.get(ids), ()
        except RetrievalError:
            return {}, ("reranker",)

    def _cascade(self, query: Query, vector: EmbeddedQuery | None, *, tokens: bool) -> Cascade:
        """Late interaction needs token vectors of both sides; an embedder that gives none makes nothing worse than it was
        configured to be."""
        limits = self._limits
        stages = []
        if tokens and vector is not None and len(vector.tokens):
            stages.append(Stage("rerank", self._reranker, self._wanted(query), limits.rerank_s))
        if self._cross is not None:
            stages.append(Stage("cross", self._cross, limits.cross_reads, limits.cross_s, self._cross_breaker))
        weighty = tuple(stage for stage in stages if limits.weights[stage.arm] > 0)
        return Cascade(weighty, limits.weights, limits.rerank_k)


def as_passage(hit: Hit, live: LiveChunk, bits: Bits | None) -> Passage:
    """A hit with its text, as the catalog has it live."""
    chunk = live.chunk
    return Passage(
        hit=hit,
        document_id=chunk.document_id,
        collection_id=live.collection_id,
        version=live.version,
        ordinal=chunk.ordinal,
        name=live.name,
        title=live.title,
        media_type=live.media_type,
        heading_path=chunk.heading_path,
        page=chunk.page,
        line=chunk.line,
        cell=chunk.cell,
        start=chunk.start,
        end=chunk.end,
        text=chunk.text,
        modified_at=live.modified_at,
        bits=bits,
        tokens=chunk.tokens,
        header=chunk.header,
        metadata=live.metadata,
    )


def _raise_unexpected(failures: Sequence[tuple[str, BaseException]]) -> None:
    """Only failures that the parts announce degrade; anything else is a bug or a cancellation and goes up."""
    for _, error in failures:
        if not isinstance(error, RetrievalError):
            raise error
