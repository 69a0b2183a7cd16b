"""Webhooks in the catalog's own database: kept with their jobs, due when these have ended."""

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, exists, select, update

from app.adapters.sql_jobs import job_of
from app.adapters.sql_owners import seen_by
from app.jobs import ENDED, Job, Told
from app.keys.model import Principal
from app.lead import Lead
from app.webhooks import Webhook

T = TypeVar("T")


class Transactions(Protocol):
    """Whoever owns the database."""

    async def transaction(self, work: Callable[[Connection], T]) -> T:
        """Run the work in one transaction. Raises CatalogUnavailable, StorageFull."""
        ...


class SqlWebhooks:
    """WebhookStore on the catalog's tables."""

    def __init__(self, catalog: Transactions, webhooks: Table, jobs: Table) -> None:
        self._catalog = catalog
        self._webhooks = webhooks
        self._jobs = jobs

    async def due(self, now: datetime, limit: int) -> list[tuple[Webhook, Job]]:
        w, j = self._webhooks.c, self._jobs.c
        wanted = and_(w.state == "waiting", w.due_at <= _stored(now), j.status.in_(ENDED))
        joined = self._webhooks.join(self._jobs, j.id == w.job_id)
        asked = select(w.number, w.job_id).select_from(joined).where(wanted).order_by(w.due_at, w.number).limit(limit)

        def read(db: Connection) -> list[tuple[Webhook, Job]]:
            return [self._with_job(db, number, job) for number, job in db.execute(asked)]

        return await self._catalog.transaction(read)

    def _with_job(self, db: Connection, number: int, job_id: str) -> tuple[Webhook, Job]:
        webhook = db.execute(select(self._webhooks).where(self._webhooks.c.number == number)).one()
        return _webhook(webhook), job_of(db.execute(select(self._jobs).where(self._jobs.c.id == job_id)).one())

    async def waits(self) -> bool:
        asked = select(exists().where(self._webhooks.c.state == "waiting"))
        return await self._catalog.transaction(lambda db: bool(db.execute(asked).scalar()))

    async def note(self, webhook: Webhook) -> None:
        """Nothing changes for one that is at its end, by whatever road."""
        w = self._webhooks.c
        mine = and_(w.id == webhook.id, w.state == "waiting")
        change = update(self._webhooks).where(mine).values(**webhook_values(webhook))
        await self._catalog.transaction(lambda db: db.execute(change))

    async def give_up(self, url: str, error: Told, now: datetime) -> None:
        w = self._webhooks.c
        dead = {"state": "dead", "error": asdict(error), "ended_at": _stored(now)}
        change = update(self._webhooks).where(w.url == url, w.state == "waiting").values(**dead)
        await self._catalog.transaction(lambda db: db.execute(change))

    async def of_job(self, job_id: str) -> Webhook | None:
        return await self._one(select(self._webhooks).where(self._webhooks.c.job_id == job_id))

    async def dead(self, limit: int, after: str | None, who: Principal | None = None) -> list[Webhook]:
        w = self._webhooks.c
        mine = self._seen_by(who)
        asked = select(self._webhooks).where(w.state == "dead", mine).order_by(w.number.desc()).limit(limit)
        if after is not None:
            asked = asked.where(w.number < select(w.number).where(w.id == after, mine).scalar_subquery())
        return await self._catalog.transaction(lambda db: [_webhook(row) for row in db.execute(asked)])

    async def revive(self, webhook_id: str, now: datetime, who: Principal | None = None) -> Webhook | None:
        w = self._webhooks.c
        mine = and_(w.id == webhook_id, w.state == "dead", self._seen_by(who))
        again = {"state": "waiting", "attempts": 0, "due_at": _stored(now), "ended_at": None}

        def step(db: Connection) -> Webhook | None:
            if not db.execute(update(self._webhooks).where(mine).values(**again)).rowcount:
                return None
            return _webhook(db.execute(select(self._webhooks).where(w.id == webhook_id)).one())

        return await self._catalog.transaction(step)

    def _seen_by(self, who: Principal | None) -> ColumnElement[bool]:
        """Those of jobs that somebody may see."""
        return self._webhooks.c.job_id.in_(select(self._jobs.c.id).where(seen_by(self._jobs, who)))

    async def last_status(self, url: str) -> int | None:
        w = self._webhooks.c
        said = and_(w.url == url, w.status.is_not(None), w.ended_at.is_not(None))
        asked = select(w.status).where(said).order_by(w.ended_at.desc(), w.number.desc()).limit(1)
        return await self._catalog.transaction(lambda db: db.execute(asked).scalar())

    async def _one(self, asked: Any) -> Webhook | None:
        def read(db: Connection) -> Webhook | None:
            row = db.execute(asked).one_or_none()
            return _webhook(row) if row is not None else None

        return await self._catalog.transaction(read)


class SharedWebhooks(SqlWebhooks):
    """On a database that other processes share: whoever has the lead sends, also what the others were given."""

    def __init__(self, catalog: Transactions, webhooks: Table, jobs: Table, lead: Lead) -> None:
        super().__init__(catalog, webhooks, jobs)
        self._lead = lead

    async def due(self, now: datetime, limit: int) -> list[tuple[Webhook, Job]]:
        return await super().due(now, limit) if self._lead.held else []

    async def waits(self) -> bool:
        """Somebody else may be given one at any time."""
        return True


def webhook_values(webhook: Webhook) -> dict[str, Any]:
    """Its row, but for the number."""
    times = {"due_at": _stored(webhook.due_at), "ended_at": webhook.ended_at and _stored(webhook.ended_at)}
    return {**asdict(webhook), "error": asdict(webhook.error) if webhook.error else None, **times}


def _webhook(row: Row[Any]) -> Webhook:
    ended = row.ended_at.replace(tzinfo=UTC) if row.ended_at else None
    found = Webhook(row.id, row.job_id, row.url, row.state, row.attempts, row.due_at.replace(tzinfo=UTC), row.status)
    return replace(found, error=Told(**row.error) if row.error else None, ended_at=ended)


def _stored(at: datetime) -> datetime:
    """UTC without a zone: what the columns hold."""
    return at.astimezone(UTC).replace(tzinfo=None)
