"""Kept answers in the catalog's own database, so that they go in the transaction that changes a document they rest on.

The tables are handed in by the wiring: the schema belongs to the catalog, and adapters do not know each other.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

import orjson
from sqlalchemy import Connection, Table, and_, delete, func, insert, or_, select
from sqlalchemy.exc import IntegrityError

from app.cache.key import Address
from app.cache.ports import Bounds, Entry, Looked

T = TypeVar("T")
_AT_ONCE = 100  # rows looked at together when there are too many bytes


class Transactions(Protocol):
    """Whoever owns the database."""

    async def transaction(self, work: Callable[[Connection], T]) -> T:
        """Run the work in one transaction. Raises CatalogUnavailable, StorageFull."""
        ...


@dataclass(frozen=True, slots=True)
class Tables:
    """Those of the catalog's schema that are read or written here."""

    answers: Table
    rests_on: Table
    collections: Table
    documents: Table
    versions: Table


class SqlAnswerCache:
    """AnswerCache on the catalog's tables."""

    def __init__(self, catalog: Transactions, tables: Tables) -> None:
        self._catalog = catalog
        self._t = tables

    async def look(self, at: Address, since: datetime) -> Looked:
        def read(db: Connection) -> Looked:
            revision = self._revision(db, at)
            a = self._t.answers.c
            entry = self._entry(db, at, revision, a.key == at.key(revision), since)
            newest = db.execute(select(func.max(a.number)).where(a.space == at.at(revision))).scalar()
            return Looked(revision, entry, newest or 0)

        return await self._catalog.transaction(read)

    async def vectors(self, at: Address, revision: int, after: int, limit: int) -> Sequence[tuple[int, bytes]]:
        a = self._t.answers.c
        mine = and_(a.space == at.at(revision), a.number > after)
        asked = select(a.number, a.vector).where(mine).order_by(a.number.desc()).limit(limit)

        def read(db: Connection) -> list[tuple[int, bytes]]:
            return [(row.number, row.vector) for row in db.execute(asked)][::-1]

        return await self._catalog.transaction(read)

    async def read(self, at: Address, revision: int, number: int, since: datetime) -> Entry | None:
        a = self._t.answers.c
        mine = and_(a.number == number, a.space == at.at(revision))

        def read(db: Connection) -> Entry | None:
            return self._entry(db, at, revision, mine, since) if self._revision(db, at) == revision else None

        return await self._catalog.transaction(read)

    async def keep(self, at: Address, revision: int, entry: Entry, bounds: Bounds) -> bool:
        return await self._catalog.transaction(lambda db: self._keep(db, at, revision, entry, bounds))

    async def clear(self) -> int:
        def forget(db: Connection) -> int:
            count = db.execute(select(func.count()).select_from(self._t.answers)).scalar_one()
            db.execute(delete(self._t.answers))
            return int(count)

        return await self._catalog.transaction(forget)

    def _revision(self, db: Connection, at: Address) -> int:
        c = self._t.collections.c
        found: int | None = db.execute(select(c.revision).where(c.id == at.collection_id)).scalar()
        return -1 if found is None else found

    def _entry(self, db: Connection, at: Address, revision: int, wanted: Any, since: datetime) -> Entry | None:
        """The one that is wanted; if it is damaged, too old or rests on what has changed, it goes."""
        row = db.execute(select(self._t.answers).where(wanted)).one_or_none()
        if row is None:
            return None
        rests_on = self._documents(db, row.number)
        found = Entry(row.text, row.body, rests_on, row.vector)
        sound = row.seal == _seal({name: getattr(row, name) for name in _SEALED}, rests_on)
        sound = sound and row.space == at.at(revision) and row.created_at >= _stored(since)
        standing = self._standing(db, at, rests_on)
        if not sound or not standing.keys() >= dict(rests_on).keys():
            db.execute(delete(self._t.answers).where(self._t.answers.c.number == row.number))
            return None
        return found if all(_admits(at.groups, access) for access in standing.values()) else None

    def _documents(self, db: Connection, number: int) -> tuple[tuple[str, int], ...]:
        r = self._t.rests_on.c
        rows = db.execute(select(r.document_id, r.version).where(r.number == number).order_by(r.document_id))
        return tuple((row.document_id, row.version) for row in rows)

    def _standing(self, db: Connection, at: Address, rests_on: Sequence[tuple[str, int]]) -> dict[str, Sequence[str]]:
        """Who may read them, of those that are live in that version and in the asker's collection."""
        d, v = self._t.documents.c, self._t.versions.c
        live = and_(v.document_id == d.id, v.number == d.live_version)
        joined = self._t.documents.join(self._t.versions, live)
        mine = and_(d.collection_id == at.collection_id, d.id.in_([document for document, _ in rests_on]))
        versions = dict(rests_on)
        rows = db.execute(select(d.id, d.live_version, v.metadata).select_from(joined).where(mine))
        return {row.id: row.metadata.get("access", ()) for row in rows if row.live_version == versions.get(row.id)}

    def _keep(self, db: Connection, at: Address, revision: int, entry: Entry, bounds: Bounds) -> bool:
        rests_on = tuple(sorted(entry.rests_on))
        if self._revision(db, at) != revision or self._standing(db, at, rests_on).keys() != dict(rests_on).keys():
            return False
        a = self._t.answers.c
        row = _row(at, revision, entry)
        row["seal"] = _seal(row, rests_on)
        outdated = and_(a.collection_id == at.collection_id, a.revision != revision)
        db.execute(delete(self._t.answers).where(or_(a.key == row["key"], outdated)))
        try:
            with db.begin_nested():
                number = db.execute(insert(self._t.answers).values(**row).returning(a.number)).scalar_one()
        except IntegrityError:
            return False  # another process has kept the same at this moment
        held = [{"number": number, "document_id": document, "version": version} for document, version in rests_on]
        if held:
            db.execute(insert(self._t.rests_on), held)
        self._prune(db, bounds)
        return True

    def _prune(self, db: Connection, bounds: Bounds) -> None:
        a = self._t.answers.c
        db.execute(delete(self._t.answers).where(a.created_at < _stored(bounds.since)))
        count, total = db.execute(select(func.count(), func.sum(a.bytes)).select_from(self._t.answers)).one()
        while total and (count > bounds.entries or total > bounds.bytes):
            last = None
            oldest = select(a.number, a.bytes).order_by(a.number).limit(_AT_ONCE)
            for row in db.execute(oldest).all():
                if count <= bounds.entries and total <= bounds.bytes:
                    break
                last, count, total = row.number, count - 1, total - row.bytes
            db.execute(delete(self._t.answers).where(a.number <= last))


