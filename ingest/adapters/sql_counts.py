"""How much of the catalog is live, and how much of that somebody may read."""

from collections.abc import Collection
from typing import Any

import orjson
from sqlalchemy import Connection, and_, func, select

from ingest.adapters.tables import chunks, documents, versions

_CHUNK = and_(chunks.c.document_id == documents.c.id, chunks.c.version == documents.c.live_version)
_VERSION = and_(versions.c.document_id == documents.c.id, versions.c.number == documents.c.live_version)


def count_all(db: Connection, collection_id: str | None) -> tuple[int, int]:
    """Live documents and their chunks."""
    mine = _mine(collection_id)
    n_documents = db.execute(select(func.count()).select_from(documents).where(mine)).scalar_one()
    n_chunks = db.execute(select(func.count()).select_from(chunks.join(documents, _CHUNK)).where(mine)).scalar_one()
    return n_documents, n_chunks


def count_readable(db: Connection, collection_id: str | None, groups: Collection[str]) -> tuple[int, int]:
    """Of them those that are for everyone, or for one of the groups. Sets of labels are few, so they are counted by these."""
    access = versions.c.metadata["access"].as_string().label("access")
    joined = documents.join(versions, _VERSION).outerjoin(chunks, _CHUNK)
    counts = (func.count(func.distinct(documents.c.id)), func.count(chunks.c.id))
    rows = db.execute(select(access, *counts).select_from(joined).where(_mine(collection_id)).group_by(access))
    mine = [(n, m) for labels, n, m in rows if not labels or not set(groups).isdisjoint(orjson.loads(labels))]
    return sum(n for n, _ in mine), sum(m for _, m in mine)


def _mine(collection_id: str | None) -> Any:
    live = documents.c.live_version.is_not(None)
    return live if collection_id is None else and_(live, documents.c.collection_id == collection_id)
