"""Kept answers in the catalog's database keep the contract, through restarts and kills."""

import asyncio
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from app.adapters.sql_answer_cache import SqlAnswerCache, Tables
from app.cache.key import Address
from ingest.adapters import cache_tables, tables
from ingest.adapters.migrate import migrate
from ingest.adapters.sql_catalog import SqlCatalog
from ingest.model import ChunkedDocument
from tests.contracts.answer_cache import EVER, AnswerCacheContract, at, entry, found, kept, run
from tests.contracts.catalog import chunked

TABLES = Tables(
    cache_tables.answer_cache,
    cache_tables.answer_cache_documents,
    tables.collections,
    tables.documents,
    tables.versions,
)


@dataclass
class SqlWorld:
    """The documents of the contract in a catalog on disk."""

    file: Path
    catalog: SqlCatalog
    store: SqlAnswerCache
    collection: str
    documents: dict[str, ChunkedDocument]

    def document(self, name: str) -> str:
        return self.documents[name].document.id

    def change(self, name: str) -> None:
        self.bring_in(name)

    def bring_in(self, name: str) -> None:
        versions = run(self.catalog.begin([(self.documents[name], "cut")]))
        run(self.catalog.flip(versions))
        run(self.catalog.collect(self.document(name)))

    def delete(self, name: str) -> None:
        run(self.catalog.retire(self.document(name)))

    def damage(self, column: str) -> None:
        with closing(sqlite3.connect(self.file)) as db, db:
            for number, value in db.execute(f"SELECT number, {column} FROM answer_cache").fetchall():
                raw = bytearray(value if isinstance(value, bytes) else value.encode())
                raw[0] ^= 1
                changed = bytes(raw) if isinstance(value, bytes) else raw.decode()
                db.execute(f"UPDATE answer_cache SET {column} = ? WHERE number = ?", [changed, number])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SqlWorld]:
    file = tmp_path / "catalog.sqlite"
    catalog = SqlCatalog(f"sqlite:///{file}")
    collection = run(catalog.collection("default", create=True))
    assert collection is not None
    documents = {name: chunked(collection, f"{name}.md", f"Of {name}.", name) for name in "ab"}
    board = documents["b"]
    metadata = replace(board.document.metadata, access=("board",))
    documents["b"] = replace(board, document=replace(board.document, metadata=metadata))
    world = SqlWorld(file, catalog, SqlAnswerCache(catalog, TABLES), collection, documents)
    for name in documents:
        world.bring_in(name)
    yield world
    asyncio.run(catalog.close())


class TestSqlAnswerCache(AnswerCacheContract):
    pass


def test_it_survives_a_restart(world: SqlWorld) -> None:
    kept(world, at(world), entry(world))
    run(world.catalog.close())
    world.catalog = SqlCatalog(f"sqlite:///{world.file}")
    world.store = SqlAnswerCache(world.catalog, TABLES)
    assert found(world, at(world)) is not None


def test_what_was_kept_survives_kill_9_and_half_of_one_is_never_read(world: SqlWorld) -> None:
    """A process keeps answers as fast as it can, says so after each, and is killed in the middle."""
    run(world.catalog.close())
    writer = textwrap.dedent(
        f"""
        import asyncio
        from app.adapters.sql_answer_cache import SqlAnswerCache
        from app.cache.ports import Entry
        from ingest.adapters.sql_catalog import SqlCatalog
        from tests.app.test_answer_cache import TABLES
        from tests.contracts.answer_cache import EVER, WIDE, Address, digest
        async def main():
            store = SqlAnswerCache(SqlCatalog("sqlite:///{world.file}"), TABLES)
            for n in range(10_000):
                where = Address(digest(["s", None]), "{world.collection}", f"{{n}}?", None)
                revision = (await store.look(where, EVER)).revision
                assert await store.keep(where, revision, Entry(f"{{n}}?", b"b" * 5000, (("{world.document("a")}", 1),)), WIDE)
                print(n, flush=True)
        asyncio.run(main())
        """
    )
    process = subprocess.Popen([sys.executable, "-c", writer], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 20:
            break
    process.kill()
    told = [int(line) for line in process.stdout.read().splitlines() if line.strip()]
    process.wait()
    process.stdout.close()
    world.catalog = SqlCatalog(f"sqlite:///{world.file}")
    world.store = SqlAnswerCache(world.catalog, TABLES)
    for n in range(max([20, *told]) + 1):
        back = found(world, at(world, f"{n}?"))
        assert back is not None
        assert back.body == b"b" * 5000


def test_the_rows_of_a_document_are_gone_with_its_last_answer(world: SqlWorld) -> None:
    kept(world, at(world), entry(world, on="ab"))
    assert run(world.store.clear()) == 1
    with closing(sqlite3.connect(world.file)) as db:
        assert db.execute("SELECT count(*) FROM answer_cache_documents").fetchone() == (0,)


def test_a_deletion_says_in_its_receipt_how_many_answers_went(world: SqlWorld) -> None:
    kept(world, at(world), entry(world, on="ab"))
    kept(world, at(world, "Who?"), entry(world, "Who?", on="b"))
    world.delete("b")
    receipt = run(world.catalog.receipt(world.document("b")))
    assert receipt is not None
    assert receipt.places["cache"].found == 2
    run(world.catalog.forget(world.document("b")))
    receipt = run(world.catalog.receipt(world.document("b")))
    assert receipt is not None
    assert receipt.places["cache"].left == 0


def test_an_older_catalog_is_brought_along(tmp_path: Path) -> None:
    """As migration 0007 left it, with a collection that knows no revision."""
    file = tmp_path / "catalog.sqlite"
    engine = create_engine(f"sqlite:///{file}")
    migrate(engine, to="0007")
    engine.dispose()
    with closing(sqlite3.connect(file)) as db, db:
        db.execute(
            "INSERT INTO collections (id, name, created_at, tenant) VALUES ('c', 'old', '2026-01-01', 'default')"
        )

    async def main() -> None:
        catalog = SqlCatalog(f"sqlite:///{file}")
        looked = await SqlAnswerCache(catalog, TABLES).look(Address("s", "c", "Why?", None), EVER)
        assert (looked.revision, looked.entry, looked.newest) == (0, None, 0)
        assert (await catalog.stamp("c")).startswith("0 ")
        await catalog.close()

    asyncio.run(main())
