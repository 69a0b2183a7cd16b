"""The job store in the catalog's own database, so that a job and the documents it is about share transactions.

The tables are handed in by the wiring: the schema belongs to the catalog, and adapters do not know each other.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Executable, Row, Table, and_, case, delete, func, insert, select, update

from app.adapters.sql_owners import owner_of, owner_values, seen_by
from app.errors import IdempotencyConflict, IngestRunning, ReindexRunning
from app.jobs import ENDED, FileEntry, Job, JobStatus, Key, Progress, Reply, Told
from app.keys.model import Principal

T = TypeVar("T")


class Transactions(Protocol):
    """Whoever owns the database."""

    async def transaction(self, work: Callable[[Connection], T]) -> T:
        """Run the work in one transaction. Raises CatalogUnavailable, StorageFull."""
        ...


class SqlJobs:
    """JobStore on the catalog's tables."""

    def __init__(
        self,
        catalog: Transactions,
        jobs: Table,
        files: Table,
        keys: Table,
        documents: Table,
        questions: Table | None = None,
    ) -> None:
        """`questions` are those of batches: what was asked goes with the end of its job, whatever end that is."""
        self._catalog = catalog
        self._jobs = jobs
        self._files = files
        self._keys = keys
        self._documents = documents
        self._questions = questions

    async def submit(self, job: Job, key: Key | None = None) -> Job:
        return await self._catalog.transaction(lambda db: self.keep(db, job, key))

    def keep(self, db: Connection, job: Job, key: Key | None = None) -> Job:
        """What `submit` does, within the transaction of a store that keeps more of the job."""
        lock(db)
        kept = self._rival(db, job)
        if kept is None:
            db.execute(insert(self._jobs).values(**_values(job)))
            kept = job
        if key is not None:
            row = {"key": key.hash, "fingerprint": key.fingerprint, "job_id": kept.id, "created_at": _now()}
            db.execute(delete(self._keys).where(self._keys.c.key == key.hash))
            db.execute(insert(self._keys).values(**row))
        return kept

    def _rival(self, db: Connection, job: Job) -> Job | None:
        """The job that does the same already. Raises IngestRunning, ReindexRunning for one that does otherwise."""
        if not job.targets:
            return None
        for other in self._unfinished(db):
            if set(other.targets) & set(job.targets):
                if other.spec == job.spec and not other.cancel_requested:
                    return other
                details = {"job_id": other.id}
                if job.type == "reindex":
                    raise ReindexRunning("A reindex with other options is not at its end.", details=details)
                raise IngestRunning("An ingest of this folder with other options is not at its end.", details=details)
        return None

    async def find(self, job_id: str) -> Job | None:
        asked = select(self._jobs).where(self._jobs.c.id == job_id)

        def read(db: Connection) -> Job | None:
            row = db.execute(asked).one_or_none()
            return job_of(row) if row is not None else None

        return await self._catalog.transaction(read)

    async def page(
        self,
        limit: int,
        after: str | None = None,
        status: JobStatus | None = None,
        who: Principal | None = None,
    ) -> list[Job]:
        j = self._jobs.c
        asked = select(self._jobs).where(seen_by(self._jobs, who)).order_by(j.number.desc()).limit(limit)
        if after is not None:
            behind = select(j.number).where(j.id == after, seen_by(self._jobs, who))
            asked = asked.where(j.number < behind.scalar_subquery())
        if status is not None:
            asked = asked.where(j.status == status)
        return await self._catalog.transaction(lambda db: [job_of(row) for row in db.execute(asked)])

    async def unfinished(self) -> list[Job]:
        return await self._catalog.transaction(self._unfinished)

    def _unfinished(self, db: Connection) -> list[Job]:
        j = self._jobs.c
        return [job_of(row) for row in db.execute(select(self._jobs).where(j.status.not_in(ENDED)).order_by(j.number))]

    async def files(self, job_id: str) -> list[FileEntry]:
        asked = select(self._files).where(self._files.c.job_id == job_id).order_by(self._files.c.path)
        return await self._catalog.transaction(lambda db: [_entry(row) for row in db.execute(asked)])

    async def begin(self, job_id: str) -> Job | None:
        j = self._jobs.c
        now = _now()
        started = func.coalesce(j.started_at, now)
        change = {"status": "processing", "attempts": j.attempts + 1, "started_at": started, "updated_at": now}

        def step(db: Connection) -> Job | None:
            mine = and_(j.id == job_id, j.status.not_in(ENDED))
            if db.execute(update(self._jobs).where(mine).values(**change)).rowcount == 0:
                return None
            return job_of(db.execute(select(self._jobs).where(mine)).one())

        return await self._catalog.transaction(step)

    async def advance(
        self, job_id: str, details: Mapping[str, int], progress: Progress, files: Sequence[FileEntry] = ()
    ) -> None:
        j = self._jobs.c
        how_far = {"done": progress.done, "total": progress.total, "unit": progress.unit}
        change = {"details": dict(details), **how_far, "attempts": 0, "updated_at": _now()}

        def step(db: Connection) -> None:
            mine = and_(j.id == job_id, j.status == "processing")
            if db.execute(update(self._jobs).where(mine).values(**change)).rowcount:
                self._add_files(db, job_id, files)

        await self._catalog.transaction(step)

    def _add_files(self, db: Connection, job_id: str, files: Sequence[FileEntry]) -> None:
        """A document that is gone by now has no row to lean on, and nothing is told of it."""
        f, d = self._files.c, self._documents.c
        wanted = [entry.document_id for entry in files if entry.document_id is not None]
        there = set(db.execute(select(d.id).where(d.id.in_(wanted))).scalars()) if wanted else set()
        rows = [_file_values(job_id, e) for e in files if e.document_id is None or e.document_id in there]
        if rows:
            db.execute(delete(self._files).where(f.job_id == job_id, f.path.in_([row["path"] for row in rows])))
            db.execute(insert(self._files), rows)

    async def touch(self, job_ids: Collection[str]) -> None:
        mine = self._jobs.c.id.in_(list(job_ids))
        await self._do(update(self._jobs).where(mine).values(updated_at=_now()))

    async def finish(self, job_id: str, status: JobStatus, error: Told | None = None) -> None:
        j, now = self._jobs.c, _now()
        told = asdict(error) if error else None
        change = {"status": status, "error": told, "finished_at": now, "updated_at": now}

        def end(db: Connection) -> None:
            mine = and_(j.id == job_id, j.status.not_in(ENDED))
            db.execute(update(self._jobs).where(mine).values(**change))
            self._unspecify(db, job_id)

        await self._catalog.transaction(end)

    def _unspecify(self, db: Connection, job_id: str) -> None:
        """What an ingest was asked for may name documents; a deletion's holds ids, by which its receipt is found."""
        j = self._jobs.c
        ended = and_(j.id == job_id, j.status.in_(ENDED))
        db.execute(update(self._jobs).where(ended, j.type == "ingest").values(spec={}))
        if self._questions is not None:
            q = self._questions.c
            asked = and_(q.job_id.in_(select(j.id).where(ended)), q.state == "waiting")
            db.execute(update(self._questions).where(asked).values(asked=None))

    async def cancel(self, job_id: str) -> Job | None:
        j, now = self._jobs.c, _now()
        waits = j.status == "enqueued"
        change = {
            "cancel_requested": True,
            "status": case((waits, "canceled"), else_=j.status),
            "finished_at": case((waits, now), else_=j.finished_at),
            "updated_at": now,
        }

        def step(db: Connection) -> Job | None:
            db.execute(update(self._jobs).where(j.id == job_id, j.status.not_in(ENDED)).values(**change))
            self._unspecify(db, job_id)
            row = db.execute(select(self._jobs).where(j.id == job_id)).one_or_none()
            return job_of(row) if row is not None else None

        return await self._catalog.transaction(step)

    async def count_named(self, document_id: str) -> int:
        asked = select(func.count()).select_from(self._files).where(self._files.c.document_id == document_id)
        return await self._catalog.transaction(lambda db: int(db.execute(asked).scalar_one()))

    async def unname(self, document_id: str) -> None:
        mine = self._files.c.document_id == document_id
        await self._do(delete(self._files).where(mine))

    async def recall(self, key: Key) -> Reply | None:
        asked = select(self._keys).where(self._keys.c.key == key.hash)

        def read(db: Connection) -> Reply | None:
            row = db.execute(asked).one_or_none()
            if row is None:
                return None
            if row.fingerprint != key.fingerprint:
                raise IdempotencyConflict("This Idempotency-Key came with another request before.")
            return Reply(row.job_id, row.status, row.body)

        return await self._catalog.transaction(read)

    async def remember(self, key: Key, status: int, body: bytes) -> None:
        mine = self._keys.c.key == key.hash
        reply = {"status": status, "body": body}

        def keep(db: Connection) -> None:
            if db.execute(update(self._keys).where(mine).values(**reply)).rowcount == 0:
                row = {"key": key.hash, "fingerprint": key.fingerprint, "created_at": _now()}
                db.execute(insert(self._keys).values(**row, **reply))

        await self._catalog.transaction(keep)

    async def prune(self, before: datetime) -> int:
        j, limit = self._jobs.c, _stored(before)

        def forget(db: Connection) -> int:
            db.execute(delete(self._keys).where(self._keys.c.created_at < limit))
            return db.execute(delete(self._jobs).where(j.status.in_(ENDED), j.finished_at < limit)).rowcount

        return await self._catalog.transaction(forget)

    async def _do(self, statement: Executable) -> None:
        await self._catalog.transaction(lambda db: db.execute(statement))


