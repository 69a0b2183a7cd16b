"""Databases on the PostgreSQL of the tests, each a copy of one that is migrated; where there is none, SQLite as ever."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from secrets import token_hex

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from ingest.adapters.engine import engine_of
from ingest.adapters.migrate import migrate

SERVER = os.environ.get("GROUNDED_TEST_DATABASE_URL", "")
_OF_STATE: dict[Path, str] = {}


def of_state(state: Path) -> dict[str, str]:
    """The setting that gives a state folder of a test a database of its own; nothing where there is no PostgreSQL. The
    whole server is thrown away at the end."""
    if not SERVER:
        return {}
    if state not in _OF_STATE:
        _OF_STATE[state] = _made(_migrated())
    return {"database_url": _OF_STATE[state]}


def address(name: str) -> str:
    """Of a database on the server of the tests."""
    return make_url(SERVER).set(database=name).render_as_string(hide_password=False)


@contextmanager
def database(template: str = "template0") -> Iterator[str]:
    """The address of a fresh database; whoever is still connected at its end is cut off."""
    url = _made(template)
    try:
        yield url
    finally:
        _drop(url)


def _made(template: str) -> str:
    name = f"t_{token_hex(8)}"
    with psycopg.connect(SERVER, autocommit=True) as db:
        made = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        db.execute(made.format(sql.Identifier(name), sql.Identifier(template)))
    return address(name)


def _drop(url: str) -> None:
    with psycopg.connect(SERVER, autocommit=True) as db:
        gone = sql.SQL("DROP DATABASE {} WITH (FORCE)")
        db.execute(gone.format(sql.Identifier(str(make_url(url).database))))


@lru_cache(maxsize=1)
def _migrated() -> str:
    """The name of a database with the newest schema, to which nobody is connected."""
    url = _made("template0")
    engine = engine_of(url)
    migrate(engine)
    engine.dispose()
    return str(make_url(url).database)


@pytest.fixture(scope="session")
def migrated() -> str:
    """The name of a database to be copied, with the newest schema and nothing else."""
    return _migrated()


@pytest.fixture
def database_url(migrated: str) -> Iterator[str]:
    """A database of the test's own."""
    with database(migrated) as url:
        yield url


@pytest.fixture(autouse=True)
def _no_database_outlives_its_test() -> Iterator[None]:
    """Those of fixtures that are shared by tests were made before."""
    before = set(_OF_STATE)
    yield
    for state in _OF_STATE.keys() - before:
        _drop(_OF_STATE.pop(state))
