"""What every change of live documents takes along, in its own transaction: the collection gets another revision, and kept
answers that rest on the documents go."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, select, update

from ingest.adapters.cache_tables import answer_cache, answer_cache_documents
from ingest.adapters.tables import collections, documents

_AT_ONCE = 400  # SQLite takes a limited number of values in one statement


def changed(db: Connection, document_ids: Sequence[str]) -> None:
    """These documents came, changed, or went."""
    for at in range(0, len(document_ids), _AT_ONCE):
        some = document_ids[at : at + _AT_ONCE]
        touched = select(documents.c.collection_id).where(documents.c.id.in_(some))
        counted = update(collections).where(collections.c.id.in_(touched))
        db.execute(counted.values(revision=collections.c.revision + 1))
        resting = select(answer_cache_documents.c.number).where(answer_cache_documents.c.document_id.in_(some))
        db.execute(delete(answer_cache).where(answer_cache.c.number.in_(resting)))


def resting_cached(db: Connection, document_id: str) -> int:
    """How many kept answers rest on the document."""
    mine = answer_cache_documents.c.document_id == document_id
    return int(db.execute(select(func.count()).select_from(answer_cache_documents).where(mine)).scalar_one())
