"""Receipts in the catalog: begun in the commit that hides a document, signed in the one that removes its last row."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, and_, func, insert, select, update

from ingest.adapters.job_tables import receipts
from ingest.adapters.sql_removal import resting_answers
from ingest.adapters.sql_revisions import resting_cached
from ingest.adapters.tables import chunks, documents, versions
from ingest.receipt import Place, Receipt

Counts = Mapping[str, int]


def open_receipt(db: Connection, document_id: str, found: Counts, job_id: str | None) -> None:
    """Begin a receipt, unless one is begun: what a second attempt finds is less than what there was."""
    collection = db.execute(select(documents.c.collection_id).where(documents.c.id == document_id)).scalar()
    if collection is None or _unsigned(db, document_id) is not None:
        return
    places = {name: {"found": count, "left": None} for name, count in {**_held(db, document_id), **found}.items()}
    row = {"document_id": document_id, "collection_id": collection, "job_id": job_id, "deleted_at": _now()}
    db.execute(insert(receipts).values(places=places, **row))


def sign_receipt(db: Connection, document_id: str, left: Counts) -> None:
    """Every place was looked at again, the catalog's own tables here and now."""
    number = _unsigned(db, document_id)
    if number is not None:
        _amend(db, number, {}, {**_held(db, document_id), **left}, signed_at=_now())


def add_places(db: Connection, job_id: str, found: Counts, left: Counts) -> None:
    """What others than the catalog and the index held, on the receipt that the job asked for."""
    number = db.execute(select(receipts.c.number).where(receipts.c.job_id == job_id)).scalar()
    if number is not None:
        _amend(db, number, found, left)


def find_receipt(db: Connection, document_id: str, job_id: str | None) -> Receipt | None:
    """The newest receipt of the document, or the one that the job asked for."""
    asked = select(receipts).where(receipts.c.document_id == document_id).order_by(receipts.c.number.desc()).limit(1)
    if job_id is not None:
        asked = asked.where(receipts.c.job_id == job_id)
    row = db.execute(asked).one_or_none()
    if row is None:
        return None
    places = {name: Place(**place) for name, place in row.places.items()}
    signed_at = row.signed_at and row.signed_at.replace(tzinfo=UTC)
    deleted_at = row.deleted_at.replace(tzinfo=UTC)
    return Receipt(row.document_id, row.collection_id, places, deleted_at, signed_at, row.job_id)


def _amend(db: Connection, number: int, found: Counts, left: Counts, **columns: Any) -> None:
    mine = receipts.c.number == number
    places = dict(db.execute(select(receipts.c.places).where(mine)).scalar_one())
    for name in {**found, **left}:
        known = places.get(name, {"found": 0, "left": None})
        places[name] = {"found": found.get(name, known["found"]), "left": left.get(name, known["left"])}
    db.execute(update(receipts).where(mine).values(places=places, **columns))


def _unsigned(db: Connection, document_id: str) -> int | None:
    mine = and_(receipts.c.document_id == document_id, receipts.c.signed_at.is_(None))
    found: int | None = db.execute(select(func.max(receipts.c.number)).where(mine)).scalar()
    return found


def _held(db: Connection, document_id: str) -> dict[str, int]:
    counts = {}
    for name, table in (("chunks", chunks), ("versions", versions)):
        asked = select(func.count()).select_from(table).where(table.c.document_id == document_id)
        counts[name] = int(db.execute(asked).scalar_one())
    return {**counts, "batches": resting_answers(db, document_id), "cache": resting_cached(db, document_id)}


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
