"""Collections of tenants in the catalog, and a catalog from before there were any."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from ingest.adapters.migrate import migrate
from ingest.adapters.sql_catalog import SqlCatalog
from ingest.model import collection_id
from tests.contracts.catalog import run

TABLES = ("collections", "documents", "jobs", "explanations", "idempotency_keys", "receipts")


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[SqlCatalog]:
    catalog = SqlCatalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    yield catalog
    run(catalog.close())


def test_the_same_name_of_two_tenants_is_two_collections(catalog: SqlCatalog) -> None:
    mine, theirs = (run(catalog.collection("docs", create=True, tenant=tenant)) for tenant in ("default", "acme"))
    assert mine != theirs
    assert mine == collection_id("docs")
    assert run(catalog.collection("docs")) == mine
    assert run(catalog.collection("docs", tenant="acme")) == theirs
    assert run(catalog.collection("docs", tenant="other")) is None
    assert run(catalog.collections()) == {"docs": mine}
    assert run(catalog.collections("acme")) == {"docs": theirs}
    assert sorted(run(catalog.collection_ids())) == sorted([mine, theirs])


@pytest.mark.parametrize("version", ["0001", "0002", "0003", "0004", "0005", "0006", "0007"])
def test_a_catalog_of_each_earlier_version_keeps_its_rows_and_ids(tmp_path: Path, version: str) -> None:
    """The table of collections is made anew beneath rows that lean on it."""
    file = tmp_path / "catalog.sqlite"
    engine = create_engine(f"sqlite:///{file}")
    migrate(engine, to=version)
    made = collection_id("default")
    with engine.begin() as db:
        db.execute(
            text("INSERT INTO collections (id, name, created_at) VALUES (:id, 'default', '2026-01-01 00:00:00')"),
            {"id": made},
        )
        columns = "id, collection_id, root, name, status, sha256, splitter, updated_at"
        values = "'d', :id, '/docs', 'a.md', 'failed', 'x', 'y', '2026-01-01 00:00:00'"
        db.execute(text(f"INSERT INTO documents ({columns}) VALUES ({values})"), {"id": made})
        if version >= "0003":
            columns = "id, type, spec, status, details, done, total, unit, attempts, cancel_requested, enqueued_at, updated_at"
            values = "'job_1', 'ingest', '{}', 'failed', '{}', 0, 0, 'files', 0, 0, '2026-01-01', '2026-01-01'"
            db.execute(text(f"INSERT INTO jobs ({columns}) VALUES ({values})"))
    engine.dispose()
    catalog = SqlCatalog(f"sqlite:///{file}")
    assert run(catalog.collections()) == {"default": made}
    assert [row.id for row in run(catalog.documents(made, 9))] == ["d"]
    with pytest.raises(sqlite3.IntegrityError), sqlite3.connect(file) as db:
        db.execute(
            "INSERT INTO collections (id, name, created_at, tenant) VALUES ('another', 'default', '2026-01-01', 'default')"
        )
    with sqlite3.connect(file) as db:
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        if version >= "0003":
            assert db.execute("SELECT tenant, key_id, rights FROM jobs").fetchall() == [("default", None, None)]
    db.close()
    with catalog._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    run(catalog.close())
