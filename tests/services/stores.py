"""The stores of a catalog on PostgreSQL, with the rows that their contracts ask for."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import LargeBinary, insert, select, update

from app.adapters.sql_answer_cache import SqlAnswerCache, Tables
from app.adapters.sql_batches import BatchTables, SqlBatches
from app.adapters.sql_jobs import SqlJobs
from app.adapters.sql_webhooks import SqlWebhooks
from ingest.adapters import batch_tables, cache_tables, job_tables, tables
from ingest.adapters.sql_catalog import SqlCatalog
from ingest.model import ChunkedDocument
from tests.contracts.answer_cache import run
from tests.contracts.catalog import chunked

CACHE = Tables(
    cache_tables.answer_cache,
    cache_tables.answer_cache_documents,
    tables.collections,
    tables.documents,
    tables.versions,
)


def jobs_of(catalog: SqlCatalog) -> SqlJobs:
    t, questions = job_tables, batch_tables.batch_questions
    return SqlJobs(catalog, t.jobs, t.job_files, t.idempotency_keys, tables.documents, questions)


def batches_of(catalog: SqlCatalog, jobs: SqlJobs) -> SqlBatches:
    t = batch_tables
    names = t.batch_questions, t.batch_sources, t.provider_batches, t.webhooks
    return SqlBatches(catalog, jobs, BatchTables(job_tables.jobs, tables.documents, *names))


def webhooks_of(catalog: SqlCatalog) -> SqlWebhooks:
    return SqlWebhooks(catalog, batch_tables.webhooks, job_tables.jobs)


def with_documents(catalog: SqlCatalog, *ids: str) -> None:
    """Rows of documents, live and without a version, as the contracts of jobs and batches lean on them."""
    collection = run(catalog.collection("default", create=True))
    common = {"collection_id": collection, "root": "/docs", "status": "live", "live_version": 1, "splitter": ""}
    common["updated_at"] = datetime.now(UTC).replace(tzinfo=None)
    rows = [{"id": id_, "name": f"{n}.md", "sha256": "h", **common} for n, id_ in enumerate(ids)]
    run(catalog.transaction(lambda db: db.execute(insert(tables.documents), rows)))


@dataclass
class CacheWorld:
    """The documents of the cache's contract."""

    catalog: SqlCatalog
    store: SqlAnswerCache
    collection: str
    documents: dict[str, ChunkedDocument]

    def document(self, name: str) -> str:
        return self.documents[name].document.id

    def change(self, name: str) -> None:
        run(self.catalog.flip(run(self.catalog.begin([(self.documents[name], "cut")]))))
        run(self.catalog.collect(self.document(name)))

    def delete(self, name: str) -> None:
        run(self.catalog.retire(self.document(name)))

    def damage(self, column: str) -> None:
        answers = cache_tables.answer_cache
        of = answers.c[column]

        def flip(db: object) -> None:
            for number, value in db.execute(select(answers.c.number, of)).all():  # type: ignore[attr-defined]
                raw = bytearray(value if isinstance(of.type, LargeBinary) else value.encode())
                raw[0] ^= 1
                changed = bytes(raw) if isinstance(of.type, LargeBinary) else raw.decode()
                mine = update(answers).where(answers.c.number == number)
                db.execute(mine.values(**{column: changed}))  # type: ignore[attr-defined]

        run(self.catalog.transaction(flip))


def cache_world(catalog: SqlCatalog) -> CacheWorld:
    """Two documents are live; one is for the board."""
    collection = run(catalog.collection("default", create=True))
    assert collection is not None
    documents = {name: chunked(collection, f"{name}.md", f"Of {name}.", name) for name in "ab"}
    board = documents["b"]
    metadata = replace(board.document.metadata, access=("board",))
    documents["b"] = replace(board, document=replace(board.document, metadata=metadata))
    world = CacheWorld(catalog, SqlAnswerCache(catalog, CACHE), collection, documents)
    for name in documents:
        world.change(name)
    return world
