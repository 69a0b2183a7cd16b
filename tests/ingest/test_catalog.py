"""The catalog on SQLite keeps the contract, and what is its own."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from ingest.adapters.sql_catalog import SqlCatalog
from ingest.errors import CatalogCorrupt, CatalogUnavailable
from ingest.model import collection_id
from tests.contracts.catalog import CatalogContract, live, run
from tests.patience import PATIENCE_S


class TestSqlite(CatalogContract):
    @pytest.fixture
    def catalog(self, tmp_path: Path) -> Iterator[SqlCatalog]:
        catalog = SqlCatalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
        yield catalog
        asyncio.run(catalog.close())

    def test_durability_settings_hold_on_every_connection(self, catalog: SqlCatalog) -> None:
        with catalog._engine.connect() as one, catalog._engine.connect() as two:
            for connection in (one, two):
                assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
                assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_a_recreated_collection_has_another_id() -> None:
    assert collection_id("docs", 0) != collection_id("docs", 1)


def test_questions_at_once_open_nothing(tmp_path: Path) -> None:
    """What is opened when the catalog is serves for as many as ask at once, so no question fails for want of a file."""
    catalog = SqlCatalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    opened: list[object] = []
    event.listen(catalog._engine, "connect", lambda connection, _: opened.append(connection))
    together = threading.Barrier(2)

    async def both() -> None:
        await asyncio.gather(*(catalog.transaction(lambda _: together.wait(PATIENCE_S)) for _ in range(2)))

    run(both())
    run(catalog.close())
    assert opened == []


def test_a_second_opening_keeps_everything(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'again.sqlite'}"
    first = SqlCatalog(url)
    entry = run(live(first, "a.txt", "one", "h1"))
    run(first.close())
    second = SqlCatalog(url)
    assert run(second.live_ids(entry.document.id)) == [entry.chunks[0].id]
    run(second.close())


@pytest.mark.parametrize("nth", range(1, 7))
def test_a_first_start_that_breaks_off_leaves_nothing_half_made(tmp_path: Path, nth: int) -> None:
    url, made = f"sqlite:///{tmp_path / 'catalog.sqlite'}", []

    def broken(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip().startswith("CREATE"):
            made.append(statement)
            if len(made) == nth:
                raise KeyboardInterrupt

    event.listen(Engine, "before_cursor_execute", broken)
    try:
        with pytest.raises(KeyboardInterrupt):
            SqlCatalog(url)
    finally:
        event.remove(Engine, "before_cursor_execute", broken)
    catalog = SqlCatalog(url)
    assert asyncio.run(catalog.collections()) == {}
    asyncio.run(catalog.close())


def test_a_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "bad.sqlite").write_bytes(b"this is no database, and long enough to be taken for one" * 50)
    with pytest.raises(CatalogUnavailable) as caught:
        SqlCatalog(f"sqlite:///{tmp_path / 'bad.sqlite'}")
    assert "ingest again" in caught.value.next_step


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE chunks SET text = 'twn' WHERE ordinal = 1",
        "UPDATE chunks SET start = start + 1 WHERE ordinal = 1",
        "UPDATE chunks SET page = 7 WHERE ordinal = 1",
        "UPDATE chunks SET heading_path = '[\"x\"]' WHERE ordinal = 1",
        "UPDATE versions SET title = 'another'",
        "UPDATE versions SET text_digest = 'x' || substr(text_digest, 2)",
    ],
)
def test_a_damaged_row_is_never_shown(tmp_path: Path, damage: str) -> None:
    """A chunk is read whole or not at all: what a flipped bit makes of it is no quotation."""
    catalog = SqlCatalog(f"sqlite:///{tmp_path / 'c.sqlite'}")
    entry = run(live(catalog, "a.txt", "one\ntwo", "h1"))
    with sqlite3.connect(tmp_path / "c.sqlite") as db:
        assert db.execute(damage).rowcount == 1
    db.close()
    with pytest.raises(CatalogCorrupt):
        run(catalog.live_chunks(entry.document.collection_id, [entry.chunks[1].id]))
    with pytest.raises(CatalogCorrupt):
        run(catalog.find_chunk(entry.chunks[1].id))
    run(catalog.close())


def test_a_damaged_text_is_never_shown(tmp_path: Path) -> None:
    catalog = SqlCatalog(f"sqlite:///{tmp_path / 'c.sqlite'}")
    entry = run(live(catalog, "a.txt", "one\ntwo", "h1"))
    with sqlite3.connect(tmp_path / "c.sqlite") as db:
        db.execute("UPDATE versions SET text = 'one\ntwn'")
    db.close()
    with pytest.raises(CatalogCorrupt):
        run(catalog.text(entry.document.id))
    run(catalog.close())


def test_a_writer_who_waits_too_long_gets_an_error_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.adapters.engine._BUSY_MS", 50)
    catalog = SqlCatalog(f"sqlite:///{tmp_path / 'busy.sqlite'}")
    other = sqlite3.connect(tmp_path / "busy.sqlite")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(CatalogUnavailable):
        run(catalog.collection("default", create=True))
    other.rollback()
    other.close()
    assert run(catalog.collection("default", create=True))
    run(catalog.close())
