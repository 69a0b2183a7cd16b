"""The ChunkIndex that ingest asked for: embeds chunks and writes their points and token vectors."""

import math
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from ingest.model import Chunk, ChunkedDocument, Document, embedded_text, shown_title
from ingest.ports import Written
from retrieval.filters import PUBLIC, language_ranges
from retrieval.ports import Embedder, LexicalEntry, Payload, Point, PointStore, StoredVectors, VectorStore

_SLICE = (
    1024  # chunks; token vectors take about 10 kB each, and batches sorted by length fill well from some hundred on
)
_UNKNOWN: tuple[object, ...] = ("", [], {})
Pair = tuple[Document, Chunk]


class HybridIndex:
    """Dense vector, BM25 terms and token vectors of every chunk, under the chunk's id."""

    def __init__(self, embedder: Embedder, points: PointStore, vectors: VectorStore) -> None:
        self._embedder = embedder
        self._points = points
        self._vectors = vectors
        self._embedded_until = 0.0

    @property
    def fingerprint(self) -> str:
        return self._embedder.fingerprint

    async def put(self, documents: Sequence[ChunkedDocument]) -> Written:
        """Embeds only what the index lacks, a slice at a time: a book's vectors are never all in memory, and what was
        written before a crash is not embedded again. Nor is a text that stands there already under another id: most of a
        changed file, all of one that was renamed, and what is said word for word in many. A chunk that is there keeps its
        vectors, and what filters may ask of it is brought up to date."""
        pairs = [(entry.document, chunk) for entry in documents for chunk in entry.chunks]
        ids = [chunk.id for _, chunk in pairs]
        present = await self._points.existing(ids) & await self._vectors.existing(ids)
        missing = [(document, chunk) for document, chunk in pairs if chunk.id not in present]
        written = Written()
        for start in range(0, len(missing), _SLICE):
            written += await self._write(missing[start : start + _SLICE])
        await describe(self._points, [(document, chunk) for document, chunk in pairs if chunk.id in present])
        return written

    async def _write(self, missing: Sequence[Pair]) -> Written:
        """Vectors go first: a point is never without them."""
        digests = [chunk.digest for _, chunk in missing]
        by_digest = {digest: chunk for digest, (_, chunk) in zip(digests, missing, strict=True)}
        vectors = await self._vectors.embedded(list(by_digest))
        fresh = [digest for digest in by_digest if digest not in vectors]
        start = time.perf_counter()
        embedded = await self._embedder.embed_passages([by_digest[digest].embedded for digest in fresh])
        seconds = self._embedding_since(start)
        vectors |= dict(zip(fresh, embedded, strict=True))
        entries = [(d, c, digest, vectors[digest]) for (d, c), digest in zip(missing, digests, strict=True)]
        await self._vectors.put([StoredVectors(c.id, d.id, digest, e) for d, c, digest, e in entries])
        payloads = _payloads(missing)
        await self._points.upsert([Point(c.id, e, lexical_text(d, c), payloads[c.id]) for d, c, _, e in entries])
        return Written(len(fresh), seconds if fresh else 0.0)

    def _embedding_since(self, start: float) -> float:
        """Seconds; those in which an earlier call was embedding as well are that one's."""
        start, self._embedded_until = max(start, self._embedded_until), time.perf_counter()
        return self._embedded_until - start

    async def count(self, chunk_ids: Sequence[str]) -> int:
        return len(await self._points.existing(chunk_ids))

    async def size(self) -> int:
        return min(await self._points.count(), await self._vectors.count())

    async def collect(self, document_id: str, keep: Collection[str]) -> int:
        return await collect(self._points, self._vectors, document_id, keep)

    async def held(self, document_id: str) -> Mapping[str, int]:
        return await held(self._points, self._vectors, document_id)


async def describe(points: PointStore, pairs: Sequence[Pair]) -> None:
    """Bring up to date what filters may ask of these chunks, of those that are stored. It needs no embedder."""
    for start in range(0, len(pairs), _SLICE):
        await points.describe(_payloads(pairs[start : start + _SLICE]))


async def collect(points: PointStore, vectors: VectorStore, document_id: str, keep: Collection[str]) -> int:
    """Points first: one whose vectors are missing ranks lower, one without a catalog row is dropped."""
    gone = await points.delete_document(document_id, keep)
    await vectors.delete_document(document_id, keep)
    return len(gone)


async def held(points: PointStore, vectors: VectorStore, document_id: str) -> Mapping[str, int]:
    """A point holds the dense vector and the BM25 terms, so these two come and go together."""
    found = await points.count_document(document_id)
    return {"vectors": found, "lexical": found, "token_vectors": await vectors.count(document_id)}


def lexical_entries(chunked: ChunkedDocument) -> list[LexicalEntry]:
    """A document's chunks as BM25 sees them, with what filters may ask of them."""
    document = chunked.document
    payloads = _payloads([(document, chunk) for chunk in chunked.chunks])
    return [LexicalEntry(c.id, lexical_text(document, c), payloads[c.id]) for c in chunked.chunks]


def lexical_text(document: Document, chunk: Chunk) -> str:
    """What BM25 sees: what the embedder does, and in front of it the name of the file, by which people ask for what stands
    in it. Another text needs another `retrieval.adapters.lexical_terms.FORMAT`."""
    return embedded_text(document.source.name.rpartition("/")[2], chunk.embedded)


def _payloads(pairs: Sequence[Pair]) -> dict[str, Payload]:
    """By the chunk's id. What is said of a document is put together once."""
    documents: dict[str, Payload] = {}
    found: dict[str, Payload] = {}
    for document, chunk in pairs:
        if document.id not in documents:
            documents[document.id] = _of_document(document)
        found[chunk.id] = {**documents[document.id], **_of_chunk(chunk)}
    return found


def _payload(document: Document, chunk: Chunk) -> Payload:
    """What filters may ask for, in the form that `retrieval.filters` asks for it. What is unknown is left out; who may
    read it never is."""
    return {**_of_document(document), **_of_chunk(chunk)}


def _of_document(document: Document) -> Payload:
    metadata, name = document.metadata, document.source.name
    described: dict[str, str | int | list[str] | dict[str, str] | None] = {
        "collection_id": document.collection_id,
        "document_id": document.id,
        "access": list(metadata.access) or [PUBLIC],
        "filename": name,
        "media_type": document.parsed.media_type,
        "title": " ".join(shown_title(document.parsed.title, name).split()),
        "modified_at": _second(document.modified_at),
        "author": _authors(metadata.author),
        "language": language_ranges(metadata.language),
        "tags": [tag.casefold() for tag in metadata.tags],
        "url": metadata.url,
        "metadata": dict(metadata.extra),
        "created_at": _second(metadata.created_at) if metadata.created_at else None,
    }
    return {key: value for key, value in described.items() if value is not None and value not in _UNKNOWN}


def _of_chunk(chunk: Chunk) -> Payload:
    heading: Payload = {"heading": list(chunk.heading_path)} if chunk.heading_path else {}
    return heading if chunk.page is None else {**heading, "page": chunk.page}


def _authors(text: str) -> list[str]:
    """All of them together, and each: a document of two is found by either."""
    return list(dict.fromkeys(name for name in (text, *map(str.strip, text.split(";"))) if name))


def _second(moment: datetime) -> int:
    return math.floor(moment.timestamp())
