"""Every store keeps its contract on PostgreSQL: the contracts are those that SQLite is held to."""

import asyncio
from collections.abc import Iterator

import pytest

from app.adapters.sql_batches import SqlBatches
from app.adapters.sql_budgets import SqlBudgets
from app.adapters.sql_jobs import SqlJobs
from app.adapters.sql_webhooks import SqlWebhooks
from ingest.adapters.sql_catalog import SqlCatalog
from ingest.adapters.sql_generations import SqlGenerations
from retrieval.adapters.sql_vectors import SqlVectorStore, prepare, remove
from tests.app.budgeting import TABLES as BUDGETS
from tests.contracts.answer_cache import AnswerCacheContract
from tests.contracts.batch_store import DOCUMENTS, BatchStoreContract, run
from tests.contracts.budget_store import BudgetStoreContract
from tests.contracts.catalog import CatalogContract
from tests.contracts.generations import GenerationsContract
from tests.contracts.job_store import DOCUMENT, JobStoreContract
from tests.contracts.vector_store import DIMENSION, VectorStoreContract, bits, stored
from tests.contracts.webhook_store import WebhookStoreContract
from tests.services.stores import CacheWorld, batches_of, cache_world, jobs_of, webhooks_of, with_documents

pytestmark = pytest.mark.services


@pytest.fixture
def catalog(database_url: str) -> Iterator[SqlCatalog]:
    catalog = SqlCatalog(database_url)
    yield catalog
    asyncio.run(catalog.close())


@pytest.fixture
def jobs(catalog: SqlCatalog) -> SqlJobs:
    return jobs_of(catalog)


class TestCatalog(CatalogContract):
    pass


class TestGenerations(GenerationsContract):
    @pytest.fixture
    def rows(self, catalog: SqlCatalog) -> SqlGenerations:
        return SqlGenerations(catalog)


class TestJobs(JobStoreContract):
    @pytest.fixture
    def store(self, catalog: SqlCatalog) -> SqlJobs:
        with_documents(catalog, DOCUMENT)
        return jobs_of(catalog)


class TestBatches(BatchStoreContract):
    @pytest.fixture
    def store(self, catalog: SqlCatalog, jobs: SqlJobs) -> SqlBatches:
        with_documents(catalog, *DOCUMENTS)
        return batches_of(catalog, jobs)


class TestWebhooks(WebhookStoreContract):
    @pytest.fixture
    def store(self, catalog: SqlCatalog, jobs: SqlJobs) -> SqlBatches:
        with_documents(catalog, *DOCUMENTS)
        return batches_of(catalog, jobs)

    @pytest.fixture
    def webhooks(self, catalog: SqlCatalog) -> SqlWebhooks:
        return webhooks_of(catalog)


class TestAnswerCache(AnswerCacheContract):
    @pytest.fixture
    def world(self, catalog: SqlCatalog) -> CacheWorld:
        return cache_world(catalog)


class TestBudgets(BudgetStoreContract):
    @pytest.fixture
    def store(self, catalog: SqlCatalog) -> SqlBudgets:
        return SqlBudgets(catalog, BUDGETS)

    @pytest.fixture
    def other(self, database_url: str) -> Iterator[SqlBudgets]:
        catalog = SqlCatalog(database_url)
        yield SqlBudgets(catalog, BUDGETS)
        asyncio.run(catalog.close())


class TestVectors(VectorStoreContract):
    @pytest.fixture
    def store(self, catalog: SqlCatalog) -> SqlVectorStore:
        run(prepare(catalog))
        return SqlVectorStore(catalog, "one", DIMENSION)

    def test_generations_are_kept_apart_and_one_is_removed_alone(
        self, catalog: SqlCatalog, store: SqlVectorStore
    ) -> None:
        other = SqlVectorStore(catalog, "two", DIMENSION)

        async def main() -> tuple[int, int]:
            await store.put(stored({"a": bits(1)}))
            await other.put(stored({"a": bits(2), "b": bits(3)}))
            assert (await store.get(["a", "b"])).keys() == {"a"}
            await remove(catalog, "two")
            await prepare(catalog)
            return await store.count(), await other.count()

        assert run(main()) == (1, 0)
