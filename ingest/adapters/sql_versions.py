"""Versions of documents: written beside the live ones, a group in one statement for each table, and made live in one commit."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, insert, select, update
from sqlalchemy.exc import NoResultFound

from ingest.adapters.rows import chunk_values, version_values
from ingest.adapters.sql_revisions import changed
from ingest.adapters.tables import chunks, documents, versions
from ingest.model import ChunkedDocument, Source, document_id

_AT_ONCE = 400  # SQLite takes a limited number of values in one statement
_MADE_LIVE = (
    update(documents)
    .where(documents.c.id == bindparam("document"))
    .values(
        live_version=bindparam("number"),
        status="live",
        sha256=bindparam("content"),
        splitter=bindparam("cut_by"),
        error_code=None,
        error_message=None,
        updated_at=bindparam("now"),
    )
)


def begin(db: Connection, group: Sequence[tuple[ChunkedDocument, str]]) -> dict[str, int]:
    """The next version of each document, not live; its number. What an unfinished attempt left is replaced."""
    live = _live_versions(db, [entry.document.id for entry, _ in group])
    fresh = [entry.document for entry, _ in group if entry.document.id not in live]
    _insert(db, documents, [_document_values(d.id, d.collection_id, d.source) for d in fresh])
    for document, number in live.items():
        _remove_unfinished(db, document, number)
    numbers = {entry.document.id: (live.get(entry.document.id) or 0) + 1 for entry, _ in group}
    _insert(db, versions, [version_values(entry, numbers[entry.document.id], splitter) for entry, splitter in group])
    cut = ((chunk, numbers[entry.document.id]) for entry, _ in group for chunk in entry.chunks)
    _insert(db, chunks, [chunk_values(chunk, number) for chunk, number in cut])
    return numbers


def flip(db: Connection, numbers: Mapping[str, int]) -> None:
    """What was retired since it was begun stays so: nothing that was deleted comes back by a run that began before."""
    gone, found, now = _retired(db, list(numbers)), _begun(db, list(numbers)), _now()
    rows = []
    for document, number in numbers.items():
        if document in gone:
            continue
        if (document, number) not in found:
            raise NoResultFound(f"There is no version {number} to be made live.")
        sha256, splitter = found[document, number]
        rows.append({"document": document, "number": number, "content": sha256, "cut_by": splitter, "now": now})
    if rows:
        db.execute(_MADE_LIVE, rows)
        changed(db, [document for document in numbers if document not in gone])


def document_row_of(db: Connection, collection: str, source: Source) -> str:
    """The id of the file's document, whose row is made if it is new."""
    found = document_id(collection, source.root, source.name)
    if not _live_versions(db, [found]):
        _insert(db, documents, [_document_values(found, collection, source)])
    return found


def _document_values(i: str, collection: str, source: Source) -> dict[str, Any]:
    """A new row has no content hash: it is stamped by the flip, so that a half-ingested file is never taken for one that is
    done."""
    row = {"id": i, "collection_id": collection, "root": source.root.as_posix(), "name": source.name}
    return {**row, "status": "pending", "sha256": "", "splitter": "", "updated_at": _now()}


def _live_versions(db: Connection, ids: Sequence[str]) -> dict[str, int | None]:
    """Of the documents that have a row, the number of the live version, None where there is none."""
    found: dict[str, int | None] = {}
    for some in _some(ids):
        asked = select(documents.c.id, documents.c.live_version).where(documents.c.id.in_(some))
        found |= {row.id: row.live_version for row in db.execute(asked)}
    return found


def _remove_unfinished(db: Connection, document: str, live: int | None) -> None:
    for table, number in ((versions, versions.c.number), (chunks, chunks.c.version)):
        mine = table.c.document_id == document
        db.execute(delete(table).where(and_(mine, number != live) if live is not None else mine))


def _retired(db: Connection, ids: Sequence[str]) -> set[str]:
    retired = select(documents.c.id).where(documents.c.status == "retired")
    return {i for some in _some(ids) for i in db.execute(retired.where(documents.c.id.in_(some))).scalars()}


def _begun(db: Connection, ids: Sequence[str]) -> dict[tuple[str, int], tuple[str, str]]:
    """Content hash and splitter of their versions, by document and number."""
    v = versions.c
    asked = select(v.document_id, v.number, v.sha256, v.splitter)
    rows = (row for some in _some(ids) for row in db.execute(asked.where(v.document_id.in_(some))))
    return {(row.document_id, row.number): (row.sha256, row.splitter) for row in rows}


def _some(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[at : at + _AT_ONCE] for at in range(0, len(ids), _AT_ONCE))


def _insert(db: Connection, table: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        db.execute(insert(table), rows)


def _now() -> datetime:
    """UTC without a zone: what the columns hold."""
    return datetime.now(UTC).replace(tzinfo=None)
