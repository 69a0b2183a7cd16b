"""The stores of batches and webhooks on the catalog's database keep their contracts; an answer goes with what it rests on."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest
from sqlalchemy import insert, select, update

from app.adapters.sql_batches import BatchTables, SqlBatches
from app.adapters.sql_jobs import SqlJobs
from app.adapters.sql_webhooks import SqlWebhooks
from app.batch import shown
from ingest.adapters import batch_tables, job_tables, tables
from ingest.adapters.sql_catalog import SqlCatalog
from tests.contracts.batch_store import DOCUMENTS, BatchStoreContract, keep, run, submitted, withdrawn
from tests.contracts.webhook_store import WebhookStoreContract


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[SqlCatalog]:
    catalog = SqlCatalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    collection = run(catalog.collection("default", create=True))
    common = {"collection_id": collection, "root": "/docs", "status": "live", "live_version": 1, "splitter": ""}
    common["updated_at"] = datetime.now(UTC).replace(tzinfo=None)
    rows = [{"id": id_, "name": f"{n}.md", "sha256": "h", **common} for n, id_ in enumerate(DOCUMENTS)]
    run(catalog.transaction(lambda db: db.execute(insert(tables.documents), rows)))
    yield catalog
    asyncio.run(catalog.close())


@pytest.fixture
def jobs(catalog: SqlCatalog) -> SqlJobs:
    t, questions = job_tables, batch_tables.batch_questions
    return SqlJobs(catalog, t.jobs, t.job_files, t.idempotency_keys, tables.documents, questions)


@pytest.fixture
def store(catalog: SqlCatalog, jobs: SqlJobs) -> SqlBatches:
    t = batch_tables
    known = BatchTables(
        job_tables.jobs, tables.documents, t.batch_questions, t.batch_sources, t.provider_batches, t.webhooks
    )
    return SqlBatches(catalog, jobs, known)


@pytest.fixture
def webhooks(catalog: SqlCatalog) -> SqlWebhooks:
    return SqlWebhooks(catalog, batch_tables.webhooks, job_tables.jobs)


class TestSqlBatches(BatchStoreContract):
    pass


class TestSqlWebhooks(WebhookStoreContract):
    pass


@pytest.mark.parametrize("how", ["canceled", "failed"])
def test_what_was_asked_goes_with_the_end_of_its_batch(
    catalog: SqlCatalog, store: SqlBatches, jobs: SqlJobs, how: Literal["canceled", "failed"]
) -> None:
    job, other = submitted(store), submitted(store)
    keep(store, job, 0)
    if how == "canceled":
        run(jobs.cancel(job.id))
    else:
        run(jobs.begin(job.id))
        run(jobs.finish(job.id, how))
    asked = select(batch_tables.batch_questions.c.asked).where(batch_tables.batch_questions.c.job_id == job.id)
    assert run(catalog.transaction(lambda db: list(db.execute(asked).scalars()))) == [None] * 3
    assert len(run(store.results(job.id, -1, 9))) == 1
    assert len(run(store.waiting(other.id, -1, 9))) == 3


class TestDeletion:
    """In the commit that hides a document go the answers that rest on it, by whatever road it is hidden."""

    def test_the_answers_go_and_the_receipt_counts_them(self, catalog: SqlCatalog, store: SqlBatches) -> None:
        job = submitted(store, 4)
        assert keep(store, job, 0, DOCUMENTS)
        assert keep(store, job, 1, DOCUMENTS[1:])
        assert keep(store, job, 2, DOCUMENTS[:1])
        run(catalog.retire(DOCUMENTS[0]))
        results = run(store.results(job.id, -1, 9))
        assert [(r.number, r.state, r.line is None) for r in results] == [
            (0, "withdrawn", True),
            (1, "answered", False),
            (2, "withdrawn", True),
        ]
        assert [withdrawn(shown(result)) for result in results if result.line is None] == [True, True]
        assert run(store.counts(job.id)) == {"withdrawn": 2, "answered": 1, "waiting": 1}
        run(catalog.forget(DOCUMENTS[0]))
        receipt = run(catalog.receipt(DOCUMENTS[0]))
        assert receipt is not None
        assert (receipt.places["batches"].found, receipt.places["batches"].left) == (2, 0)
        assert keep(store, job, 3, DOCUMENTS[1:])
        run(catalog.retire(DOCUMENTS[1]))
        assert run(store.counts(job.id)) == {"withdrawn": 4}

    def test_no_answer_is_kept_behind_it(self, catalog: SqlCatalog, store: SqlBatches) -> None:
        job = submitted(store)
        run(catalog.retire(DOCUMENTS[0]))
        assert not keep(store, job, 0, DOCUMENTS)
        assert run(store.counts(job.id)) == {"waiting": 3}

    def test_a_document_that_is_not_live_yet_holds_nothing(self, catalog: SqlCatalog, store: SqlBatches) -> None:
        job = submitted(store)
        pending = update(tables.documents).where(tables.documents.c.id == DOCUMENTS[0]).values(live_version=None)
        run(catalog.transaction(lambda db: db.execute(pending)))
        assert not keep(store, job, 0, DOCUMENTS[:1])

    def test_more_answers_than_one_statement_takes(self, catalog: SqlCatalog, store: SqlBatches) -> None:
        job = submitted(store, 1000)

        async def main() -> None:
            for number in range(1000):
                await store.keep(job.id, number, b"{}", DOCUMENTS[:1], failed=False)
            await catalog.retire(DOCUMENTS[0])

        run(main())
        assert run(store.counts(job.id)) == {"withdrawn": 1000}

    def test_no_byte_of_the_answer_stays_in_the_file(
        self, catalog: SqlCatalog, store: SqlBatches, tmp_path: Path
    ) -> None:
        job = submitted(store)
        run(store.keep(job.id, 0, b'{"answer":"the lighthouse of 1887"}', DOCUMENTS[:1], failed=False))

        async def gone() -> None:
            await catalog.retire(DOCUMENTS[0])
            await catalog.forget(DOCUMENTS[0])
            await catalog.settle()

        run(gone())
        for file in tmp_path.glob("catalog.sqlite*"):
            assert b"lighthouse" not in file.read_bytes(), file.name
        with closing(sqlite3.connect(tmp_path / "catalog.sqlite")) as db:
            assert db.execute("SELECT count(*) FROM batch_questions WHERE state = 'withdrawn'").fetchone() == (1,)
