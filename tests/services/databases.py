"""A database for each test, copied from one that is migrated; a plugin of pytest, so that whole suites run on PostgreSQL."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from ingest.adapters.engine import engine_of
from ingest.adapters.migrate import migrate

SERVER = os.environ.get("GROUNDED_TEST_DATABASE_URL", "")


def address(name: str) -> str:
    """Of a database on the server of the tests."""
    return make_url(SERVER).set(database=name).render_as_string(hide_password=False)


@contextmanager
def database(template: str = "template0") -> Iterator[str]:
    """The address of a fresh database; whoever is still connected at its end is cut off."""
    name = f"t_{token_hex(8)}"
    made, gone = sql.Identifier(name), sql.SQL("DROP DATABASE {} WITH (FORCE)")
    with psycopg.connect(SERVER, autocommit=True) as db:
        db.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(made, sql.Identifier(template)))
        try:
            yield address(name)
        finally:
            db.execute(gone.format(made))


@pytest.fixture(scope="session")
def migrated() -> Iterator[str]:
    """The name of a database with the newest schema, to which nobody is connected."""
    with database() as url:
        engine = engine_of(url)
        migrate(engine)
        engine.dispose()
        yield str(make_url(url).database)


@pytest.fixture
def database_url(migrated: str) -> Iterator[str]:
    """A database of the test's own, with the newest schema and nothing else."""
    with database(migrated) as url:
        yield url


@pytest.fixture(autouse=True)
def _on_postgresql(request: pytest.FixtureRequest, _no_settings_of_mine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test opens with the settings of its environment has its catalog there."""
    if SERVER:
        monkeypatch.setenv("GROUNDED_DATABASE_URL", request.getfixturevalue("database_url"))
