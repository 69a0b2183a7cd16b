"""The generations that are open: one answers, every one is told of what is deleted, and a swap is one reference change."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Protocol

from generation.ports import SentenceScorer
from ingest.model import Chunk, ChunkedDocument, Document
from ingest.ports import Splitter, Written
from retrieval.errors import EmbedderUnavailable, IndexUnavailable
from retrieval.index import HybridIndex, collect, describe, held
from retrieval.model import Bits, EmbeddedPassage, EmbeddedQuery, Floats, Found, Passage, Query
from retrieval.ports import Embedder, Engine, Search, VectorStore

_searched: ContextVar[str] = ContextVar("searched", default="")  # the generation that this task has searched last


@dataclass(frozen=True, slots=True, eq=False)
class Stores:
    """A generation's files, open. They need no embedder: what is deleted goes from every generation there is."""

    fingerprint: str
    points: Engine
    vectors: VectorStore
    closing: AsyncExitStack


@dataclass(frozen=True, slots=True, eq=False)
class Serving:
    """A generation with its embedder, and all that depends on it. `loading` is done once the model is there, and holds the
    error if it could not be; `closing` closes the embedder, not the stores."""

    stores: Stores
    embedder: Embedder
    loading: "asyncio.Task[None]"
    index: HybridIndex
    search: Search
    scorer: SentenceScorer | None  # None where the embedder gives no token vectors
    splitter: Splitter
    closing: AsyncExitStack

    @property
    def fingerprint(self) -> str:
        return self.stores.fingerprint


