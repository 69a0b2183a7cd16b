"""What stands around a chunk, read from the catalog's own database: neighbours by their numbers, text by its offsets."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from sqlalchemy import Connection, and_, bindparam, func, select, tuple_

from ingest.adapters.rows import live_chunks_of, live_select
from ingest.adapters.tables import chunks, documents, versions
from ingest.ports import LiveChunk, Span

T = TypeVar("T")


class Transactions(Protocol):
    """Whoever owns the database."""

    async def transaction(self, work: Callable[[Connection], T]) -> T:
        """Run the work in one transaction. Raises CatalogUnavailable."""
        ...


class SqlSurroundings:
    """The surroundings port on the catalog's tables."""

    def __init__(self, catalog: Transactions) -> None:
        self._catalog = catalog

    async def around(self, spans: Sequence[Span]) -> list[LiveChunk]:
        return await self._catalog.transaction(lambda db: _around(db, spans)) if spans else []

    async def excerpts(self, spans: Sequence[Span]) -> list[str | None]:
        return await self._catalog.transaction(lambda db: [_excerpt(db, span) for span in spans]) if spans else []


# Led by the number: the primary key of chunks begins with these three.
_AROUND = live_select().where(
    tuple_(chunks.c.document_id, chunks.c.version, chunks.c.ordinal).in_(bindparam("keys", expanding=True))
)


def _around(db: Connection, spans: Sequence[Span]) -> list[LiveChunk]:
    keys = {(span.document_id, span.version, n) for span in spans for n in range(max(0, span.start), span.end)}
    return live_chunks_of(db.execute(_AROUND, {"keys": sorted(keys)}))


_OF_LIVE = and_(versions.c.document_id == documents.c.id, versions.c.number == documents.c.live_version)
# Cut out by the database, so that a large document does not travel.
_EXCERPT = (
    select(func.substr(versions.c.text, bindparam("from_"), bindparam("length")))
    .select_from(documents.join(versions, _OF_LIVE))
    .where(documents.c.id == bindparam("document"), versions.c.number == bindparam("version"))
)


def _excerpt(db: Connection, span: Span) -> str | None:
    wanted = {"document": span.document_id, "version": span.version}
    cut = {"from_": span.start + 1, "length": span.end - span.start}
    found: str | None = db.execute(_EXCERPT, wanted | cut).scalar()
    return found
