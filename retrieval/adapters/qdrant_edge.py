"""Dense and BM25 search in one embedded Qdrant shard (`qdrant-edge-py`).

One process owns a shard. Its calls hold the GIL, so they run on one thread and are short. An acknowledged upsert is not
yet fsynced: what writes flushes before it returns.
"""

import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import qdrant_edge as edge
import structlog

from ingest.errors import GroundedError
from ingest.shielded import shielded
from ingest.storage import check_room, fill_holes, storage_fault
from retrieval.adapters.edge_filter import INDEXED, compiled, stored
from retrieval.adapters.edge_scope import Holdings
from retrieval.adapters.lexical_terms import FORMAT, Lexicon
from retrieval.adapters.shard_seal import break_seal, write_seal
from retrieval.errors import IndexUnavailable
from retrieval.filters import OneOf
from retrieval.model import EmbeddedQuery, Query, Ranked
from retrieval.ports import Payload, Point

T = TypeVar("T")
_FORMAT_FILE = "terms"
_MADE = f"{FORMAT}.2"  # of terms and of vectors; what was made otherwise is made anew. 2: with codes of four bits
# Codes of four bits a dimension are read for all points, and the vectors themselves for twice as many as are wanted, which
# found what an exact search finds. 19 MB for 100,000 points stay in the processor's cache, where 150 MB do not.
_CODES = edge.TurboQuantQuantizationConfig(bits=edge.TurboQuantBitSize.Bits4, memory=edge.Memory.Pinned)
_BY_CODES = edge.SearchParams(quantization=edge.QuantizationSearchParams(rescore=True, oversampling=2.0))
_ROOM = 16 * 2**20  # bytes; the engine maps files and is killed when there is no place for a page of them
_UPSERT_BATCH = 256
_SCROLL_PAGE = 1000


class QdrantEdgeIndex:
    """VectorIndex, LexicalIndex and PointStore on one shard."""

    def __init__(self, folder: Path, dimension: int) -> None:
        """Opens the shard in `folder`, or creates it. Raises IndexUnavailable when it cannot be opened."""
        self._lexicon = Lexicon()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="qdrant-edge")
        self._folder = folder
        with _translated(folder):
            self._shard = _open(folder, dimension)
            self._holdings = Holdings(self._shard, folder)

    async def search_dense(self, vector: EmbeddedQuery, query: Query, limit: int) -> list[Ranked]:
        nearest = edge.Query.Nearest(vector.vector.tolist(), using="dense")

        def search() -> list[Ranked]:
            confined = self._holdings.needed(query.confined)
            request = edge.QueryRequest(limit=limit, query=nearest, filter=confined, params=_BY_CODES)
            return _ranked(self._shard.query(request))

        return await self._call(search)

    async def search_lexical(self, query: Query, limit: int) -> list[Ranked]:
        """Term statistics are those of the query's scope: what the asker may not read does not weigh in what they find."""
        terms = self._lexicon.question(query.text)
        if not terms:
            return []
        nearest = edge.Query.Nearest(edge.SparseVector(terms, [1.0] * len(terms)), using="bm25")

        def search() -> list[Ranked]:
            confined = self._holdings.needed(query.confined)
            params = edge.SearchParams(idf=self._holdings.corpus(query.scope.filter))
            request = edge.QueryRequest(limit=limit, query=nearest, filter=confined, params=params)
            return _ranked(self._shard.query(request))

        return await self._call(search)

    async def upsert(self, points: Sequence[Point]) -> None:
        def write() -> None:
            self._holdings.note(point.payload for point in points)
            if self._shard.retrieve([point.id for point in points], with_payload=False, with_vector=False):
                self._holdings.note_deletion()
            for start in range(0, len(points), _UPSERT_BATCH):
                batch = [self._point(point) for point in points[start : start + _UPSERT_BATCH]]
                self._shard.update(edge.UpdateOperation.upsert_points(batch))
            self._shard.flush()
            fill_holes(self._folder)

        await self._call(write)

    async def describe(self, payloads: Mapping[str, Payload]) -> int:
        def write() -> int:
            self._holdings.note(payloads.values())
            found = self._shard.retrieve(list(payloads), with_payload=True, with_vector=False)
            wanted = {str(r.id): stored(payloads[str(r.id)]) for r in found}
            stale = [str(r.id) for r in found if r.payload != wanted[str(r.id)]]
            for i in stale:
                self._shard.update(edge.UpdateOperation.overwrite_payload([i], wanted[i]))
            if stale:
                self._shard.flush()
                fill_holes(self._folder)
            return len(stale)

        return await self._call(write) if payloads else 0

    async def existing(self, ids: Sequence[str]) -> set[str]:
        if not ids:
            return set()

        def read() -> set[str]:
            return {str(r.id) for r in self._shard.retrieve(list(ids), with_payload=False, with_vector=False)}

        return await self._call(read)

    async def delete_document(self, document_id: str, keep: Collection[str]) -> list[str]:
        kept = set(keep)

        def delete() -> list[str]:
            condition = _equals("document_id", document_id)
            gone = [i for i in self._scroll(condition) if i not in kept]
            if gone:
                self._holdings.note_deletion()
                self._shard.update(edge.UpdateOperation.delete_points(list(gone)))
                self._shard.flush()
            return gone

        return await self._call(delete)

    async def count(self, collection_id: str | None = None) -> int:
        return await self._count(_equals("collection_id", collection_id) if collection_id else None)

    async def count_document(self, document_id: str) -> int:
        return await self._count(_equals("document_id", document_id))

    async def _count(self, condition: edge.Filter | None) -> int:
        request = edge.CountRequest(filter=condition, exact=True)
        return await self._call(lambda: self._shard.count(request))

    async def prepare(self) -> None:
        """Nothing: the shard was made when it was opened."""

    async def activate(self) -> None:
        """Nothing: the folder of the generation that answers is the one that was opened."""

    async def discard(self) -> None:
        """Nothing: all of it is in the folder."""

    async def close(self) -> None:
        """Flushes, lets the shard go and seals it. Nothing may be called afterwards."""
        await self._call(self._closed)
        self._thread.shutdown()

    def _closed(self) -> None:
        self._shard.close()
        write_seal(self._folder)

    def _point(self, point: Point) -> edge.Point:
        weights = self._lexicon.document(point.text).weights
        bm25 = edge.SparseVector(list(weights), list(weights.values()))
        vectors = {"dense": point.embedded.vector.tolist(), "bm25": bm25}
        return edge.Point(id=point.id, vector=vectors, payload=stored(point.payload))

    def _scroll(self, condition: edge.Filter) -> Iterator[str]:
        offset: edge.PointId | None = None
        while True:
            request = edge.ScrollRequest(
                offset=offset, limit=_SCROLL_PAGE, filter=condition, with_payload=False, with_vector=False
            )
            records, offset = self._shard.scroll(request)
            yield from (str(record.id) for record in records)
            if offset is None:
                return

    async def _call(self, work: Callable[[], T]) -> T:
        """Run on the shard's thread."""

        def translated() -> T:
            with _translated(self._folder):
                return work()

        return await shielded(self._thread, translated)


