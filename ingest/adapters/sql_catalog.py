"""The catalog on SQL: SQLite in WAL mode with `synchronous=FULL` by default, PostgreSQL by its address.

Calls are short and blocking, so they run on a small thread pool. Writes are whole transactions.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from sqlalchemy import Connection, Table, and_, bindparam, delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ingest.adapters.engine import engine_of, run_again
from ingest.adapters.faults import translated
from ingest.adapters.migrate import migrate
from ingest.adapters.rows import (
    checked_text,
    document_row,
    live_chunks_of,
    live_select,
    stored_document,
    version_columns,
)
from ingest.adapters.sql_check import check
from ingest.adapters.sql_counts import count_all, count_readable
from ingest.adapters.sql_leads import leads, stamp
from ingest.adapters.sql_receipts import add_places, find_receipt, open_receipt, sign_receipt
from ingest.adapters.sql_removal import remove_texts
from ingest.adapters.sql_versions import begin, document_row_of, flip
from ingest.adapters.tables import chunks, collections, documents, facts, generations, versions
from ingest.errors import FileError
from ingest.model import DEFAULT_TENANT, ChunkedDocument, Known, Source, collection_id
from ingest.ports import DocumentRow, Lead, LiveChunk
from ingest.receipt import Receipt
from ingest.shielded import shielded

T = TypeVar("T")
_THREADS = 2
_THREADS_SERVED = 4  # of a database elsewhere, whose answers are waited for
_SETTLE_TRIES = 3
_LIVE_BY_IDS = live_select().where(chunks.c.id.in_(bindparam("ids", expanding=True)))


class SqlCatalog:
    """Catalog on one SQLAlchemy engine."""

    def __init__(self, url: str) -> None:
        """Opens the database and brings its schema up to date. Raises CatalogUnavailable."""
        self._engine = engine_of(url)
        self.shared = self._engine.dialect.name != "sqlite"  # with other processes
        self._folder = Path("." if self.shared else self._engine.url.database or ".").parent
        threads = _THREADS_SERVED if self.shared else _THREADS
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="catalog")
        self._known: dict[tuple[str, str], str] = {}  # collections by tenant and name: none is ever deleted or renamed
        with translated(self._folder), ExitStack() as connected:
            migrate(self._engine)
            for _ in range(threads):  # later a question might open one, and find that there are no more files to be had
                connected.enter_context(self._engine.connect())

    async def collection(self, name: str, create: bool = False, tenant: str = DEFAULT_TENANT) -> str | None:
        if (known := self._known.get((tenant, name))) is not None:
            return known
        mine = and_(collections.c.tenant == tenant, collections.c.name == name)

        def find(db: Connection) -> str | None:
            found: str | None = db.execute(select(collections.c.id).where(mine)).scalar()
            if found is None and create:
                found = collection_id(name, tenant=tenant)
                made = _insert(db, collections).values(id=found, name=name, tenant=tenant, created_at=_now())
                db.execute(made.on_conflict_do_nothing())  # another run may make it at the same moment
            return found

        made_or_found = await self._run(find)
        if made_or_found is not None:
            self._known[tenant, name] = made_or_found
        return made_or_found

    async def collections(self, tenant: str = DEFAULT_TENANT) -> Mapping[str, str]:
        c = collections.c
        asked = select(c.name, c.id).where(c.tenant == tenant).order_by(c.name)
        return await self._run(lambda db: {row.name: row.id for row in db.execute(asked)})

    async def collection_ids(self) -> list[str]:
        asked = select(collections.c.id).order_by(collections.c.id)
        return await self._run(lambda db: list(db.execute(asked).scalars()))

    async def known(self, collection_id: str, root: Path) -> dict[str, Known]:
        def read(db: Connection) -> dict[str, Known]:
            d = documents.c
            rows = db.execute(
                select(d.id, d.name, d.sha256, d.splitter, d.status, d.error_code, d.error_message).where(
                    d.collection_id == collection_id, d.root == root.as_posix(), d.status != "retired"
                )
            )
            return {row.name: Known(*row) for row in rows}

        return await self._run(read)

    async def roots(self, collection_id: str) -> list[Path]:
        mine = and_(documents.c.collection_id == collection_id, documents.c.status != "retired")
        asked = select(documents.c.root).distinct().where(mine).order_by(documents.c.root)
        return await self._run(lambda db: [Path(row.root) for row in db.execute(asked)])

    async def begin(self, group: Sequence[tuple[ChunkedDocument, str]]) -> dict[str, int]:
        return await self._run(lambda db: begin(db, group))

    async def flip(self, versions: Mapping[str, int]) -> None:
        await self._run(lambda db: flip(db, versions))

    async def collect(self, document_id: str) -> None:
        def forget(db: Connection) -> None:
            live = select(documents.c.live_version).where(documents.c.id == document_id).scalar_subquery()
            dead_chunk = or_(chunks.c.version != live, live.is_(None))
            dead_version = or_(versions.c.number != live, live.is_(None))
            db.execute(delete(chunks).where(chunks.c.document_id == document_id, dead_chunk))
            db.execute(delete(versions).where(versions.c.document_id == document_id, dead_version))

        await self._run(forget)

    async def retire(self, document_id: str, found: Mapping[str, int] | None = None, job_id: str | None = None) -> None:
        def hide(db: Connection) -> None:
            open_receipt(db, document_id, found or {}, job_id)
            remove_texts(db, document_id)
            gone = {"live_version": None, "status": "retired", "sha256": "", "updated_at": _now()}
            db.execute(update(documents).where(documents.c.id == document_id).values(**gone))

        await self._run(hide)

    async def forget(self, document_id: str, left: Mapping[str, int] | None = None) -> None:
        mine = and_(documents.c.id == document_id, documents.c.status == "retired")

        def sign(db: Connection) -> None:
            if db.execute(delete(documents).where(mine)).rowcount:
                sign_receipt(db, document_id, left or {})

        await self._run(sign)

    async def receipt(self, document_id: str, job_id: str | None = None) -> Receipt | None:
        return await self._run(lambda db: find_receipt(db, document_id, job_id))

    async def add_places(self, job_id: str, found: Mapping[str, int], left: Mapping[str, int]) -> None:
        await self._run(lambda db: add_places(db, job_id, found, left))

    async def retired(self) -> list[str]:
        asked = select(documents.c.id).where(documents.c.status == "retired")
        return await self._run(lambda db: [row.id for row in db.execute(asked)])

    async def fail(self, collection_id: str, source: Source, sha256: str, error: FileError) -> None:
        def remember(db: Connection) -> None:
            found = document_row_of(db, collection_id, source)
            row = {"status": error.verdict, "sha256": sha256, "error_code": error.code, "error_message": error.message}
            mine = and_(documents.c.id == found, documents.c.status != "retired")
            db.execute(update(documents).where(mine).values(updated_at=_now(), **row))

        await self._run(remember)

    async def unfinished(self) -> list[str]:
        def read(db: Connection) -> list[str]:
            live = documents.c.live_version
            joined = versions.join(documents, versions.c.document_id == documents.c.id)
            rows = db.execute(
                select(versions.c.document_id)
                .distinct()
                .select_from(joined)
                .where(or_(live.is_(None), versions.c.number != live))
            )
            return [row.document_id for row in rows]

        return await self._run(read)

    async def live_chunks(self, collection_id: str, chunk_ids: Sequence[str]) -> dict[str, LiveChunk]:
        """The ids lead the query and the collection is compared behind it: led by the collection, SQLite walks through all
        of its documents."""
        wanted = {"ids": list(chunk_ids)}
        found = await self._run(lambda db: live_chunks_of(db.execute(_LIVE_BY_IDS, wanted)))
        return {c.chunk.id: c for c in found if c.collection_id == collection_id}

    async def find_chunk(self, chunk_id: str) -> LiveChunk | None:
        found = await self._run(lambda db: _live(db, chunks.c.id == chunk_id))
        return found[0] if found else None

    async def live_ids(self, document_id: str) -> list[str]:
        live = and_(chunks.c.document_id == documents.c.id, chunks.c.version == documents.c.live_version)
        asked = select(chunks.c.id).select_from(chunks.join(documents, live)).where(documents.c.id == document_id)
        return await self._run(lambda db: [row.id for row in db.execute(asked.order_by(chunks.c.ordinal))])

    async def current_ids(self, document_id: str) -> list[str]:
        current = and_(
            chunks.c.document_id == documents.c.id,
            or_(documents.c.live_version.is_(None), chunks.c.version >= documents.c.live_version),
        )
        asked = select(chunks.c.id).select_from(chunks.join(documents, current)).where(documents.c.id == document_id)
        return await self._run(lambda db: [row.id for row in db.execute(asked)])

    async def count_live(
        self, collection_id: str | None = None, groups: Collection[str] | None = None
    ) -> tuple[int, int]:
        if groups is None:
            return await self._run(lambda db: count_all(db, collection_id))
        return await self._run(lambda db: count_readable(db, collection_id, groups))

    async def documents(self, collection_id: str, limit: int, after: str | None = None) -> list[DocumentRow]:
        wanted: Any = documents.c.collection_id == collection_id
        if after is not None:
            wanted = and_(wanted, documents.c.id > after)
        return await self._run(lambda db: _rows(db, wanted, limit))

    async def document(self, document_id: str) -> DocumentRow | None:
        rows = await self._run(lambda db: _rows(db, documents.c.id == document_id, 1))
        return rows[0] if rows else None

    async def stored(self, document_id: str) -> ChunkedDocument | None:
        live = and_(versions.c.document_id == documents.c.id, versions.c.number == documents.c.live_version)
        wanted = select(documents, *version_columns()).join(versions, live).where(documents.c.id == document_id)

        def read(db: Connection) -> ChunkedDocument | None:
            row = db.execute(wanted).one_or_none()
            found = _live(db, chunks.c.document_id == document_id)
            return stored_document(row, [live.chunk for live in found]) if row is not None else None

        return await self._run(read)

    async def text(self, document_id: str) -> str | None:
        def read(db: Connection) -> str | None:
            live = and_(versions.c.document_id == documents.c.id, versions.c.number == documents.c.live_version)
            v = versions.c
            mine = documents.c.id == document_id
            found = db.execute(select(v.text, v.text_digest).select_from(documents.join(versions, live)).where(mine))
            row = found.one_or_none()
            return checked_text(row.text, row.text_digest) if row is not None else None

        return await self._run(read)

    async def stamp(self, collection_id: str) -> str:
        return await self._run(lambda db: stamp(db, collection_id))

    async def leads(self, collection_id: str, known: Mapping[str, int]) -> tuple[set[str], list[Lead]]:
        return await self._run(lambda db: leads(db, collection_id, known))

    async def fingerprint(self, value: str | None = None) -> str | None:
        live = select(generations.c.fingerprint).where(generations.c.state == "live")

        def read(db: Connection) -> str | None:
            found: str | None = db.execute(live).scalar()
            if found is None and value is not None:
                row = {"fingerprint": value, "state": "live", "recipe": {}, "dimension": 0, "scores": {}}
                db.execute(_insert(db, generations).values(**row, created_at=_now()).on_conflict_do_nothing())
                found = db.execute(live).scalar()
            return found

        return await self._run(read)

    async def installation(self) -> str:
        """Names what this catalog is the truth about, wherever it is restored: what lies elsewhere is marked with it."""

        def read(db: Connection) -> str:
            made = _insert(db, facts).values(name="installation", value=str(uuid4()))
            db.execute(made.on_conflict_do_nothing())
            found: str = db.execute(select(facts.c.value).where(facts.c.name == "installation")).scalar_one()
            return found

        return await self._run(read)

    async def settle(self) -> None:
        """Freed pages are overwritten (`secure_delete`); the log is emptied here, once no reader is behind."""

        def empty_log() -> None:
            for _ in range(_SETTLE_TRIES):
                with (
                    translated(self._folder),
                    self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db,
                ):
                    busy: int = db.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
                if not busy:
                    return

        if self._engine.dialect.name == "sqlite":
            await shielded(self._pool, empty_log)

    async def transaction(self, work: Callable[[Connection], T]) -> T:
        """For the stores that share this database. On PostgreSQL the work may be run more than once, so it changes nothing
        but rows."""
        return await self._run(work)

    async def check(self) -> None:
        await self._run(check)

    async def close(self) -> None:
        self._pool.shutdown()
        self._engine.dispose()

    async def _run(self, work: Callable[[Connection], T]) -> T:
        """One transaction on a thread of ours."""

        def transaction() -> T:
            with translated(self._folder):
                return run_again(self._engine, work)

        return await shielded(self._pool, transaction)


def _insert(db: Connection, table: Table) -> Any:
    """An INSERT that knows ON CONFLICT, which each dialect has for itself."""
    return sqlite.insert(table) if db.dialect.name == "sqlite" else postgresql.insert(table)


def _live(db: Connection, wanted: Any) -> list[LiveChunk]:
    return live_chunks_of(db.execute(live_select().where(wanted)))


def _rows(db: Connection, wanted: Any, limit: int) -> list[DocumentRow]:
    """Not those on their way in, nor those on their way out: nobody may read their names in a list."""
    wanted = and_(wanted, documents.c.status.not_in(("pending", "retired")))
    version = and_(versions.c.document_id == documents.c.id, versions.c.number == documents.c.live_version)
    live = and_(chunks.c.document_id == documents.c.id, chunks.c.version == documents.c.live_version)
    counted = select(func.count()).select_from(chunks).where(live).correlate(documents).scalar_subquery()
    v = versions.c
    rows = db.execute(
        select(documents, v.title, v.media_type, v.bytes, v.pages, v.metadata, v.modified_at, counted.label("chunks"))
        .select_from(documents.outerjoin(versions, version))
        .where(wanted)
        .order_by(documents.c.id)
        .limit(limit)
    )
    return [document_row(row) for row in rows]


def _now() -> datetime:
    """UTC without a zone: what the columns hold."""
    return datetime.now(UTC).replace(tzinfo=None)
