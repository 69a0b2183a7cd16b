"""BM25 by rank-bm25 keeps the engine's contract, follows the catalog, and ranks as the engine does: each is a check of
the other, in terms, weights, and statistics per scope."""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retrieval.adapters.qdrant_edge import QdrantEdgeIndex
from retrieval.adapters.rank_bm25 import RankBm25Index
from retrieval.errors import IndexUnavailable
from retrieval.model import Query, Ranked, Scope
from retrieval.ports import LexicalEntry, Payload, Point
from tests.contracts.engine import HERE, D, EngineContract, id_of, point
from tests.fakes import MemoryEngine


class Corpus(MemoryEngine):
    """Points in a dict that are searched by rank-bm25. `reads` counts how often all of them were read."""

    def __init__(self, most: int = 1000) -> None:
        super().__init__()
        self.index = RankBm25Index(self, most)
        self.changes = self.reads = 0

    async def stamp(self, collection_id: str) -> str:
        return str(self.changes)

    async def size(self, collection_id: str) -> int:
        return await self.count(collection_id)

    async def entries(self, collection_id: str) -> list[LexicalEntry]:
        self.reads += 1
        mine = [p for p in self.points.values() if p.payload["collection_id"] == collection_id]
        return [LexicalEntry(p.id, p.text, p.payload) for p in mine]

    async def search_lexical(self, query: Query, limit: int) -> list[Ranked]:
        return await self.index.search_lexical(query, limit)

    async def upsert(self, points: Sequence[Point]) -> None:
        self.changes += 1
        await super().upsert(points)

    async def describe(self, payloads: Mapping[str, Payload]) -> int:
        self.changes += 1
        return await super().describe(payloads)

    async def delete_document(self, document_id: str, keep: Collection[str]) -> list[str]:
        self.changes += 1
        return await super().delete_document(document_id, keep)


class TestRankBm25(EngineContract):
    @pytest.fixture
    def engine(self) -> Corpus:
        return Corpus()


def test_the_catalog_is_read_again_only_when_it_has_changed() -> None:
    corpus = Corpus()

    async def main() -> None:
        await corpus.upsert([point("x", "quokka", 1)])
        for _ in range(3):
            assert len(await corpus.search_lexical(Query("quokka", HERE), 3)) == 1
        assert corpus.reads == 1
        await corpus.upsert([point("y", "quokka", 1)])
        assert len(await corpus.search_lexical(Query("quokka", HERE), 3)) == 2
        assert corpus.reads == 2

    asyncio.run(main())


def test_a_corpus_above_the_stated_size_is_refused() -> None:
    corpus = Corpus(most=2)

    async def main() -> None:
        await corpus.upsert([point(str(n), "quokka", 1) for n in range(2)])
        assert len(await corpus.search_lexical(Query("quokka", HERE), 3)) == 2
        await corpus.upsert([point("2", "quokka", 1)])
        with pytest.raises(IndexUnavailable, match="3 chunks"):
            await corpus.search_lexical(Query("quokka", HERE), 3)

    asyncio.run(main())


def test_scopes_beyond_those_that_are_kept_are_read_again() -> None:
    corpus = Corpus()
    scopes = [Scope(HERE.collection_id, "here", frozenset({str(n)})) for n in range(40)]

    async def main() -> None:
        await corpus.upsert([point(str(n), "quokka", 1, access=[str(n)]) for n in range(40)])
        for _ in range(2):
            for n, scope in enumerate(scopes):
                assert [r.id for r in await corpus.search_lexical(Query("quokka", scope), 9)] == [id_of(str(n))]

    asyncio.run(main())


WORDS = (
    "harbour",
    "lights",
    "ships",
    "the",
    "bells",
    "ringing",
    "err_443",
    "v2.13.0",
    "notes.md",
    "--max-seqs",
    "naïve",
    "C++",
)
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=30).map(" ".join)
LABELS = st.sampled_from((("*",), ("hr",), ("board",), ("hr", "board")))


class TestAgainstTheEngine:
    @pytest.fixture
    def engine(self, tmp_path: Path) -> Iterator[QdrantEdgeIndex]:
        engine = QdrantEdgeIndex(tmp_path / "shard", D)
        yield engine
        asyncio.run(engine.close())

    def test_both_have_the_same_top_ten_up_to_ties(self, engine: QdrantEdgeIndex) -> None:
        """Every example is a collection of its own in one shard, so statistics per scope are compared as well."""
        number = iter(range(10_000))

        @given(
            st.lists(st.tuples(TEXTS, LABELS), min_size=1, max_size=25),
            st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join),
            st.sampled_from((None, frozenset[str](), frozenset({"hr"}))),
        )
        @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        def holds(texts: list[tuple[str, tuple[str, ...]]], asked: str, groups: frozenset[str] | None) -> None:
            scope = Scope(f"col-{next(number)}", "some", groups)
            points = [
                point(f"{scope.collection_id} {n}", text, 1, n, scope=scope, access=list(access))
                for n, (text, access) in enumerate(texts)
            ]
            engines, oracles = asyncio.run(both(engine, points, Query(asked, scope)))
            scores = {r.id: r.score for r in oracles}
            assert len(engines) == min(10, len(scores))
            assert [r.score for r in engines] == pytest.approx(sorted(scores.values(), reverse=True)[:10], rel=1e-4)
            assert [scores[r.id] for r in engines] == pytest.approx([r.score for r in engines], rel=1e-4)

        holds()


async def both(engine: Any, points: Sequence[Point], query: Query) -> tuple[list[Ranked], list[Ranked]]:
    """The engine's best ten, and all that rank-bm25 finds."""
    corpus = Corpus()
    for index in (engine, corpus):
        await index.upsert(points)
    return await engine.search_lexical(query, 10), await corpus.search_lexical(query, len(points))
