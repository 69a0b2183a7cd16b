"""What stands around a chunk, read from the catalog's own database: neighbours by their numbers, text by its offsets."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from ingest.adapters.rows import live_chunk, live_columns
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


def _around(db: Connection, spans: Sequence[Span]) -> list[LiveChunk]:
    live = and_(chunks.c.document_id == documents.c.id, chunks.c.version == documents.c.live_version)
    version = and_(versions.c.document_id == documents.c.id, versions.c.number == documents.c.live_version)
    wanted = or_(*(_within(span) for span in dict.fromkeys(spans)))
    whole = chunks.join(documents, live).join(versions, version)
    return [live_chunk(row) for row in db.execute(select(*live_columns()).select_from(whole).where(wanted))]


def _within(span: Span) -> ColumnElement[bool]:
    return and_(
        chunks.c.document_id == span.document_id,
        chunks.c.version == span.version,
        chunks.c.ordinal >= span.start,
        chunks.c.ordinal < span.end,
    )


def _excerpt(db: Connection, span: Span) -> str | None:
    """Cut out by the database, so that a large document does not travel."""
    live = and_(versions.c.document_id == documents.c.id, versions.c.number == documents.c.live_version)
    mine = and_(documents.c.id == span.document_id, versions.c.number == span.version)
    cut = func.substr(versions.c.text, span.start + 1, span.end - span.start)
    found: str | None = db.execute(select(cut).select_from(documents.join(versions, live)).where(mine)).scalar()
    return found
