"""The index that ingest writes to: what is embedded, in which order it is written, and what a failure leaves."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingest.model import Block, ChunkedDocument, Document, Parsed, Source
from retrieval import index
from retrieval.errors import EmbedderUnavailable
from retrieval.index import HybridIndex
from retrieval.model import Bits, EmbeddedPassage
from retrieval.ports import Point
from tests.fakes import FakeEmbedder
from tests.ingest.memory import LineSplitter


class Stores:
    """Points and token vectors in memory. `most` is how many points came at once."""

    def __init__(self) -> None:
        self.points: dict[str, Point] = {}
        self.tokens: dict[str, Bits] = {}
        self.most = 0

    async def existing(self, ids: Sequence[str]) -> set[str]:
        return set(ids) & set(self.points)

    async def upsert(self, points: Sequence[Point]) -> None:
        assert {point.id for point in points} <= set(self.tokens)
        self.most = max(self.most, len(points))
        self.points |= {point.id: point for point in points}

    async def put(self, bits: Mapping[str, Bits]) -> None:
        self.tokens |= bits

    async def get(self, ids: Sequence[str]) -> dict[str, Bits]:
        return {i: self.tokens[i] for i in ids}

    async def delete_document(self, document_id: str, keep: Collection[str]) -> list[str]:
        raise NotImplementedError

    async def delete(self, ids: Collection[str]) -> None:
        raise NotImplementedError

    async def count(self, collection_id: str | None = None) -> int:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


class Tiring(FakeEmbedder):
    """Fails from the second call on, until it is rested."""

    rested = False

    async def embed_passages(self, texts: Sequence[str]) -> list[EmbeddedPassage]:
        if self.embedded and not self.rested:
            raise EmbedderUnavailable("tired")
        return await super().embed_passages(texts)


def lines(n: int) -> ChunkedDocument:
    text = "\n".join(f"line number {i}" for i in range(n))
    parsed = Parsed("Lines", text, (Block("paragraph", 0, len(text)),), "text/plain")
    document = Document("d", "c", Source(Path("/"), "a.txt", 1, datetime.now(UTC)), "sha", parsed)
    return ChunkedDocument(document, LineSplitter().split(document))


def test_a_large_document_is_written_in_slices_and_a_rerun_embeds_only_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(index, "_SLICE", 4)
    stores, embedder = Stores(), Tiring()
    hybrid = HybridIndex(embedder, stores, stores)
    with pytest.raises(EmbedderUnavailable):
        asyncio.run(hybrid.put([lines(10)]))
    assert len(stores.points) == 4
    embedder.rested = True
    assert asyncio.run(hybrid.put([lines(10)])).embedded == 6
    assert (len(stores.points), stores.most, len(embedder.embedded)) == (10, 4, 10)
    assert asyncio.run(hybrid.put([lines(10)])).embedded == 0
