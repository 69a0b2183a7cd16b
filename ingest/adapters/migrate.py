"""Brings a catalog's schema up to date, by Alembic, when it is not."""

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, inspect, text

HEAD = "0009"  # the newest file in migrations/versions; a test holds the two together

# Whoever has waited for another's migration must see what that has done.
_ISOLATION: dict[str, dict[str, Any]] = {"postgresql": {"isolation_level": "READ COMMITTED"}}
_KEY = 0x67726F756E64656D


def migrate(engine: Engine, to: str = HEAD) -> None:
    """A fresh database gets the whole schema, or that of an older version; an older one each step since. Alembic is loaded
    only when needed. Of several processes that start at once one does it, and the others wait for that."""
    with engine.connect() as connection:
        if _version(connection) == to:
            return
    with (
        engine.connect().execution_options(**_ISOLATION.get(engine.dialect.name, {})) as connection,
        connection.begin(),
    ):
        _alone(connection)
        if _version(connection) != to:
            _upgrade(connection, to)
    engine.dispose()


def _alone(connection: Connection) -> None:
    """From here to the commit nobody else migrates."""
    if connection.dialect.name != "sqlite":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _KEY})
        return
    # A table that others lean on is rebuilt by dropping it, which must not take their rows for orphans. Only outside of a
    # transaction can that be said; connections that come later say otherwise again.
    connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
    # Its driver begins no transaction before a CREATE; half a schema would be one that no later start completes.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _upgrade(connection: Connection, to: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
