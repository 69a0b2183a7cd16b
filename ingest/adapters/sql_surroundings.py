"""What stands around a chunk, read from the catalog's own database: neighbours by their numbers, text by its offsets."""

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Select, and_, bindparam, func, or_, select

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

    async def around(self, spans: Sequence[Span], besides: Collection[str] = ()) -> list[LiveChunk]:
        return await self._catalog.transaction(lambda db: _around(db, spans, besides)) if spans else []

    async def excerpts(self, spans: Sequence[Span]) -> list[str | None]:
        return await self._catalog.transaction(lambda db: [_excerpt(db, span) for span in spans]) if spans else []


@lru_cache(maxsize=64)
def _around_of(count: int) -> Select[Any]:
    """A condition for each of so many spans: each is looked up in the primary key, which begins with these three. For a list
    of all triples, SQLite reads every chunk there is."""
    c = chunks.c
    named: list[tuple[Any, ...]] = [
        (bindparam(f"d{n}"), bindparam(f"v{n}"), bindparam(f"s{n}"), bindparam(f"e{n}")) for n in range(count)
    ]
    return live_select().where(
        or_(*(and_(c.document_id == d, c.version == v, c.ordinal >= s, c.ordinal < e) for d, v, s, e in named))
    )


def _around(db: Connection, spans: Sequence[Span], besides: Collection[str]) -> list[LiveChunk]:
    wanted: dict[str, str | int] = {}
    for n, span in enumerate(spans):
        wanted |= {f"d{n}": span.document_id, f"v{n}": span.version, f"s{n}": span.start, f"e{n}": span.end}
    return live_chunks_of(db.execute(_around_of(len(spans)), wanted), besides)


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