_SEALED = ("key", "space", "collection_id", "revision", "created_at", "bytes", "text", "vector", "body")


def _row(at: Address, revision: int, entry: Entry) -> dict[str, Any]:
    return {
        "key": at.key(revision),
        "space": at.at(revision),
        "collection_id": at.collection_id,
        "revision": revision,
        "created_at": _stored(datetime.now(UTC)),
        "bytes": len(entry.body) + len(entry.vector) + len(entry.text.encode()),
        "text": entry.text,
        "vector": entry.vector,
        "body": entry.body,
    }


def _seal(row: Mapping[str, Any], rests_on: Sequence[tuple[str, int]]) -> str:
    """Nothing that a disk changed is believed, and no row that was put in another's place."""
    plain = {name: value.hex() if isinstance(value, bytes) else value for name, value in row.items() if name != "seal"}
    return hashlib.sha256(orjson.dumps([plain, rests_on], option=orjson.OPT_SORT_KEYS)).hexdigest()


def _admits(groups: frozenset[str] | None, access: Sequence[str]) -> bool:
    """As `Scope.admits`."""
    return groups is None or not access or not groups.isdisjoint(access)


def _stored(at: datetime) -> datetime:
    """UTC without a zone: what the columns hold."""
    return at.astimezone(UTC).replace(tzinfo=None)
