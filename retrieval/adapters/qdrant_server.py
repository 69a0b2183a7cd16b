"""Dense and BM25 search on a Qdrant server or cluster, with the points, payloads and ids of the embedded engine.

There is one Qdrant collection for each generation of the index, `NAME-GENERATION`, and the alias `NAME` says which of them
answers. We read and write ours by its own name: a question's vector belongs to one generation, and an alias that moves
between its embedding and its search would compare what does not compare.

Words are weighed by the documents of the question's scope, as in the embedded engine; but each shard of a collection
counts its own part of them, so with more than one shard scores differ a little between shards (Qdrant 1.20).

A write is done when the server has applied it on as many copies as asked. What a server loses all the same, being restarted
from an older copy or from nothing, is noticed by counting (`retrieval/watch.py`) and filled again.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from qdrant_client import AsyncQdrantClient, models

from retrieval.adapters import qdrant_layout as layouts
from retrieval.adapters.lexical_terms import Lexicon
from retrieval.adapters.qdrant_calls import called
from retrieval.adapters.qdrant_filter import compiled, stored
from retrieval.adapters.qdrant_layout import BM25, DENSE, MOST_HITS, OVERSAMPLING, Layout, Names
from retrieval.errors import IndexUnavailable
from retrieval.filters import OneOf
from retrieval.model import EmbeddedQuery, Query, Ranked
from retrieval.ports import Payload, Point

T = TypeVar("T")
_BATCH = 256  # points in one write; 1 MB of vectors
_PAGE = MOST_HITS
# Unless told, a gRPC channel that lost its server waits up to two minutes before it looks again.
_RECONNECT = {"grpc.initial_reconnect_backoff_ms": 200, "grpc.max_reconnect_backoff_ms": 2000}


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds for a question's search, and for a write or a count, all tries together."""

    search_s: float = 2.0
    write_s: float = 30.0


