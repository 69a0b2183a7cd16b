"""The real catalog, shard, token store, splitter and pipeline on a state folder; only the embedder is made of hashes.

Nothing here loads torch: a process is up in a fraction of a second.
"""

import hashlib
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ingest.adapters.sql_catalog import SqlCatalog
from ingest.model import Chunk, Document, Parsed, Source, collection_id, document_id
from ingest.pipeline import Ingest, Limits
from ingest.ports import Reader
from ingest.readers.registry import read, supported
from ingest.run import FileReport, Request, Summary
from ingest.strategies.structure import StructureSplitter
from retrieval.adapters.qdrant_edge import QdrantEdgeIndex
from retrieval.adapters.vector_store import SqliteVectorStore
from retrieval.index import HybridIndex
from retrieval.model import Found, Query, Scope
from retrieval.ports import Point
from retrieval.search import HybridSearch, SearchLimits
from tests.fakes import FakeEmbedder, WordReranker

DIMENSION = 64
COLLECTION = "default"
# A loaded machine is no fault of the product: what is asked here is whether answers are right, not how soon they come.
PATIENT = SearchLimits(timeout_s=60, deadlines=dict.fromkeys(("embed", "dense", "bm25"), 50.0), rerank_s=50)
SCOPE = Scope(collection_id(COLLECTION), COLLECTION, None)
Told = Callable[[dict[str, Any]], None]


def untold(_: dict[str, Any]) -> None:
    """For runs that nobody watches."""


class InProcessReader:
    """The readers of the product, without their process: files of the corpus are no threat."""

    async def read(self, source: Source, data: bytes) -> Parsed:
        return read(source.name, data)


class WatchedIndex(QdrantEdgeIndex):
    """Tells which points an upsert has acknowledged: these must never be embedded again."""

    told: Told = staticmethod(untold)

    async def upsert(self, points: Sequence[Point]) -> None:
        await super().upsert(points)
        self.told({"written": [point.id for point in points]})


@dataclass(frozen=True, slots=True)
class Rig:
    """Everything opened on one state folder. Valid inside `opened`."""

    state: Path
    catalog: SqlCatalog
    points: WatchedIndex
    tokens: SqliteVectorStore
    embedder: FakeEmbedder
    ingest: Ingest
    search: HybridSearch

    async def find(self, text: str) -> Found:
        """A question's way through retrieval."""
        return await self.search.search(Query(text, SCOPE))

    async def sync(self, folder: Path, told: Told = untold) -> Summary:
        """One run of ingest; each report is told when it has come."""
        summary, request = Summary(), Request(folder, COLLECTION)
        plan = await self.ingest.plan(request)
        async with aclosing(self.ingest.run(request, plan, summary)) as reports:
            async for report in reports:
                told({"ack": report.path, "status": report.status, "error": _code(report), "ms": report.ms})
        return summary


def _code(report: FileReport) -> str | None:
    return report.error.code if report.error else None


@asynccontextmanager
async def opened(
    state: Path, told: Told = untold, group_chunks: int = 8, min_free: int = 0, reader: Reader | None = None
) -> AsyncIterator[Rig]:
    """Open as `app.wiring` does, in the same order, and wait for what it does in the background."""
    async with AsyncExitStack() as closing_:
        os.makedirs(state, exist_ok=True)  # noqa: PTH103  nothing else runs yet
        catalog = SqlCatalog(f"sqlite:///{state / 'catalog.sqlite'}")
        closing_.push_async_callback(catalog.close)
        await catalog.check()
        folder = state / "index" / "chaos"
        points = WatchedIndex(folder / "shard", DIMENSION)
        points.told = told
        closing_.push_async_callback(points.close)
        tokens = SqliteVectorStore(folder / "vectors.sqlite", DIMENSION)
        closing_.push_async_callback(tokens.close)
        embedder = FakeEmbedder(DIMENSION)
        index = HybridIndex(embedder, points, tokens)
        limits = Limits(group_chunks=group_chunks, min_free=min_free)
        ingest = Ingest(catalog, index, reader or InProcessReader(), splitter(), supported, state, limits)
        await tokens.verify()
        await ingest.reconcile()
        search = HybridSearch(embedder, points, points, catalog, tokens, WordReranker(), PATIENT)
        yield Rig(state, catalog, points, tokens, embedder, ingest, search)


def splitter() -> StructureSplitter:
    return StructureSplitter(FakeEmbedder(DIMENSION), 256)


def stored_tokens(state: Path) -> set[str]:
    """Ids that have token vectors, past the port: it has no way to list them."""
    with closing(sqlite3.connect(state / "index" / "chaos" / "vectors.sqlite")) as db:
        return {row[0] for row in db.execute("SELECT id FROM vectors")}


def cut(root: Path, name: str, data: bytes) -> tuple[Chunk, ...]:
    """The chunks that this file must come to, computed without any store."""
    source = Source(root, name, len(data), datetime.now(UTC))
    document = Document(
        document_id(SCOPE.collection_id, root, name),
        SCOPE.collection_id,
        source,
        hashlib.sha256(data).hexdigest(),
        read(name, data),
    )
    return splitter().split(document)


def cut_all(root: Path, files: Mapping[str, bytes]) -> dict[str, tuple[Chunk, ...]]:
    return {name: cut(root, name, data) for name, data in files.items()}