def lock(db: Connection) -> None:
    """What is read below must still hold when the row is written; SQLite would take its lock only with the insert."""
    if db.dialect.name == "sqlite":
        db.exec_driver_sql("BEGIN IMMEDIATE")


def _values(job: Job) -> dict[str, Any]:
    progress = {"done": job.progress.done, "total": job.progress.total, "unit": job.progress.unit}
    return {
        "id": job.id,
        "type": job.type,
        "spec": dict(job.spec),
        "status": job.status,
        "details": dict(job.details),
        **progress,
        "error": asdict(job.error) if job.error else None,
        "attempts": job.attempts,
        "cancel_requested": job.cancel_requested,
        "enqueued_at": _stored(job.enqueued_at),
        "updated_at": _stored(job.updated_at),
        **owner_values(job.owner),
    }


def job_of(row: Row[Any]) -> Job:
    """The job of a row."""
    return Job(
        id=row.id,
        type=row.type,
        spec=row.spec,
        status=row.status,
        enqueued_at=row.enqueued_at.replace(tzinfo=UTC),
        updated_at=row.updated_at.replace(tzinfo=UTC),
        details=row.details,
        progress=Progress(row.done, row.total, row.unit),
        error=Told(**row.error) if row.error else None,
        attempts=row.attempts,
        cancel_requested=row.cancel_requested,
        started_at=row.started_at and row.started_at.replace(tzinfo=UTC),
        finished_at=row.finished_at and row.finished_at.replace(tzinfo=UTC),
        owner=owner_of(row),
    )


def _file_values(job_id: str, entry: FileEntry) -> dict[str, Any]:
    values = {**asdict(entry), "ms": round(entry.ms), "warnings": list(entry.warnings)}
    del values["renamed_from"]
    return {"job_id": job_id, **values}


def _entry(row: Row[Any]) -> FileEntry:
    error = Told(**row.error) if row.error else None
    warnings = tuple(row.warnings)
    return FileEntry(row.path, row.status, row.document_id, row.chunks, row.pages, row.ms, error, warnings)


def _stored(at: datetime) -> datetime:
    """UTC without a zone: what the columns hold."""
    return at.astimezone(UTC).replace(tzinfo=None)


def _now() -> datetime:
    return _stored(datetime.now(UTC))
