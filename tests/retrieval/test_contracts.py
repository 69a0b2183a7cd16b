"""The hybrid index, the stores and the fakes keep the contracts of their ports."""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.ports import Written
from retrieval.adapters.qdrant_edge import QdrantEdgeIndex
from retrieval.adapters.vector_store import SqliteVectorStore
from retrieval.index import HybridIndex
from retrieval.ports import StoredVectors
from tests.contracts.chunk_index import A, B, ChunkIndexContract, ids
from tests.contracts.engine import EngineContract
from tests.contracts.reranker import RerankerContract
from tests.contracts.vector_store import DIMENSION, VectorStoreContract, bits, passage, stored
from tests.fakes import FakeEmbedder, MemoryEngine, MemoryVectorStore, WordReranker


class TestMemoryEngine(EngineContract):
    @pytest.fixture
    def engine(self) -> MemoryEngine:
        return MemoryEngine()


class TestSqliteVectorStore(VectorStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SqliteVectorStore]:
        store = SqliteVectorStore(tmp_path / "vectors.sqlite", DIMENSION)
        yield store
        asyncio.run(store.close())

    def test_a_second_opening_keeps_everything(self, tmp_path: Path) -> None:
        async def main() -> None:
            for rows in (stored({"a": bits(1)}), []):
                store = SqliteVectorStore(tmp_path / "again.sqlite", DIMENSION)
                await store.put(rows)
                assert (await store.get(["a"]))["a"].tolist() == bits(1).tolist()
                await store.close()

        asyncio.run(main())

    def test_a_row_that_a_disk_changed_counts_as_absent(self, store: SqliteVectorStore, tmp_path: Path) -> None:
        async def main() -> None:
            await store.put(stored({"a": bits(1), "b": bits(2)}))
            with sqlite3.connect(tmp_path / "vectors.sqlite") as db:
                db.execute("UPDATE vectors SET bits = zeroblob(length(bits)) WHERE id = 'a'")
            db.close()
            assert (await store.get(["a", "b"])).keys() == {"b"}
            assert (await store.embedded(["digest of a", "digest of b"])).keys() == {"digest of b"}

        asyncio.run(main())

    @pytest.mark.parametrize("column", ["id", "document_id", "digest", "dense", "bits"])
    def test_a_row_that_a_disk_changed_is_found_and_goes(self, tmp_path: Path, column: str) -> None:
        """One bit of one column, in the table's own pages: its indexes, if it has any, still say the old."""
        file = tmp_path / "vectors.sqlite"
        rows = [StoredVectors(f"chunk-{n}", f"document-{n}", f"digest-{n}", passage(bits(n), n)) for n in range(40)]
        of_20 = {"id": b"chunk-20", "document_id": b"document-20", "digest": b"digest-20"}
        found = (
            of_20.get(column) or getattr(rows[20].embedded, "vector" if column == "dense" else "bits").tobytes()[:16]
        )

        async def main() -> None:
            store = SqliteVectorStore(file, DIMENSION)
            await store.put(rows)
            assert await store.verify()
            await store.close()
            places = len(_places(file, found))
            assert places
            for nth in range(places):
                _flip(file, _places(file, found)[nth] + 3)
                store = SqliteVectorStore(file, DIMENSION)
                assert not await store.verify()
                assert (await store.get([row.id for row in rows])).keys() >= {r.id for r in rows} - {"chunk-20"}
                await store.put(rows[20:21])
                assert await store.verify()
                assert await store.count() == await store.count(None) == 40
                assert await store.count("document-20") == 1
                assert len(await store.embedded([row.digest for row in rows])) == 40
                await store.close()

        asyncio.run(main())

    def test_closing_ends_a_check_that_runs(self, tmp_path: Path) -> None:
        async def main() -> None:
            store = SqliteVectorStore(tmp_path / "vectors.sqlite", DIMENSION)
            await store.put(stored({str(n): bits(n) for n in range(3000)}))
            checking = asyncio.create_task(store.verify())
            await asyncio.sleep(0)
            await store.close()
            assert await checking

        asyncio.run(main())


def _places(file: Path, said: bytes) -> list[int]:
    data, at, found = file.read_bytes(), -1, list[int]()
    while (at := data.find(said, at + 1)) >= 0:
        found.append(at)
    return found


def _flip(file: Path, place: int) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)


class TestMemoryVectorStore(VectorStoreContract):
    @pytest.fixture
    def store(self) -> MemoryVectorStore:
        return MemoryVectorStore()


class TestWordReranker(RerankerContract):
    @pytest.fixture
    def reranker(self) -> WordReranker:
        return WordReranker()


class TestHybridIndex(ChunkIndexContract):
    """On the embedded engine and its token store; only the embedder is a fake."""

    @pytest.fixture
    def vectors(self, tmp_path: Path) -> Iterator[SqliteVectorStore]:
        vectors = SqliteVectorStore(tmp_path / "vectors.sqlite", FakeEmbedder().dimension)
        yield vectors
        asyncio.run(vectors.close())

    @pytest.fixture
    def index(self, tmp_path: Path, vectors: SqliteVectorStore) -> Iterator[HybridIndex]:
        embedder = FakeEmbedder()
        points = QdrantEdgeIndex(tmp_path / "shard", embedder.dimension)
        yield HybridIndex(embedder, points, vectors)
        asyncio.run(points.close())

    def test_token_vectors_come_and_go_with_their_points(self, index: HybridIndex, vectors: SqliteVectorStore) -> None:
        async def main() -> None:
            await self.put(index, A, B)
            assert (await vectors.get([*ids(A), *ids(B)])).keys() == {*ids(A), *ids(B)}
            await index.collect(A.document.id, ids(A)[:1])
            assert (await vectors.get([*ids(A), *ids(B)])).keys() == {ids(A)[0], *ids(B)}

        asyncio.run(main())

    def test_token_vectors_of_content_that_never_got_points_go_too(
        self, index: HybridIndex, vectors: SqliteVectorStore
    ) -> None:
        """Killed between the two, and the file changed since: the next collection of its document finds them."""
        orphan = StoredVectors("orphan", A.document.id, "digest", passage(bits(1)))

        async def main() -> None:
            await vectors.put([orphan])
            await self.put(index, A)
            await index.collect(A.document.id, ids(A))
            assert await vectors.count() == 3

        asyncio.run(main())

    def test_an_engine_that_was_lost_is_filled_again_without_embedding(
        self, index: HybridIndex, vectors: SqliteVectorStore, tmp_path: Path
    ) -> None:
        async def main() -> None:
            await self.put(index, A, B)
            points = QdrantEdgeIndex(tmp_path / "another shard", FakeEmbedder().dimension)
            again = HybridIndex(FakeEmbedder(), points, vectors)
            assert await self.put(again, A, B) == Written()
            assert await again.count([*ids(A), *ids(B)]) == 5
            await points.close()

        asyncio.run(main())


class TestHybridIndexInMemory(ChunkIndexContract):
    @pytest.fixture
    def index(self) -> HybridIndex:
        return HybridIndex(FakeEmbedder(), MemoryEngine(), MemoryVectorStore())
