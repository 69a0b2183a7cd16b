"""Generations in the catalog keep the contract, and catalogs from before there were any are brought along."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from ingest.adapters.migrate import migrate
from ingest.adapters.sql_catalog import SqlCatalog
from ingest.adapters.sql_generations import SqlGenerations
from tests.contracts.generations import GenerationsContract, run


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[SqlCatalog]:
    catalog = SqlCatalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    yield catalog
    asyncio.run(catalog.close())


@pytest.fixture
def rows(catalog: SqlCatalog) -> SqlGenerations:
    return SqlGenerations(catalog)


class TestSqlGenerations(GenerationsContract):
    pass


def test_the_catalogs_fingerprint_is_that_of_the_live_generation(catalog: SqlCatalog, rows: SqlGenerations) -> None:
    assert run(catalog.fingerprint("a")) == "a"
    run(rows.begin("b", {}, 128))
    assert run(catalog.fingerprint("b")) == "a"
    run(rows.swap("b"))
    assert run(catalog.fingerprint()) == "b"


def test_a_swap_is_one_commit(catalog: SqlCatalog, rows: SqlGenerations, tmp_path: Path) -> None:
    """Whoever reads meanwhile sees one live generation, the old or the new."""
    run(rows.found("a", {}, 384))
    run(rows.begin("b", {}, 128))
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite", isolation_level=None)) as reader:
        asked = "SELECT fingerprint FROM generations WHERE state = 'live'"
        reader.execute("BEGIN")
        assert reader.execute(asked).fetchall() == [("a",)]
        run(rows.swap("b"))
        assert reader.execute(asked).fetchall() == [("a",)]
        reader.execute("COMMIT")
        assert reader.execute(asked).fetchall() == [("b",)]


@pytest.mark.parametrize("known", ["0123456789abcdef", None])
def test_an_older_catalog_keeps_its_index(tmp_path: Path, known: str | None) -> None:
    """As migration 0004 left it: a fact about the live index, and no table of generations."""
    file = tmp_path / "catalog.sqlite"
    engine = create_engine(f"sqlite:///{file}")
    migrate(engine, to="0004")
    engine.dispose()
    with closing(sqlite3.connect(file)) as db, db:
        if known is not None:
            db.execute("INSERT INTO facts VALUES ('embedder', ?)", [known])

    async def main() -> None:
        catalog = SqlCatalog(f"sqlite:///{file}")
        assert await catalog.fingerprint() == known
        live = await SqlGenerations(catalog).live()
        if known is not None:
            assert live is not None
            assert (live.recipe, live.dimension, live.scores) == ({}, 384, {})
            assert live.created_at is not None
        await catalog.close()

    asyncio.run(main())
