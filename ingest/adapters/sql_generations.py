"""Generations in the catalog's database: which index is live is decided by one row, in one commit."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from ingest.adapters.sql_catalog import SqlCatalog
from ingest.adapters.tables import generations
from ingest.generation import Generation, Scores

_TIMES = ("created_at", "swapped_at", "retired_at", "in_step_at")
g = generations.c


class SqlGenerations:
    """Generations on the catalog's engine."""

    def __init__(self, catalog: SqlCatalog) -> None:
        self._catalog = catalog

    async def all(self) -> list[Generation]:
        asked = select(generations).order_by(g.created_at.desc(), g.fingerprint)
        return await self._catalog.transaction(lambda db: [_generation(row) for row in db.execute(asked)])

    async def live(self) -> Generation | None:
        return next((found for found in await self.all() if found.state == "live"), None)

    async def begin(self, fingerprint: str, recipe: Mapping[str, Any], dimension: int) -> Generation:
        def write(db: Connection) -> Generation:
            known = _row(db, fingerprint)
            if known is None:
                _add(db, fingerprint, "building", recipe, dimension)
            elif known.state != "live":
                whole = None if known.state == "dropped" else known.in_step_at  # a dropped one may have lost its files
                again = {"state": "building", "recipe": dict(recipe), "dimension": dimension, "in_step_at": whole}
                _set(db, fingerprint, **again)
            return _generation(_row(db, fingerprint))

        return await self._catalog.transaction(write)

    async def found(self, fingerprint: str, recipe: Mapping[str, Any], dimension: int) -> Generation:
        def write(db: Connection) -> Generation:
            db.execute(update(generations).where(g.fingerprint != fingerprint).values(state="dropped", in_step_at=None))
            if _row(db, fingerprint) is None:
                _add(db, fingerprint, "live", recipe, dimension)
            now = {"state": "live", "recipe": dict(recipe), "dimension": dimension, "swapped_at": _now()}
            _set(db, fingerprint, **now, in_step_at=None)
            return _generation(_row(db, fingerprint))

        return await self._catalog.transaction(write)

    async def remember(self, fingerprint: str, recipe: Mapping[str, Any], dimension: int) -> None:
        known = {"recipe": dict(recipe), "dimension": dimension}
        await self._catalog.transaction(lambda db: _set(db, fingerprint, **known))

    async def in_step(self, fingerprint: str, since: datetime) -> None:
        def write(db: Connection) -> None:
            mine = update(generations).where(g.fingerprint == fingerprint)
            db.execute(mine.where(g.state == "building").values(state="ready"))
            db.execute(mine.where(g.state != "live").values(in_step_at=_stored(since)))

        await self._catalog.transaction(write)

    async def score(self, fingerprint: str, scores: Scores) -> None:
        await self._catalog.transaction(lambda db: _set(db, fingerprint, scores=dict(scores)))

    async def swap(self, fingerprint: str) -> None:
        def write(db: Connection) -> None:
            known = _row(db, fingerprint)
            if known is None:
                raise KeyError(fingerprint)
            if known.state == "live":
                return
            now = _now()
            former = update(generations).where(g.state == "live")
            db.execute(former.values(state="retired", retired_at=now, in_step_at=now))
            _set(db, fingerprint, state="live", swapped_at=now, in_step_at=None)

        await self._catalog.transaction(write)

    async def drop(self, fingerprint: str) -> None:
        mine = update(generations).where(g.fingerprint == fingerprint, g.state != "live")
        gone = mine.values(state="dropped", in_step_at=None)
        await self._catalog.transaction(lambda db: db.execute(gone))

    async def forget(self, fingerprint: str) -> None:
        mine = delete(generations).where(g.fingerprint == fingerprint, g.state == "dropped")
        await self._catalog.transaction(lambda db: db.execute(mine))


def _row(db: Connection, fingerprint: str) -> Any:
    return db.execute(select(generations).where(g.fingerprint == fingerprint)).one_or_none()


def _add(db: Connection, fingerprint: str, state: str, recipe: Mapping[str, Any], dimension: int) -> None:
    row = {"fingerprint": fingerprint, "state": state, "recipe": dict(recipe), "dimension": dimension}
    db.execute(insert(generations).values(**row, scores={}, created_at=_now()))


def _set(db: Connection, fingerprint: str, **values: Any) -> None:
    db.execute(update(generations).where(g.fingerprint == fingerprint).values(**values))


def _generation(row: Row[Any]) -> Generation:
    times = {name: at and at.replace(tzinfo=UTC) for name in _TIMES for at in (row._mapping[name],)}  # noqa: SLF001
    return Generation(row.fingerprint, row.state, row.recipe, row.dimension, row.scores, **times)


def _stored(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(tzinfo=None)


def _now() -> datetime:
    """UTC without a zone: what the columns hold."""
    return _stored(datetime.now(UTC))
