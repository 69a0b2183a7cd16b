"""The hybrid index, the stores and the fakes keep the contracts of their ports."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval.adapters.qdrant_edge import QdrantEdgeIndex
from retrieval.adapters.token_store import SqliteTokenVectors
from retrieval.index import HybridIndex
from retrieval.ports import StoredTokens
from tests.contracts.chunk_index import OTHER, A, B, ChunkIndexContract, ids
from tests.contracts.engine import EngineContract
from tests.contracts.reranker import RerankerContract
from tests.contracts.token_vectors import DIMENSION, TokenVectorsContract, bits, stored
from tests.fakes import FakeEmbedder, MemoryEngine, MemoryTokenVectors, WordReranker


class TestMemoryEngine(EngineContract):
    @pytest.fixture
    def engine(self) -> MemoryEngine:
        return MemoryEngine()


class TestSqliteTokenVectors(TokenVectorsContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SqliteTokenVectors]:
        store = SqliteTokenVectors(tmp_path / "tokens.sqlite", DIMENSION)
        yield store
        asyncio.run(store.close())

    def test_a_second_opening_keeps_everything(self, store: SqliteTokenVectors, tmp_path: Path) -> None:
        async def main() -> None:
            await store.put(stored({"a": bits(1)}))
            await store.close()
            again = SqliteTokenVectors(tmp_path / "tokens.sqlite", DIMENSION)
            assert (await again.get(["a"]))["a"].tolist() == bits(1).tolist()
            await again.close()

        asyncio.run(main())


class TestMemoryTokenVectors(TokenVectorsContract):
    @pytest.fixture
    def store(self) -> MemoryTokenVectors:
        return MemoryTokenVectors()


class TestWordReranker(RerankerContract):
    @pytest.fixture
    def reranker(self) -> WordReranker:
        return WordReranker()


class TestHybridIndex(ChunkIndexContract):
    """On the embedded engine and its token store; only the embedder is a fake."""

    @pytest.fixture
    def tokens(self, tmp_path: Path) -> Iterator[SqliteTokenVectors]:
        tokens = SqliteTokenVectors(tmp_path / "tokens.sqlite", FakeEmbedder().dimension)
        yield tokens
        asyncio.run(tokens.close())

    @pytest.fixture
    def index(self, tmp_path: Path, tokens: SqliteTokenVectors) -> Iterator[HybridIndex]:
        embedder = FakeEmbedder()
        points = QdrantEdgeIndex(tmp_path / "shard", embedder.dimension)
        yield HybridIndex(embedder, points, tokens)
        asyncio.run(points.close())

    def test_token_vectors_come_and_go_with_their_points(self, index: HybridIndex, tokens: SqliteTokenVectors) -> None:
        async def main() -> None:
            await self.put(index, A, B)
            assert (await tokens.get([*ids(A), *ids(B)])).keys() == {*ids(A), *ids(B)}
            await index.collect(A.document.id, ids(A)[:1])
            assert (await tokens.get([*ids(A), *ids(B)])).keys() == {ids(A)[0], *ids(B)}

        asyncio.run(main())

    def test_token_vectors_of_content_that_never_got_points_go_too(
        self, index: HybridIndex, tokens: SqliteTokenVectors
    ) -> None:
        """Killed between the two, and the file changed since: the next collection of its document finds them."""
        orphan = StoredTokens("orphan", A.document.id, "digest", bits(1))

        async def main() -> None:
            await tokens.put([orphan])
            await self.put(index, A)
            await index.collect(A.document.id, ids(A))
            assert await tokens.count() == 3

        asyncio.run(main())

    def test_a_copied_vector_is_the_embedded_one(self, index: HybridIndex) -> None:
        async def main() -> None:
            await self.put(index, A)
            await self.put(index, OTHER)
            dense = await index._points.vectors([*ids(A), *ids(OTHER)])
            bits = await index._tokens.get([*ids(A), *ids(OTHER)])
            for mine, other in zip(ids(A), ids(OTHER), strict=True):
                assert dense[mine].tolist() == dense[other].tolist()
                assert bits[mine].tolist() == bits[other].tolist()

        asyncio.run(main())


class TestHybridIndexInMemory(ChunkIndexContract):
    @pytest.fixture
    def index(self) -> HybridIndex:
        return HybridIndex(FakeEmbedder(), MemoryEngine(), MemoryTokenVectors())
