"""Keys in the catalog's own database. The table is handed in by the wiring, as those of jobs are."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Row, Table, func, insert, select, text, update

from app.keys.model import Key

T = TypeVar("T")


class Transactions(Protocol):
    """Whoever owns the database."""

    async def transaction(self, work: Callable[[Connection], T]) -> T:
        """Run the work in one transaction. Raises CatalogUnavailable, StorageFull."""
        ...


class SqlKeys:
    """KeyStore on the catalog's table."""

    def __init__(self, catalog: Transactions, table: Table) -> None:
        self._catalog = catalog
        self._table = table

    async def add(self, key: Key) -> None:
        def keep(db: Connection) -> None:
            number = self._next(db)
            db.execute(insert(self._table).values(**_values(key), changed=number))

        await self._catalog.transaction(keep)

    async def revoke(self, key_id: str, now: datetime) -> bool:
        k = self._table.c

        def end(db: Connection) -> bool:
            change = {"revoked_at": func.coalesce(k.revoked_at, _stored(now)), "changed": self._next(db)}
            return bool(db.execute(update(self._table).where(k.id == key_id).values(**change)).rowcount)

        return await self._catalog.transaction(end)

    async def all(self) -> list[Key]:
        k = self._table.c
        asked = select(self._table).order_by(k.created_at, k.id)
        return await self._catalog.transaction(lambda db: [_key(row) for row in db.execute(asked)])

    async def since(self, seen: int) -> tuple[int, Sequence[Key]]:
        k = self._table.c
        asked = select(self._table).where(k.changed > seen).order_by(k.changed)

        def read(db: Connection) -> tuple[int, Sequence[Key]]:
            rows = db.execute(asked).all()
            return (rows[-1].changed if rows else seen), [_key(row) for row in rows]

        return await self._catalog.transaction(read)

    def _next(self, db: Connection) -> int:
        """Writers come one after another, or a reader who has seen the later number would never look for the earlier."""
        if db.dialect.name == "sqlite":
            db.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            db.execute(text(f"LOCK TABLE {self._table.name} IN EXCLUSIVE MODE"))
        return int(db.execute(select(func.coalesce(func.max(self._table.c.changed), 0))).scalar_one()) + 1


def _values(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "digest": key.digest,
        "tenant": key.tenant,
        "scopes": sorted(key.scopes),
        "groups": None if key.groups is None else sorted(key.groups),
        "collections": None if key.collections is None else sorted(key.collections),
        "budget_nano_usd": key.budget_nano_usd,
        "created_at": _stored(key.created_at),
        "expires_at": key.expires_at and _stored(key.expires_at),
        "revoked_at": key.revoked_at and _stored(key.revoked_at),
    }


def _key(row: Row[Any]) -> Key:
    return Key(
        id=row.id,
        name=row.name,
        digest=row.digest,
        tenant=row.tenant,
        scopes=frozenset(row.scopes),
        groups=None if row.groups is None else frozenset(row.groups),
        collections=None if row.collections is None else frozenset(row.collections),
        created_at=row.created_at.replace(tzinfo=UTC),
        expires_at=row.expires_at and row.expires_at.replace(tzinfo=UTC),
        revoked_at=row.revoked_at and row.revoked_at.replace(tzinfo=UTC),
        budget_nano_usd=row.budget_nano_usd,
    )


def _stored(at: datetime) -> datetime:
    """UTC without a zone: what the columns hold."""
    return at.astimezone(UTC).replace(tzinfo=None)