def _open(folder: Path, dimension: int) -> edge.EdgeShard:
    """A shard that cannot be loaded is moved aside, and an empty one takes its place: all that it held is held twice."""
    folder.mkdir(parents=True, exist_ok=True)
    check_room(folder, _ROOM)
    if (folder / "edge_config.json").exists():
        fill_holes(folder)
        cause = "it is not what was written"
        try:
            if break_seal(folder):
                shard = edge.EdgeShard.load(str(folder))
                if _format(folder) == _MADE:
                    return shard
                shard.close()
                structlog.get_logger().warning("index.rebuilt", part="shard", cause="it was written by another release")
                return _created(folder, dimension)
        except BaseException as error:
            if not _is_damage(error, folder):
                raise
            cause = str(error)
        structlog.get_logger().warning("index.rebuilt", part="shard", cause=cause)
        _move_aside(folder)
    return _created(folder, dimension)


def _is_damage(error: BaseException, folder: Path) -> bool:
    """Whether the shard's files are at fault, rather than the disk or the number of files that may be open."""
    out_of_files = "too many open files" in str(error).casefold()
    return _is_engines(error) and storage_fault(error, folder) is None and not out_of_files


def _is_engines(error: BaseException) -> bool:
    """The engine's own: exceptions of several kinds, and its panics, which are no Exception in Python."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _move_aside(folder: Path) -> None:
    damaged = folder.with_name(f"{folder.name}.damaged")
    shutil.rmtree(damaged, ignore_errors=True)
    folder.rename(damaged)


def _created(folder: Path, dimension: int) -> edge.EdgeShard:
    shutil.rmtree(folder, ignore_errors=True)  # what a creation that was cut short left behind holds no point
    folder.mkdir(parents=True)
    config = edge.EdgeConfig(
        vectors={"dense": edge.EdgeVectorParams(dimension, edge.Distance.Dot, quantization_config=_CODES)},
        sparse_vectors={"bm25": edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
    )
    shard = edge.EdgeShard.create(str(folder), config)
    for name, kind in INDEXED.items():
        shard.update(edge.UpdateOperation.create_field_index(name, kind))
    shard.flush()
    (folder / _FORMAT_FILE).write_text(f"{_MADE}\n")
    fill_holes(folder)
    return shard


def _format(folder: Path) -> str:
    """How the shard was made: those of the first releases do not tell."""
    try:
        return (folder / _FORMAT_FILE).read_text().strip()
    except FileNotFoundError:
        return ""


def _equals(key: str, value: str) -> edge.Filter:
    return compiled(OneOf(key, (value,)))


def _ranked(points: Sequence[edge.ScoredPoint]) -> list[Ranked]:
    """Equal scores by id, not by the order of writing: a shard that was filled again ranks as the one before."""
    ranked = [Ranked(str(point.id), point.score) for point in points]
    return sorted(ranked, key=lambda entry: (-entry.score, entry.id))


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    """The engine raises bare exceptions of several kinds; to us they all say that the index cannot be used."""
    try:
        yield
    except GroundedError:
        raise
    except BaseException as error:
        if not _is_engines(error):
            raise
        raise storage_fault(error, folder) or IndexUnavailable("The embedded index could not be used.") from error
