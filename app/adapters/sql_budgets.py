"""Budgets in the catalog's own database. The tables are handed in by the wiring, as those of jobs are.

A reservation is one conditional UPDATE for each budget, all in one transaction: the database compares and adds in one step,
so no two calls, of whatever process, both take what is there once. Rows are taken in the same order everywhere.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Row, Table, and_, delete, false, func, insert, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from app.adapters.sql_jobs import lock
from app.budgets.model import PERIODS, Amount, Period, Standing, Unit, window_of
from app.budgets.ports import Holding, Owner, Settled

T = TypeVar("T")
_FORGOTTEN = timedelta(days=2)  # freed reservations that nobody settles any more
_KEPT = timedelta(days=400)  # what was spent in a day or month


class Transactions(Protocol):
    """Whoever owns the database."""

    async def transaction(self, work: Callable[[Connection], T]) -> T:
        """Run the work in one transaction. Raises CatalogUnavailable, StorageFull."""
        ...


@dataclass(frozen=True, slots=True)
class Tables:
    """Those of the catalog's schema that are read or written here."""

    budgets: Table
    use: Table
    holds: Table
    owners: Table


class _Short(Exception):  # undoes the transaction
    def __init__(self, limit: Standing) -> None:
        self.limit = limit


class SqlBudgets:
    """BudgetStore on the catalog's tables."""

    def __init__(self, catalog: Transactions, tables: Tables) -> None:
        self._catalog = catalog
        self._t = tables

    async def since(self, seen: int) -> tuple[int, Mapping[str, bool]]:
        b = self._t.budgets.c
        changed = select(b.subject).where(b.changed > seen)
        asked = select(b.subject, func.count(b.most)).where(b.subject.in_(changed)).group_by(b.subject)
        last = select(func.coalesce(func.max(b.changed), 0))

        def read(db: Connection) -> tuple[int, Mapping[str, bool]]:
            newest = int(db.execute(last).scalar_one())
            return newest, {subject: count > 0 for subject, count in db.execute(asked)} if newest > seen else {}

        return await self._catalog.transaction(read)

    async def put(self, subject: str, limits: Mapping[tuple[Unit, Period], int | None]) -> None:
        def write(db: Connection) -> None:
            number = self._next(db)
            for (unit, period), most in limits.items():
                row = {"subject": subject, "unit": unit, "period": period, "most": most, "changed": number}
                put = self._insert(db, self._t.budgets).values(**row)
                changes = {"most": most, "changed": number}
                db.execute(put.on_conflict_do_update(index_elements=["subject", "unit", "period"], set_=changes))
            db.execute(update(self._t.use).where(self._t.use.c.subject == subject).values(warned=False))

        await self._catalog.transaction(write)

    async def standings(self, subjects: Collection[str] | None, now: datetime) -> Sequence[Standing]:
        return await self._catalog.transaction(lambda db: self._standings(db, subjects, now))

    async def hold(self, hold_id: str, owner: Owner, subjects: Collection[str], most: Amount, now: datetime) -> Holding:
        def step(db: Connection) -> Holding:
            lock(db)
            drawn_on = [limit for limit in self._standings(db, subjects, now) if most.of(limit.unit)]
            if not drawn_on:
                return Holding()
            self._beat(db, owner)
            for limit in drawn_on:
                self._reserve(db, limit, most.of(limit.unit))
            made = {"id": hold_id, "owner": owner.id, "freed": False, "made_at": _stored(now)}
            rows = [{**made, **_place(limit), "amount": most.of(limit.unit)} for limit in drawn_on]
            db.execute(insert(self._t.holds), rows)
            return Holding(drawn_on)

        try:
            return await self._catalog.transaction(step)
        except _Short as short:
            return Holding(short=short.limit)

    async def settle(self, hold_id: str, spent: Amount, warn_at: float) -> Settled:
        h = self._t.holds.c

        def step(db: Connection) -> Settled:
            lock(db)
            rows = self._rows(db, h.id == hold_id)
            db.execute(delete(self._t.holds).where(h.id == hold_id))
            for row in rows:
                self._count(db, row, spent.of(row.unit))
            standings = [standing for row in rows for standing in self._of_row(db, row)]
            return Settled(standings, [limit for limit in standings if self._warn(db, limit, warn_at)])

        return await self._catalog.transaction(step)

    async def owners(self) -> Sequence[Owner]:
        o = self._t.owners.c
        asked = select(o.id, o.place, o.pid, o.started, o.beat)
        return await self._catalog.transaction(lambda db: [Owner(*row) for row in db.execute(asked)])

    async def beat(self, owner: Owner) -> None:
        def step(db: Connection) -> None:
            lock(db)
            self._beat(db, owner)

        await self._catalog.transaction(step)

    async def free(self, owner: Owner) -> int:
        h, o = self._t.holds.c, self._t.owners.c
        held = and_(h.owner == owner.id, h.freed == false())

        def step(db: Connection) -> int:
            lock(db)
            if not db.execute(delete(self._t.owners).where(o.id == owner.id, o.beat == owner.beat)).rowcount:
                return 0  # it lives after all, or somebody else was first
            rows = self._rows(db, held)
            for row in rows:
                self._count(db, row, 0)
            db.execute(update(self._t.holds).where(held).values(freed=True))
            self._forget(db)
            return len({row.id for row in rows})

        return await self._catalog.transaction(step)

    def _reserve(self, db: Connection, limit: Standing, amount: int) -> None:
        """Raises _Short."""
        u = self._t.use.c
        fresh = {**_place(limit), "spent": 0, "reserved": 0, "warned": False}
        db.execute(self._insert(db, self._t.use).values(**fresh).on_conflict_do_nothing())
        fits = and_(self._at(limit), u.spent + u.reserved + amount <= limit.most)
        if not db.execute(update(self._t.use).where(fits).values(reserved=u.reserved + amount)).rowcount:
            found = db.execute(select(u.spent, u.reserved).where(self._at(limit))).one()
            raise _Short(replace(limit, spent=found.spent, reserved=found.reserved))

    def _count(self, db: Connection, row: Row[Any], spent: int) -> None:
        """What was spent instead of what was reserved."""
        u = self._t.use.c
        held = 0 if row.freed else row.amount
        change = {"spent": u.spent + spent, "reserved": u.reserved - held}
        db.execute(update(self._t.use).where(self._at(row)).values(**change))

    def _warn(self, db: Connection, limit: Standing, warn_at: float) -> bool:
        """Whether this is the first call of the period behind which the mark is reached, of whatever process."""
        if not warn_at:
            return False
        u = self._t.use.c
        first = and_(self._at(limit), u.warned == false(), u.spent >= ceil(limit.most * warn_at))
        return bool(db.execute(update(self._t.use).where(first).values(warned=True)).rowcount)

    def _rows(self, db: Connection, wanted: Any) -> list[Row[Any]]:
        return sorted(db.execute(select(self._t.holds).where(wanted).with_for_update()).all(), key=_order)

    def _standings(self, db: Connection, subjects: Collection[str] | None, now: datetime) -> list[Standing]:
        b, u = self._t.budgets.c, self._t.use.c
        wanted = b.most.is_not(None) if subjects is None else and_(b.most.is_not(None), b.subject.in_(list(subjects)))
        asked = select(b.subject, b.unit, b.period, b.most).where(wanted)
        limits = [Standing(*row[:3], window_of(row.period, now), row.most) for row in db.execute(asked)]
        limits.sort(key=_order)
        terms = sorted({limit.window for limit in limits})
        named = u.subject.in_({limit.subject for limit in limits})
        used = db.execute(select(self._t.use).where(named, u.term.in_(terms))).all() if limits else []
        known = {(row.subject, row.unit, row.term): row for row in used}
        return [_used(limit, known.get((limit.subject, limit.unit, limit.window))) for limit in limits]

    def _of_row(self, db: Connection, row: Row[Any]) -> list[Standing]:
        """The budget that a reservation was made in, as it stands; none where its limit was taken away meanwhile."""
        b = self._t.budgets.c
        period: Period = PERIODS[0] if len(row.term) > len("2026-11") else PERIODS[1]
        mine = and_(b.subject == row.subject, b.unit == row.unit, b.period == period)
        most = db.execute(select(b.most).where(mine)).scalar()
        used = db.execute(select(self._t.use).where(self._at(row))).first()
        return [] if most is None else [_used(Standing(row.subject, row.unit, period, row.term, most), used)]

    def _beat(self, db: Connection, owner: Owner) -> None:
        o = self._t.owners.c
        values = {"place": owner.place, "pid": owner.pid, "started": owner.started, "beat": owner.beat}
        put = self._insert(db, self._t.owners).values(id=owner.id, **values)
        newer = put.on_conflict_do_update(index_elements=["id"], set_={"beat": owner.beat}, where=o.beat < owner.beat)
        db.execute(newer)

    def _forget(self, db: Connection) -> None:
        """What nobody will ask for."""
        now = datetime.now(UTC)
        h, u = self._t.holds.c, self._t.use.c
        db.execute(delete(self._t.holds).where(h.freed != false(), h.made_at < _stored(now - _FORGOTTEN)))
        db.execute(delete(self._t.use).where(u.reserved == 0, u.term < window_of("day", now - _KEPT)))

    def _next(self, db: Connection) -> int:
        """Writers of limits come one after another, or who has seen the later number would never look for the earlier."""
        lock(db)
        if db.dialect.name != "sqlite":
            db.execute(text(f"LOCK TABLE {self._t.budgets.name} IN EXCLUSIVE MODE"))
        return int(db.execute(select(func.coalesce(func.max(self._t.budgets.c.changed), 0))).scalar_one()) + 1

    def _at(self, of: Any) -> Any:
        u = self._t.use.c
        place = _place(of)
        return and_(u.subject == place["subject"], u.unit == place["unit"], u.term == place["term"])

    def _insert(self, db: Connection, table: Table) -> Any:
        """An INSERT that knows ON CONFLICT, which each dialect has for itself."""
        return sqlite.insert(table) if db.dialect.name == "sqlite" else postgresql.insert(table)


def _place(of: Any) -> dict[str, str]:
    """Which row of use a budget, or a reservation, is about."""
    return {"subject": of.subject, "unit": of.unit, "term": of.window if isinstance(of, Standing) else of.term}


def _order(of: Any) -> tuple[str, ...]:
    """In which rows of use are taken, so that no two transactions wait for each other."""
    return tuple(_place(of).values())


def _used(limit: Standing, row: Row[Any] | None) -> Standing:
    return limit if row is None else replace(limit, spent=row.spent, reserved=row.reserved)


def _stored(at: datetime) -> datetime:
    """UTC without a zone: what the columns hold."""
    return at.astimezone(UTC).replace(tzinfo=None)
