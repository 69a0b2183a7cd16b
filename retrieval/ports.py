"""What retrieval needs from engines and models. Every adapter passes the contract suite of its port."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ingest.ports import Lead, LiveChunk, Span
from retrieval.model import Bits, EmbeddedPassage, EmbeddedQuery, Found, Passage, Query, Ranked


class Embedder(Protocol):
    """Text to vectors of unit length. Questions and passages are told apart: some models want different prefixes."""

    @property
    def name(self) -> str:
        """The model, as people know it."""
        ...

    @property
    def fingerprint(self) -> str:
        """Of everything that changes the vectors' space: weights, pooling, prefixes, dimension."""
        ...

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        ...

    @property
    def window(self) -> int:
        """Word pieces that the model reads, special tokens included; the rest of a longer text is invisible to it."""
        ...

    def count(self, texts: Sequence[str]) -> list[int]:
        """Word pieces of each text, special tokens not included, however long the text is."""
        ...

    async def embed_query(self, text: str) -> EmbeddedQuery:
        """Raises EmbedderUnavailable. A text without any token has `tokens` of shape (0, d)."""
        ...

    async def embed_passages(self, texts: Sequence[str]) -> list[EmbeddedPassage]:
        """In order, whatever the batches. No texts, no vectors. Never a part of them: all, or EmbedderUnavailable."""
        ...


Payload = Mapping[str, str | int | list[str] | dict[str, str]]


@dataclass(frozen=True, slots=True)
class Point:
    """A chunk as the engine stores it. `payload` holds what filters may ask for, always with `collection_id`,
    `document_id` and `access`."""

    id: str
    embedded: EmbeddedPassage
    text: str
    payload: Payload


class VectorIndex(Protocol):
    """Dense search."""

    async def search_dense(self, vector: EmbeddedQuery, query: Query, limit: int) -> list[Ranked]:
        """The nearest points of the query's scope and filters, best first, ids unique. Raises IndexUnavailable."""
        ...


class LexicalIndex(Protocol):
    """BM25 search, statistics taken over the query's collection alone."""

    async def search_lexical(self, query: Query, limit: int) -> list[Ranked]:
        """Points that share a term with the question, best first, ids unique. Raises IndexUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class LexicalEntry:
    """A live chunk as BM25 sees it, with what filters may ask of it."""

    id: str
    text: str
    payload: Payload


class LiveCorpus(Protocol):
    """All live chunks of a collection, for an index that holds them in memory."""

    async def stamp(self, collection_id: str) -> str:
        """Another one whenever a document of the collection came, changed or went."""
        ...

    async def size(self, collection_id: str) -> int:
        """How many live chunks there are."""
        ...

    async def entries(self, collection_id: str) -> list[LexicalEntry]:
        """All of them."""
        ...


class PointStore(Protocol):
    """The writing side of an engine."""

    async def upsert(self, points: Sequence[Point]) -> None:
        """Written **and on disk** when this returns. A point with the same id is replaced."""
        ...

    async def describe(self, payloads: Mapping[str, Payload]) -> int:
        """Replace the payloads of stored points where they differ, on disk when this returns; of how many. An id that is
        not stored is left out."""
        ...

    async def existing(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids that are stored."""
        ...

    async def delete_document(self, document_id: str, keep: Collection[str]) -> list[str]:
        """Remove the document's points but for `keep`, on disk when this returns; the ids that went."""
        ...

    async def count(self, collection_id: str | None = None) -> int:
        """Points stored, of one collection or of all."""
        ...

    async def count_document(self, document_id: str) -> int:
        """Points stored of one document."""
        ...


class Engine(VectorIndex, LexicalIndex, PointStore, Protocol):
    """All that one engine does, for one generation of the index."""

    async def prepare(self) -> None:
        """Make what is missing before points can come; nothing where all is there. Raises IndexUnavailable."""
        ...

    async def activate(self) -> None:
        """The generation is whole, and the one that answers from now on. Raises IndexUnavailable."""
        ...

    async def discard(self) -> None:
        """Remove what it holds of this generation outside of the generation's folder, which goes after it. Nothing but its
        closing comes behind. Raises IndexUnavailable."""
        ...