class AbsentEmbedder:
    """In the place of one that cannot be had: its index can still be looked after, and searched for words."""

    name = "none"
    window = 256

    def __init__(self, fingerprint: str, dimension: int) -> None:
        self.fingerprint = fingerprint
        self.dimension = dimension

    def load(self) -> None:
        raise self._error

    def count(self, _texts: Sequence[str]) -> list[int]:
        raise self._error

    def offsets(self, _texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        raise self._error

    async def embed_query(self, _text: str) -> EmbeddedQuery:
        raise self._error

    async def embed_passages(self, _texts: Sequence[str]) -> list[EmbeddedPassage]:
        raise self._error

    @property
    def _error(self) -> EmbedderUnavailable:
        return EmbedderUnavailable(
            "The embedder that the index was built with cannot be had.",
            "Run grounded reindex to build the index anew with the configured one.",
        )


class OpenGenerations:
    """Which generation answers, and which others are open. `configured` is the fingerprint of the embedder that the
    settings ask for; while it is not the live one's, a reindex is due."""

    def __init__(self, live: Serving, configured: str) -> None:
        self.live = live
        self.configured = configured
        self._stores = {live.fingerprint: live.stores}
        self._serving = {live.fingerprint: live}
        self._users: Counter[str] = Counter()
        self._left = asyncio.Event()
        self._filled: frozenset[str] = frozenset()
        self._free = asyncio.Event()

    @property
    def outdated(self) -> bool:
        """Whether the settings ask for another embedder than the one that answers."""
        return self.configured != self.live.fingerprint

    @property
    def others(self) -> list[Stores]:
        """All but the live one."""
        return [stores for stores in self._stores.values() if stores.fingerprint != self.live.fingerprint]

    async def loaded(self) -> None:
        """Wait for the model of the live one. Raises EmbedderUnavailable."""
        await asyncio.shield(self.live.loading)

    def stores(self, fingerprint: str) -> Stores | None:
        """Those of a generation that is open."""
        return self._stores.get(fingerprint)

    def serving(self, fingerprint: str) -> Serving | None:
        """One whose embedder is at hand: the live one, or one that was live since this process began."""
        return self._serving.get(fingerprint)

    def owns(self, closing: AsyncExitStack) -> bool:
        """Whether a generation whose embedder it closes is, or was, the live one."""
        return any(serving.closing is closing for serving in self._serving.values())

    def add(self, stores: Stores) -> None:
        """From now on it is told of what is deleted."""
        self._stores[stores.fingerprint] = stores

    def swap(self, serving: Serving) -> None:
        """Searches that begin from now on are its own; those that have begun end where they are."""
        self._serving[serving.fingerprint] = serving
        self.live = serving

    async def remove(self, fingerprint: str) -> None:
        """Close one that is not live, once the last search in it has ended."""
        stores, serving = self._stores.pop(fingerprint, None), self._serving.pop(fingerprint, None)
        while self._users[fingerprint]:
            await self._left.wait()
        if serving is not None:
            await serving.closing.aclose()
        if stores is not None:
            await stores.points.discard()
            await stores.closing.aclose()

    async def close(self) -> None:
        """Close them all, embedders first."""
        for serving in self._serving.values():
            await serving.closing.aclose()
        for stores in self._stores.values():
            await stores.closing.aclose()

    @contextmanager
    def using(self, serving: Serving) -> Iterator[Serving]:
        """It is not closed meanwhile."""
        name = serving.fingerprint
        self._users[name] += 1
        try:
            yield serving
        finally:
            self._users[name] -= 1
            self._left.set()
            self._left = asyncio.Event()

    @asynccontextmanager
    async def filling(self, documents: Collection[str]) -> AsyncIterator[None]:
        """These documents are being copied into another generation. Whoever collects one of them waits for that, or what
        was read before a deletion would be written behind it."""
        self._filled = frozenset(documents)
        try:
            yield
        finally:
            self._filled = frozenset()
            self._free.set()
            self._free = asyncio.Event()

    async def settled(self, document_id: str) -> None:
        """Wait until the document is not being copied."""
        while document_id in self._filled:
            await self._free.wait()


class LivePoints:
    """The points of whichever generation is live, to be counted."""

    def __init__(self, generations: OpenGenerations) -> None:
        self._generations = generations

    async def count(self, collection_id: str | None = None) -> int:
        return await self._generations.live.stores.points.count(collection_id)


class GenerationIndex:
    """ChunkIndex over all open generations: what is new is written to the live one, and a reindex brings it to the one that
    it builds; what filters may ask of a chunk, and what goes, is told to every one."""

    def __init__(self, generations: OpenGenerations) -> None:
        self._generations = generations

    @property
    def fingerprint(self) -> str:
        return self._generations.live.fingerprint

    async def put(self, documents: Sequence[ChunkedDocument]) -> Written:
        written = await self._generations.live.index.put(documents)
        pairs = [(entry.document, chunk) for entry in documents for chunk in entry.chunks]
        for stores in self._generations.others:
            await describe(stores.points, pairs)
        return written

    async def count(self, chunk_ids: Sequence[str]) -> int:
        return await self._generations.live.index.count(chunk_ids)

    async def size(self) -> int:
        return await self._generations.live.index.size()

    async def collect(self, document_id: str, keep: Collection[str]) -> int:
        await self._generations.settled(document_id)
        for stores in self._generations.others:
            await collect(stores.points, stores.vectors, document_id, keep)
        return await self._generations.live.index.collect(document_id, keep)

    async def held(self, document_id: str) -> Mapping[str, int]:
        """Of all generations together."""
        found = Counter(await self._generations.live.index.held(document_id))
        for stores in self._generations.others:
            found.update(await held(stores.points, stores.vectors, document_id))
        return found


@dataclass(frozen=True, slots=True)
class AskedQuery(EmbeddedQuery):
    """A question's vectors that remember whose they are: the answer is scored by the embedder that it was searched with."""

    generation: str = ""


class LiveSearch:
    """Searches the generation that is live when the search begins."""

    def __init__(self, generations: OpenGenerations) -> None:
        self._generations = generations

    async def search(self, query: Query) -> Found:
        """As `retrieval.search.HybridSearch`."""
        with self._generations.using(self._generations.live) as live:
            _searched.set(live.fingerprint)
            found = await live.search.search(query)
        if found.query is None:
            return found
        return replace(found, query=AskedQuery(found.query.vector, found.query.tokens, live.fingerprint))


class SearchedVectors:
    """The token vectors of the generation in which this question was searched, also where another is live by now."""

    def __init__(self, generations: OpenGenerations) -> None:
        self._generations = generations

    async def get(self, ids: Sequence[str]) -> dict[str, Bits]:
        """As `VectorStore.get`."""
        stores = self._generations.stores(_searched.get() or self._generations.live.fingerprint)
        if stores is None:
            raise IndexUnavailable("The index that was searched is no longer kept.", "Ask again.")
        return await stores.vectors.get(ids)


class LiveScorer:
    """SentenceScorer by the embedder of the generation in which the question was searched."""

    def __init__(self, generations: OpenGenerations) -> None:
        self._generations = generations

    async def matches(
        self, query: EmbeddedQuery, passages: Sequence[Passage], spans: Sequence[Sequence[tuple[int, int]]]
    ) -> list[Floats]:
        name = query.generation if isinstance(query, AskedQuery) else self._generations.live.fingerprint
        serving = self._generations.serving(name)
        if serving is None or serving.scorer is None:
            raise EmbedderUnavailable("The token vectors of the index that was searched cannot be had.", "Ask again.")
        with self._generations.using(serving):
            return await serving.scorer.matches(query, passages, spans)


class LiveSplitter:
    """Splitter that cuts for the embedder that is live."""

    def __init__(self, generations: OpenGenerations) -> None:
        self._generations = generations

    def fingerprint_for(self, name: str) -> str:
        return self._generations.live.splitter.fingerprint_for(name)

    def split(self, document: Document) -> tuple[Chunk, ...]:
        return self._generations.live.splitter.split(document)


class LoadableEmbedder(Embedder, Protocol):
    """An embedder that is cheap to make, and has to be loaded before it embeds."""

    def load(self) -> object:
        """Once; again, it does nothing. Blocks. Raises EmbedderUnavailable."""
        ...


class Opener(Protocol):
    """Opens what a generation needs. The wiring knows how."""

    def embedder(self, recipe: Mapping[str, Any], closing: AsyncExitStack) -> LoadableEmbedder:
        """The embedder that the recipe makes, not loaded yet. Raises ConfigurationError."""
        ...

    async def stores(self, fingerprint: str, dimension: int) -> Stores:
        """Open its files, or make them. Raises IndexUnavailable, StorageFull."""
        ...

    def serving(self, stores: Stores, embedder: LoadableEmbedder, closing: AsyncExitStack) -> Serving:
        """Begin to load the embedder, and put together what depends on it."""
        ...

    async def remove(self, fingerprint: str) -> None:
        """Delete the files of one that is closed."""
        ...
