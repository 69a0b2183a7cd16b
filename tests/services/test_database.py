"""What is PostgreSQL's own: migrations from every version, several that start at once, transactions that meet."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, inspect, select, text, update

from app.adapters.sql_keys import SqlKeys
from app.keys.model import new_key
from app.keys.ring import KeyRing
from ingest.adapters import key_tables, migrate, tables
from ingest.adapters.engine import engine_of
from ingest.adapters.lead import PostgresLead
from ingest.adapters.moving import know_all_tables
from ingest.adapters.sql_catalog import SqlCatalog
from ingest.errors import CatalogUnavailable
from tests.contracts.catalog import live, run
from tests.patience import PATIENCE_S
from tests.services.databases import database

pytestmark = pytest.mark.services
_SCRIPTS = ScriptDirectory(str(migrate.Path(migrate.__file__).parent / "migrations"))
VERSIONS = sorted(script.revision for script in _SCRIPTS.walk_revisions())


@pytest.fixture
def empty_url() -> Iterator[str]:
    with database() as url:
        yield url


@pytest.fixture
def catalog(database_url: str) -> Iterator[SqlCatalog]:
    catalog = SqlCatalog(database_url)
    yield catalog
    asyncio.run(catalog.close())


class TestMigrations:
    @pytest.mark.parametrize("version", VERSIONS)
    def test_up_from_every_version(self, empty_url: str, version: str) -> None:
        """Rows of that version are kept, and the schema is that of the tables."""
        know_all_tables()
        engine = engine_of(empty_url)
        try:
            migrate.migrate(engine, to=version)
            with engine.begin() as db:
                db.execute(text("INSERT INTO facts VALUES ('installation', 'x'), ('embedder', '0123456789abcdef')"))
                db.execute(text("INSERT INTO collections (id, name, created_at) VALUES ('c', 'default', now())"))
            migrate.migrate(engine)
            with engine.connect() as db:
                context = MigrationContext.configure(db, opts={"compare_type": True})
                assert compare_metadata(context, tables.metadata) == []
                assert db.execute(select(tables.collections.c.tenant)).scalars().all() == ["default"]
                found = db.execute(select(tables.generations.c.fingerprint, tables.generations.c.recipe)).all()
                assert found == ([("0123456789abcdef", {})] if version < "0005" else [])
        finally:
            engine.dispose()

    def test_of_many_that_start_at_once_one_migrates(self, empty_url: str) -> None:
        begin = threading.Barrier(4)

        def start() -> list[str]:
            engine = engine_of(empty_url)
            begin.wait(PATIENCE_S)
            migrate.migrate(engine)
            with engine.connect() as db:
                found = inspect(db).get_table_names()
            engine.dispose()
            return sorted(found)

        with ThreadPoolExecutor(4) as pool:
            starts = [pool.submit(start) for _ in range(4)]
            found = [one.result(PATIENCE_S) for one in starts]
        assert all({"documents", "jobs", "api_keys"} <= set(names) for names in found)


class TestTransactions:
    def test_none_of_many_increments_at_once_is_lost(self, catalog: SqlCatalog) -> None:
        """Read, add, write: what somebody else wrote in between has the transaction begun again."""
        f = tables.facts.c

        def add(db: Connection) -> None:
            value = int(db.execute(select(f.value).where(f.name == "count")).scalar_one())
            db.execute(update(tables.facts).where(f.name == "count").values(value=str(value + 1)))

        async def main() -> str:
            await catalog.transaction(lambda db: db.execute(insert(tables.facts).values(name="count", value="0")))
            await asyncio.gather(*(catalog.transaction(add) for _ in range(40)))
            return await catalog.transaction(
                lambda db: str(db.execute(select(f.value).where(f.name == "count")).scalar_one())
            )

        assert run(main()) == "40"

    def test_what_is_read_before_a_write_still_holds_when_it_is_written(self, catalog: SqlCatalog) -> None:
        """Each makes itself the only one if there is none: write skew, which weaker isolation lets through."""
        f = tables.facts.c
        meet = threading.Barrier(2)

        def claim(name: str) -> object:
            first = [True]

            def work(db: Connection) -> bool:
                found = db.execute(select(f.name).where(f.value == "only")).all()
                if first[0]:
                    first[0] = False
                    meet.wait(PATIENCE_S)
                if not found:
                    db.execute(insert(tables.facts).values(name=name, value="only"))
                return not found

            return catalog.transaction(work)

        async def main() -> list[bool]:
            return list(await asyncio.gather(claim("a"), claim("b")))  # type: ignore[call-overload]

        assert sorted(run(main())) == [False, True]

    def test_times_are_utc_whatever_the_servers_clock_is_set_to(self, catalog: SqlCatalog) -> None:
        told = run(catalog.transaction(lambda db: db.execute(text("SELECT now()::timestamp")).scalar()))
        assert abs((told.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()) < PATIENCE_S

    def test_a_server_that_was_started_anew_is_connected_to_again(self, catalog: SqlCatalog, database_url: str) -> None:
        run(live(catalog, "a.txt", "one", "h1"))
        mine = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        with psycopg.connect(database_url) as db:
            db.execute(mine + "AND pid <> pg_backend_pid()")
        assert run(catalog.count_live()) == (1, 1)

    def test_a_server_that_is_not_there_is_an_error_of_ours_without_its_password(self) -> None:
        with pytest.raises(CatalogUnavailable) as caught:
            SqlCatalog("postgresql://grounded:s3cret@127.0.0.1:1/none")
        assert "s3cret" not in str(caught.value)


def test_a_revoked_key_ends_for_the_other_process(catalog: SqlCatalog, database_url: str) -> None:
    other = SqlCatalog(database_url)
    key, secret = new_key(
        name="a", tenant="default", scopes=["ask"], groups=frozenset(), collections=None, expires_at=None
    )
    time = [0.0]

    async def main() -> None:
        mine = KeyRing(SqlKeys(catalog, key_tables.api_keys), clock=lambda: time[0])
        theirs = SqlKeys(other, key_tables.api_keys)
        await theirs.add(key)
        await mine.fresh()
        assert mine.principal(secret) == key.principal
        await theirs.revoke(key.id, datetime.now(UTC))
        time[0] = 1.0
        await mine.fresh()
        assert mine.ended(key.principal) is not None
        await other.close()

    run(main())


def test_keys_that_are_changed_at_once_have_numbers_of_their_own(catalog: SqlCatalog, database_url: str) -> None:
    """A reader who has seen the later number would never look for the earlier."""
    other = SqlCatalog(database_url)

    async def main() -> int:
        stores = [SqlKeys(each, key_tables.api_keys) for each in (catalog, other)]
        made = [
            new_key(
                name=str(n), tenant="default", scopes=["ask"], groups=frozenset(), collections=None, expires_at=None
            )[0]
            for n in range(20)
        ]
        await asyncio.gather(*(stores[n % 2].add(key) for n, key in enumerate(made)))
        last, found = await stores[0].since(0)
        await other.close()
        assert {key.id for key in found} == {key.id for key in made}
        return last

    assert run(main()) == 20


async def comes(lead: PostgresLead, *, held: bool) -> None:
    """Ask until it is so."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if await lead.hold() is held:
                return
            await asyncio.sleep(0.01)


def test_one_leads_and_the_next_takes_over_when_its_connection_ends(database_url: str) -> None:
    async def main() -> None:
        one, two = PostgresLead(database_url), PostgresLead(database_url)
        assert await one.hold()
        assert await one.hold()
        assert not await two.hold()
        with psycopg.connect(database_url) as db:
            db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        await comes(two, held=True)
        await comes(one, held=False)
        await two.close()
        await comes(one, held=True)
        await one.close()

    asyncio.run(main())