class Search(Protocol):
    """A question's way to its passages. `retrieval.search.HybridSearch` satisfies it."""

    async def search(self, query: Query) -> Found:
        """The best passages, best first. Raises IndexUnavailable, SearchTimeout."""
        ...


@dataclass(frozen=True, slots=True)
class StoredVectors:
    """A chunk's vectors, with the document they go with and the digest of the text that was embedded."""

    id: str
    document_id: str
    digest: str
    embedded: EmbeddedPassage


class VectorStore(Protocol):
    """What the embedder made of every chunk: token vectors, 1 bit a dimension, which late interaction reads at question
    time, and dense vectors. So no text is embedded twice, and an engine that was lost is filled again for nothing.

    What a failing disk changed counts as absent.
    """

    async def put(self, rows: Sequence[StoredVectors]) -> None:
        """On disk when this returns. A row with the same id is replaced."""
        ...

    async def embedded(self, digests: Sequence[str]) -> dict[str, EmbeddedPassage]:
        """What was made of texts with these digests; those that are not stored are absent."""
        ...

    async def existing(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids that are stored."""
        ...

    async def get(self, ids: Sequence[str]) -> dict[str, Bits]:
        """Token vectors of the chunks that are stored; shape (t, d / 8) each."""
        ...

    async def delete_document(self, document_id: str, keep: Collection[str]) -> int:
        """Remove what goes with the document but for `keep`, on disk when this returns; how many went."""
        ...

    async def count(self, document_id: str | None = None) -> int:
        """Chunks that have vectors, of one document or of all."""
        ...

    async def verify(self) -> bool:
        """Whether all that is stored is what was written. What is not is gone when this returns, so that it is missed, and
        can be made again."""
        ...


class Reranker(Protocol):
    """Reads the best candidates closely."""

    async def rerank(self, query: EmbeddedQuery, text: str, passages: Sequence[Passage]) -> list[Ranked]:
        """All passages by id, best first; ties in the order given. Raises RerankerUnavailable."""
        ...


class CircuitBreaker(Protocol):
    """Leaves an endpoint alone that keeps failing. Every permit is given back once, in one of three ways."""

    def admit(self) -> Any | None:
        """Leave for one call, or None while the endpoint is left alone."""
        ...

    def succeeded(self, permit: Any) -> None:
        """It did what it was asked."""
        ...

    def failed(self, permit: Any) -> None:
        """It is to blame for a failure."""
        ...

    def unused(self, permit: Any) -> None:
        """Nothing was learnt: who asked went away."""
        ...


class LiveChunks(Protocol):
    """Where texts come from: the catalog, which knows what is live."""

    async def live_chunks(self, collection_id: str, chunk_ids: Sequence[str]) -> dict[str, LiveChunk]:
        """Those of the ids that are live in this collection."""
        ...


class Leads(Protocol):
    """Where the names of documents come from: the catalog."""

    async def stamp(self, collection_id: str) -> str:
        """Another one whenever a document of the collection came, changed or went."""
        ...

    async def leads(self, collection_id: str, known: Mapping[str, int]) -> tuple[set[str], list[Lead]]:
        """Ids of all long live documents, and the leads of those whose live version is not the one in `known`."""
        ...


class Surroundings(Protocol):
    """What stands around a chunk: the catalog, as long as the version is live."""

    async def around(self, spans: Sequence[Span], besides: Collection[str] = ()) -> list[LiveChunk]:
        """The chunks whose numbers are in one of the spans, each once, of versions that are live; but those `besides`."""
        ...

    async def excerpts(self, spans: Sequence[Span]) -> list[str | None]:
        """The characters of each span, or None where that version is not live."""
        ...
