"""Receipts in the catalog: begun in the commit that hides a document, signed in the one that removes its last row."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from ingest.adapters.job_tables import receipts
from ingest.adapters.tables import chunks, documents, versions
from ingest.receipt import Place, Receipt

Counts = Mapping[str, int]


def open_receipt(db: Connection, document_id: str, found: Counts) -> None:
    """Begin a receipt, unless one is begun: what a second attempt finds is less than what there was."""
    collection = db.execute(select(documents.c.collection_id).where(documents.c.id == document_id)).scalar()
    if collection is None or _number(db, document_id, signed=False) is not None:
        return
    held = {name: _rows(db, table, document_id) for name, table in (("chunks", chunks), ("versions", versions))}
    row = {"document_id": document_id, "collection_id": collection, "deleted_at": _now()}
    db.execute(insert(receipts).values(places=_places({**held, **found}), **row))


def sign_receipt(db: Connection, document_id: str, left: Counts) -> None:
    """Every place was looked at again, the catalog's own tables here and now."""
    number = _number(db, document_id, signed=False)
    if number is None:
        return
    held = {name: _rows(db, table, document_id) for name, table in (("chunks", chunks), ("versions", versions))}
    _amend(db, number, {}, {**held, **left}, signed_at=_now())


def add_places(db: Connection, document_id: str, job_id: str, found: Counts, left: Counts) -> None:
    """What others than the catalog and the index held, on the newest receipt of the document."""
    number = _number(db, document_id)
    if number is not None:
        _amend(db, number, found, left, job_id=job_id)


def find_receipt(db: Connection, document_id: str) -> Receipt | None:
    """The newest receipt of the document."""
    asked = select(receipts).where(receipts.c.document_id == document_id).order_by(receipts.c.number.desc()).limit(1)
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


def _number(db: Connection, document_id: str, *, signed: bool = True) -> int | None:
    """Of the document's newest receipt; without `signed`, if it is not signed yet."""
    asked = select(func.max(receipts.c.number)).where(receipts.c.document_id == document_id)
    found: int | None = db.execute(asked if signed else asked.where(receipts.c.signed_at.is_(None))).scalar()
    return found


def _rows(db: Connection, table: Any, document_id: str) -> int:
    asked = select(func.count()).select_from(table).where(table.c.document_id == document_id)
    return int(db.execute(asked).scalar_one())


def _places(found: Counts) -> dict[str, dict[str, int | None]]:
    return {name: {"found": count, "left": None} for name, count in found.items()}


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
