"""Whether the catalog is whole: its file's structure, and as many chunks of every live version as were written."""

from typing import Any

from sqlalchemy import Connection, Select, and_, func, or_, select

from ingest.adapters.tables import chunks, documents, versions
from ingest.errors import CatalogCorrupt


def check(db: Connection) -> None:
    """Raises CatalogCorrupt. Texts are not read here: each row's seal is looked at whenever it is."""
    if db.dialect.name == "sqlite":
        found = db.exec_driver_sql("PRAGMA integrity_check(1)").scalar()
        if found != "ok":
            raise CatalogCorrupt("The catalog's file is damaged.")
    if db.execute(_torn()).first() is not None:
        raise CatalogCorrupt("A document in the catalog has lost chunks.")


def _torn() -> Select[Any]:
    """Live documents whose version is gone, or has another number of chunks than was written (0: not counted then)."""
    live = and_(versions.c.document_id == documents.c.id, versions.c.number == documents.c.live_version)
    there = select(func.count()).where(
        chunks.c.document_id == documents.c.id, chunks.c.version == documents.c.live_version
    )
    counted = and_(versions.c.chunks > 0, versions.c.chunks != there.scalar_subquery())
    return (
        select(documents.c.id)
        .select_from(documents.outerjoin(versions, live))
        .where(documents.c.live_version.is_not(None), or_(versions.c.number.is_(None), counted))
        .limit(1)
    )
