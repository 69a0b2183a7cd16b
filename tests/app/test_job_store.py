"""The job store on the catalog's database keeps the contract."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import insert

from app.adapters.sql_jobs import SqlJobs
from app.jobs import FileEntry, Progress
from ingest.adapters import job_tables, tables
from ingest.adapters.sql_catalog import SqlCatalog
from tests.contracts.job_store import DOCUMENT, JobStoreContract, folder, run


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[SqlCatalog]:
    catalog = SqlCatalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    collection = run(catalog.collection("default", create=True))
    row = {"id": DOCUMENT, "collection_id": collection, "root": "/docs", "name": "x.md", "status": "failed"}
    row |= {"sha256": "h", "splitter": "", "updated_at": datetime.now(UTC).replace(tzinfo=None)}
    run(catalog.transaction(lambda db: db.execute(insert(tables.documents).values(**row))))
    yield catalog
    asyncio.run(catalog.close())


@pytest.fixture
def store(catalog: SqlCatalog) -> SqlJobs:
    return SqlJobs(catalog, job_tables.jobs, job_tables.job_files, job_tables.idempotency_keys, tables.documents)


class TestSqlJobs(JobStoreContract):
    pass


def test_a_document_that_is_forgotten_takes_along_what_jobs_tell_of_it(catalog: SqlCatalog, store: SqlJobs) -> None:
    job = folder()
    run(store.submit(job))
    run(store.begin(job.id))
    run(store.advance(job.id, {}, Progress(), [FileEntry("x.md", "failed", DOCUMENT), FileEntry("y.bin", "skipped")]))
    run(catalog.retire(DOCUMENT))
    run(catalog.forget(DOCUMENT))
    assert [entry.path for entry in run(store.files(job.id))] == ["y.bin"]
