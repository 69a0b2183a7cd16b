"""The ChunkIndex that ingest asked for: embeds chunks and writes their points and token vectors."""

import time
from collections.abc import Collection, Sequence

from ingest.model import Chunk, ChunkedDocument, Document, embedded_text
from ingest.ports import TokenCounter, Written
from ingest.split import fit_header
from retrieval.ports import Embedder, Point, PointStore, TokenVectors

_SLICE = (
    1024  # chunks; token vectors take about 10 kB each, and batches sorted by length fill well from some hundred on
)


class HybridIndex:
    """Dense vector, BM25 terms and token vectors of every chunk, under the chunk's id."""

    def __init__(self, embedder: Embedder, points: PointStore, tokens: TokenVectors) -> None:
        self._embedder = embedder
        self._points = points
        self._tokens = tokens

    @property
    def fingerprint(self) -> str:
        return self._embedder.fingerprint

    async def put(self, documents: Sequence[ChunkedDocument]) -> Written:
        """Embeds only the chunks that the index lacks, a slice at a time: a book's vectors are never all in memory, and
        what was written before a crash is not embedded again."""
        pairs = [(entry.document, chunk) for entry in documents for chunk in entry.chunks]
        present = await self._points.existing([chunk.id for _, chunk in pairs])
        missing = [(document, chunk) for document, chunk in pairs if chunk.id not in present]
        seconds = 0.0
        for start in range(0, len(missing), _SLICE):
            seconds += await self._write(missing[start : start + _SLICE])
        return Written(len(missing), seconds)

    async def _write(self, missing: Sequence[tuple[Document, Chunk]]) -> float:
        """Seconds that the embedder took. Token vectors go first: a point is never without them."""
        texts = [passage_text(document.parsed.title, chunk, self._embedder) for document, chunk in missing]
        start = time.perf_counter()
        embedded = await self._embedder.embed_passages(texts)
        seconds = time.perf_counter() - start
        await self._tokens.put({chunk.id: e.bits for (_, chunk), e in zip(missing, embedded, strict=True)})
        await self._points.upsert(
            [
                Point(chunk.id, e, text, _payload(document, chunk))
                for (document, chunk), e, text in zip(missing, embedded, texts, strict=True)
            ]
        )
        return seconds

    async def count(self, chunk_ids: Sequence[str]) -> int:
        return len(await self._points.existing(chunk_ids))

    async def size(self, collection_id: str) -> int:
        return await self._points.count(collection_id)

    async def collect(self, document_id: str, keep: Collection[str]) -> int:
        """Points first: an id without token vectors only ranks lower, a point without a catalog row is dropped."""
        gone = await self._points.delete_document(document_id, keep)
        await self._tokens.delete(gone)
        return len(gone)


def passage_text(title: str, chunk: Chunk, counter: TokenCounter) -> str:
    """What the embedder and BM25 see of a chunk."""
    return embedded_text(fit_header(title, chunk.heading_path, counter), chunk.text)


def _payload(document: Document, chunk: Chunk) -> dict[str, str | int | list[str]]:
    """What filters may ask for."""
    payload: dict[str, str | int | list[str]] = {
        "collection_id": document.collection_id,
        "document_id": document.id,
        "filename": document.source.name,
        "media_type": document.parsed.media_type,
        "heading": list(chunk.heading_path),
    }
    if chunk.page is not None:
        payload["page"] = chunk.page
    return payload
