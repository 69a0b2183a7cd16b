"""Batches in the catalog's own database, so that a result and the documents that it rests on share transactions."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from sqlalchemy import Connection, Table, and_, delete, func, insert, select, update

from app.adapters.sql_jobs import SqlJobs, lock
from app.adapters.sql_webhooks import webhook_values
from app.batch import Part, Result, State, Waiting
from app.jobs import ENDED, Job, Key
from app.webhooks import Webhook

T = TypeVar("T")


class Transactions(Protocol):
    """Whoever owns the database."""

    async def transaction(self, work: Callable[[Connection], T]) -> T:
        """Run the work in one transaction. Raises CatalogUnavailable, StorageFull."""
        ...


@dataclass(frozen=True, slots=True)
class BatchTables:
    """The tables, as the wiring hands them in."""

    jobs: Table
    documents: Table
    questions: Table
    sources: Table
    parts: Table
    webhooks: Table


class SqlBatches:
    """BatchStore on the catalog's tables."""

    def __init__(self, catalog: Transactions, jobs: SqlJobs, tables: BatchTables) -> None:
        self._catalog = catalog
        self._jobs = jobs
        self._t = tables

    async def submit(
        self, job: Job, key: Key | None, questions: Sequence[tuple[str, Mapping[str, Any]]], webhook: Webhook | None
    ) -> Job:
        rows = [
            {"job_id": job.id, "number": number, "name": name, "state": "waiting", "asked": dict(body)}
            for number, (name, body) in enumerate(questions)
        ]

        def keep(db: Connection) -> Job:
            kept = self._jobs.keep(db, job, key)
            db.execute(insert(self._t.questions), rows)
            if webhook is not None:
                db.execute(insert(self._t.webhooks).values(**webhook_values(webhook)))
            return kept

        return await self._catalog.transaction(keep)

    async def waiting(self, job_id: str, after: int, limit: int) -> list[Waiting]:
        q = self._t.questions.c
        mine = and_(q.job_id == job_id, q.state == "waiting", q.number > after)
        asked = select(q.number, q.name, q.asked).where(mine).order_by(q.number).limit(limit)
        return await self._catalog.transaction(lambda db: [Waiting(*row) for row in db.execute(asked)])

    async def keep(self, job_id: str, number: int, line: bytes, documents: Collection[str], *, failed: bool) -> bool:
        """The documents are looked at in the transaction that writes; whoever hides one comes before it or behind it."""
        q = self._t.questions.c
        mine = and_(q.job_id == job_id, q.number == number, q.state == "waiting")
        values = {"state": "failed" if failed else "answered", "asked": None, "result": line}

        def step(db: Connection) -> bool:
            lock(db)
            if not self._all_live(db, documents):
                return False
            if db.execute(update(self._t.questions).where(mine).values(**values)).rowcount and documents:
                rows = [{"job_id": job_id, "number": number, "document_id": document} for document in documents]
                db.execute(insert(self._t.sources), rows)
            return True

        return await self._catalog.transaction(step)

    def _all_live(self, db: Connection, documents: Collection[str]) -> bool:
        d = self._t.documents.c
        live = and_(d.id.in_(list(documents)), d.live_version.is_not(None), d.status != "retired")
        return len(db.execute(select(d.id).where(live).with_for_update(read=True)).all()) == len(set(documents))

    async def results(self, job_id: str, after: int, limit: int) -> list[Result]:
        q = self._t.questions.c
        mine = and_(q.job_id == job_id, q.state != "waiting", q.number > after)
        asked = select(q.number, q.name, q.state, q.result).where(mine).order_by(q.number).limit(limit)
        return await self._catalog.transaction(lambda db: [Result(*row) for row in db.execute(asked)])

    async def rests_on(self, job_id: str, numbers: Sequence[int]) -> Mapping[int, frozenset[str]]:
        s = self._t.sources.c
        asked = select(s.number, s.document_id).where(s.job_id == job_id, s.number.in_(list(numbers)))

        def read(db: Connection) -> dict[int, frozenset[str]]:
            found: dict[int, frozenset[str]] = {}
            for number, document in db.execute(asked):
                found[number] = found.get(number, frozenset()) | {document}
            return found

        return await self._catalog.transaction(read)

    async def number(self, job_id: str, name: str) -> int | None:
        q = self._t.questions.c
        asked = select(q.number).where(q.job_id == job_id, q.name == name)
        return await self._catalog.transaction(lambda db: db.execute(asked).scalar())

    async def counts(self, job_id: str) -> Mapping[State, int]:
        q = self._t.questions.c
        asked = select(q.state, func.count()).where(q.job_id == job_id).group_by(q.state)
        return await self._catalog.transaction(
            lambda db: {cast("State", state): int(n) for state, n in db.execute(asked)}
        )

    async def pending(self) -> int:
        q, j = self._t.questions.c, self._t.jobs.c
        joined = self._t.questions.join(self._t.jobs, j.id == q.job_id)
        waits = and_(q.state == "waiting", j.status.not_in(ENDED))
        asked = select(func.count()).select_from(joined).where(waits)
        return await self._catalog.transaction(lambda db: int(db.execute(asked).scalar_one()))

    async def parts(self, job_id: str) -> list[Part]:
        p = self._t.parts.c
        asked = select(p.part, p.upstream_id).where(p.job_id == job_id).order_by(p.part)
        return await self._catalog.transaction(lambda db: [Part(*row) for row in db.execute(asked)])

    async def note_part(self, job_id: str, part: Part) -> None:
        p = self._t.parts.c

        def note(db: Connection) -> None:
            db.execute(delete(self._t.parts).where(p.job_id == job_id, p.part == part.number))
            row = {"job_id": job_id, "part": part.number, "upstream_id": part.upstream_id}
            db.execute(insert(self._t.parts).values(**row))

        await self._catalog.transaction(note)
