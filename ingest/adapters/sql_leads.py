"""How long documents introduce themselves, for whoever must tell which of them a question names."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from typing import Any

from sqlalchemy import Connection, and_, func, select

from ingest.adapters.tables import documents, versions
from ingest.metadata import from_json
from ingest.model import shown_title
from ingest.ports import Lead

_LONG = 8  # chunks; of a shorter document nearly every passage says what it is about
_CHARS = 1200  # a title page, or the first screen
_SLICE = 500  # ids in one query

_LIVE = and_(versions.c.document_id == documents.c.id, versions.c.number == documents.c.live_version)


def stamp(db: Connection, collection_id: str) -> str:
    """Count and last change of what is live."""
    mine = and_(documents.c.collection_id == collection_id, documents.c.live_version.is_not(None))
    count, last = db.execute(select(func.count(), func.max(documents.c.updated_at)).where(mine)).one()
    return f"{count} {last}"


def leads(db: Connection, collection_id: str, known: Mapping[str, int]) -> tuple[set[str], list[Lead]]:
    """All long live documents, and the leads of those that changed."""
    long = and_(documents.c.collection_id == collection_id, versions.c.chunks >= _LONG)
    asked = select(documents.c.id, documents.c.live_version).select_from(documents.join(versions, _LIVE)).where(long)
    live = {row.id: row.live_version for row in db.execute(asked)}
    changed = [i for i, version in live.items() if known.get(i) != version]
    return set(live), [_lead(row) for ids in _slices(changed) for row in _read(db, ids)]


def _slices(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _SLICE):
        yield ids[start : start + _SLICE]


def _read(db: Connection, ids: Sequence[str]) -> Sequence[Any]:
    v = versions.c
    head = func.substr(v.text, 1, _CHARS).label("head")
    columns = (documents.c.id, documents.c.name, v.number, v.title, v.metadata, v.modified_at, head)
    return db.execute(
        select(*columns).select_from(documents.join(versions, _LIVE)).where(documents.c.id.in_(ids))
    ).all()


def _lead(row: Any) -> Lead:
    """Its date is when it was made, by what it says itself: a file's time is often that of a copy."""
    said = from_json(row.metadata)
    return Lead(
        document_id=row.id,
        version=row.number,
        name=row.name,
        title=shown_title(row.title, row.name),
        text=row.head,
        dated=said.created_at or said.modified_at or row.modified_at.replace(tzinfo=UTC),
        access=said.access,
    )