class QdrantServerIndex:
    """VectorIndex, LexicalIndex and PointStore on one collection of a server."""

    def __init__(self, client: AsyncQdrantClient, names: Names, layout: Layout, deadlines: Deadlines) -> None:
        """Asks the server nothing: one that is down is no reason not to start. `prepare` makes the collection."""
        self._client = client
        self._names = names
        self._layout = layout
        self._deadlines = deadlines
        self._lexicon = Lexicon()
        self._preparing = asyncio.Lock()
        self._prepared = False
        several = layout.replication_factor > 1  # copies may be behind; what was written is looked for on most of them
        self._read: dict[str, Any] = {"consistency": models.ReadConsistencyType.QUORUM} if several else {}

    async def prepare(self) -> None:
        """Make what is missing: the collection, its payload indexes, and its alias where there is none yet."""
        async with self._preparing:
            await self._prepare()
            self._prepared = True

    async def activate(self) -> None:
        """From here on the alias names this generation."""
        await self._calls(lambda: layouts.point_alias(self._client, self._names), again=False)

    async def discard(self) -> None:
        """The collection goes, if it is ours; the alias names another by then."""
        name = self._names.collection
        self._prepared = False
        if await self._calls(lambda: self._client.collection_exists(name)):
            await self._calls(lambda: layouts.check_owner(self._client, name, self._names.installation))
            await self._calls(lambda: self._client.delete_collection(name))

    async def search_dense(self, vector: EmbeddedQuery, query: Query, limit: int) -> list[Ranked]:
        """Exact where a collection is small, else by a graph of neighbours."""
        rescored = models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
        params = models.SearchParams(quantization=rescored) if self._layout.quantized else None
        return await self._search(vector.vector.tolist(), DENSE, query, limit, params)

    async def search_lexical(self, query: Query, limit: int) -> list[Ranked]:
        """Term statistics are those of the query's scope: what the asker may not read does not weigh in what they find."""
        terms = self._lexicon.question(query.text)
        if not terms:
            return []
        corpus = models.IdfCorpusParams(corpus=compiled(query.scope.filter))
        asked = models.SparseVector(indices=terms, values=[1.0] * len(terms))
        return await self._search(asked, BM25, query, limit, models.SearchParams(idf=corpus))

    async def upsert(self, points: Sequence[Point]) -> None:
        for start in range(0, len(points), _BATCH):
            batch = [self._point(point) for point in points[start : start + _BATCH]]
            await self._write(self._client.upsert, points=batch)

    async def describe(self, payloads: Mapping[str, Payload]) -> int:
        wanted = {i: stored(payload) for i, payload in payloads.items()}
        found = await self._retrieved(list(payloads), with_payload=True)
        stale = [str(record.id) for record in found if record.payload != wanted[str(record.id)]]
        for start in range(0, len(stale), _BATCH):
            operations = [_overwritten(i, wanted[i]) for i in stale[start : start + _BATCH]]
            await self._write(self._client.batch_update_points, update_operations=operations)
        return len(stale)

    async def existing(self, ids: Sequence[str]) -> set[str]:
        return {str(record.id) for record in await self._retrieved(ids, with_payload=False)}

    async def delete_document(self, document_id: str, keep: Collection[str]) -> list[str]:
        kept = set(keep)
        gone = [i async for i in self._scrolled(_equals("document_id", document_id)) if i not in kept]
        for start in range(0, len(gone), _PAGE):
            selector = models.PointIdsList(points=list(gone[start : start + _PAGE]))
            await self._write(self._client.delete, points_selector=selector)
        return gone

    async def count(self, collection_id: str | None = None) -> int:
        return await self._count(_equals("collection_id", collection_id) if collection_id else None)

    async def count_document(self, document_id: str) -> int:
        return await self._count(_equals("document_id", document_id))

    async def close(self) -> None:
        """Nothing may be called afterwards."""
        await self._client.close()

    async def _prepare(self) -> None:
        name = self._names.collection
        await called(lambda: layouts.check_version(self._client), self._deadlines.search_s)  # soon told if it hangs
        if not await self._calls(lambda: self._client.collection_exists(name)):
            await self._calls(lambda: layouts.create(self._client, self._names, self._layout), again=False)
        await self._calls(lambda: layouts.check_owner(self._client, name, self._names.installation))
        await self._calls(lambda: layouts.index(self._client, name))
        if await self._calls(lambda: layouts.aliased(self._client, self._names.alias)) is None:
            await self.activate()

    async def _search(
        self, vector: Any, using: str, query: Query, limit: int, params: models.SearchParams | None
    ) -> list[Ranked]:
        """Equal scores by id, not as they stand on the disk: a collection that was filled again ranks as the one before."""
        if not self._prepared:
            raise IndexUnavailable("The Qdrant server has not been ready since the start.")
        found = await called(
            lambda: self._client.query_points(
                self._names.collection,
                query=vector,
                using=using,
                query_filter=compiled(query.confined),
                search_params=params,
                limit=limit,
                with_payload=False,
                timeout=math.ceil(self._deadlines.search_s),
            ),
            self._deadlines.search_s,
        )
        ranked = [Ranked(str(point.id), point.score) for point in found.points]
        return sorted(ranked, key=lambda entry: (-entry.score, entry.id))

    async def _retrieved(self, ids: Sequence[str], *, with_payload: bool) -> list[models.Record]:
        found: list[models.Record] = []
        retrieve = partial(self._client.retrieve, self._names.collection, with_payload=with_payload, **self._read)
        for start in range(0, len(ids), _PAGE):
            found += await self._asked(partial(retrieve, ids=list(ids[start : start + _PAGE])))
        return found

    async def _scrolled(self, condition: models.Filter) -> AsyncIterator[str]:
        scroll = partial(
            self._client.scroll, self._names.collection, condition, _PAGE, with_payload=False, **self._read
        )
        offset: Any = None
        while True:
            records, offset = await self._asked(partial(scroll, offset=offset))
            for record in records:
                yield str(record.id)
            if offset is None:
                return

    async def _count(self, condition: models.Filter | None) -> int:
        found = await self._asked(
            lambda: self._client.count(self._names.collection, count_filter=condition, exact=True)
        )
        return int(found.count)

    async def _write(self, operation: Callable[..., Awaitable[Any]], **what: Any) -> None:
        """Each may be done twice: points have the ids of their content. In the order sent, also over several copies."""
        await self._asked(
            lambda: operation(self._names.collection, wait=True, ordering=models.WriteOrdering.MEDIUM, **what)
        )

    async def _asked(self, work: Callable[[], Awaitable[T]]) -> T:
        """Whoever comes first prepares."""
        if not self._prepared:
            await self.prepare()
        return await self._calls(work)

    async def _calls(self, work: Callable[[], Awaitable[T]], *, again: bool = True) -> T:
        return await called(work, self._deadlines.write_s, again=again)

    def _point(self, point: Point) -> models.PointStruct:
        """A text without any term has no vector of terms."""
        weights = self._lexicon.document(point.text).weights
        vectors: dict[str, Any] = {DENSE: point.embedded.vector.tolist()}
        if weights:
            vectors[BM25] = models.SparseVector(indices=list(weights), values=list(weights.values()))
        return models.PointStruct(id=point.id, vector=vectors, payload=stored(point.payload))


def connect(url: str, api_key: str, *, grpc: bool, grpc_port: int, timeout_s: float) -> AsyncQdrantClient:
    """A client of the server at `url`. Nothing is sent before it is used. Points go over gRPC where it is on: vectors are
    then sent as numbers instead of text."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a key sent without TLS; the manual says when that is right
        return AsyncQdrantClient(
            url=url,
            api_key=api_key or None,
            prefer_grpc=grpc,
            grpc_port=grpc_port,
            timeout=math.ceil(timeout_s),
            grpc_options=dict(_RECONNECT),
            check_compatibility=False,  # it would ask in a thread of its own; `prepare` checks what matters
        )


def _overwritten(i: str, payload: dict[str, Any]) -> models.OverwritePayloadOperation:
    return models.OverwritePayloadOperation(overwrite_payload=models.SetPayload(payload=payload, points=[i]))


def _equals(key: str, value: str) -> models.Filter:
    return compiled(OneOf(key, (value,)))
