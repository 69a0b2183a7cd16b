"""The index that ingest writes to: what is embedded, in which order it is written, what a failure leaves, and what is
written for filters."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ingest.metadata import Metadata
from ingest.model import Block, Chunk, ChunkedDocument, Document, Parsed, Source
from retrieval import index
from retrieval.errors import EmbedderUnavailable
from retrieval.filters import FIELDS
from retrieval.index import HybridIndex, _payload
from retrieval.model import EmbeddedPassage
from retrieval.ports import Point
from tests.fakes import FakeEmbedder, MemoryEngine, MemoryVectorStore
from tests.ingest.memory import LineSplitter


class Engine(MemoryEngine):
    """One that knows which points have vectors beside them. `most` is how many came at once."""

    def __init__(self, vectors: MemoryVectorStore) -> None:
        super().__init__()
        self.vectors = vectors
        self.most = 0

    async def upsert(self, points: Sequence[Point]) -> None:
        assert {point.id for point in points} <= set(self.vectors.stored)
        self.most = max(self.most, len(points))
        await super().upsert(points)


class Tiring(FakeEmbedder):
    """Fails from the second call on, until it is rested."""

    rested = False

    async def embed_passages(self, texts: Sequence[str]) -> list[EmbeddedPassage]:
        if self.embedded and not self.rested:
            raise EmbedderUnavailable("tired")
        return await super().embed_passages(texts)


class Slow(FakeEmbedder):
    """So that two calls overlap."""

    async def embed_passages(self, texts: Sequence[str]) -> list[EmbeddedPassage]:
        await asyncio.sleep(0.05)
        return await super().embed_passages(texts)


def lines(n: int, **more: Any) -> ChunkedDocument:
    text = "\n".join(f"line number {i}" for i in range(n))
    parsed = Parsed("Lines", text, (Block("paragraph", 0, len(text)),), "text/plain")
    document = Document("d", "c", Source(Path("/"), "a.txt", 1, datetime.now(UTC)), "sha", parsed, **more)
    return ChunkedDocument(document, LineSplitter().split(document))


def test_a_large_document_is_written_in_slices_and_a_rerun_embeds_only_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(index, "_SLICE", 4)
    vectors, embedder = MemoryVectorStore(), Tiring()
    engine = Engine(vectors)
    hybrid = HybridIndex(embedder, engine, vectors)
    with pytest.raises(EmbedderUnavailable):
        asyncio.run(hybrid.put([lines(10)]))
    assert len(engine.points) == 4
    embedder.rested = True
    assert asyncio.run(hybrid.put([lines(10)])).embedded == 6
    assert (len(engine.points), engine.most, len(embedder.embedded)) == (10, 4, 10)
    assert asyncio.run(hybrid.put([lines(10)])).embedded == 0


def test_what_filters_ask_is_brought_up_to_date_without_embedding() -> None:
    vectors, embedder = MemoryVectorStore(), FakeEmbedder()
    engine = Engine(vectors)
    hybrid = HybridIndex(embedder, engine, vectors)
    asyncio.run(hybrid.put([lines(3, metadata=Metadata(tags=("old",)))]))
    before = dict(engine.points)
    again = lines(3, metadata=Metadata(tags=("new",), access=("hr",)))
    assert asyncio.run(hybrid.put([again])).embedded == 0
    assert engine.points.keys() == before.keys()
    for i, point in engine.points.items():
        assert (point.payload["tags"], point.payload["access"]) == (["new"], ["hr"])
        assert point.embedded is before[i].embedded


CHUNK = Chunk("i", "d", 0, 0, 4, "text", ("Guide", "Pay"), 7, 1, None, 3)
KNOWN = Metadata(
    author="Lovelace, Ada; Charles Babbage",
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    modified_at=datetime(2026, 1, 2, tzinfo=UTC),
    language="en-GB",
    tags=("Policy", "straße"),
    url="https://example.org/a",
    access=("hr",),
    extra={"department": "people"},
)


def test_every_field_that_there_is_to_filter_on_is_written() -> None:
    payload = _payload(lines(1, metadata=KNOWN).document, CHUNK)
    assert payload == {
        "collection_id": "c",
        "document_id": "d",
        "access": ["hr"],
        "filename": "a.txt",
        "media_type": "text/plain",
        "title": "Lines",
        "modified_at": 1767312000,
        "heading": ["Guide", "Pay"],
        "author": ["Lovelace, Ada; Charles Babbage", "Lovelace, Ada", "Charles Babbage"],
        "language": ["en-gb", "en"],
        "tags": ["policy", "strasse"],
        "url": "https://example.org/a",
        "metadata": {"department": "people"},
        "page": 7,
        "created_at": 1767225600,
    }
    assert payload.keys() >= FIELDS.keys()


def test_what_is_not_known_is_not_written_and_who_may_read_it_always_is() -> None:
    document = lines(1).document
    document = replace(document, parsed=replace(document.parsed, title=""))
    payload = _payload(document, replace(CHUNK, heading_path=(), page=None))
    at = int(document.source.modified_at.timestamp())
    required = {"collection_id", "document_id", "access", "filename", "media_type", "title", "modified_at"}
    assert payload.keys() == required
    assert (payload["access"], payload["title"], payload["modified_at"]) == (["*"], "a", at)


def test_time_in_which_two_calls_embed_is_counted_once() -> None:
    async def both() -> tuple[float, float]:
        hybrid = HybridIndex(Slow(), MemoryEngine(), MemoryVectorStore())
        start = time.perf_counter()
        first, second = await asyncio.gather(hybrid.put([lines(3)]), hybrid.put([lines(7)]))
        return first.embed_seconds + second.embed_seconds, time.perf_counter() - start

    embedding, elapsed = asyncio.run(both())
    assert 0.05 <= embedding <= elapsed
