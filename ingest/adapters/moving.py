"""A catalog moved from SQLite to an empty PostgreSQL, every row of every table, in one transaction."""

from collections.abc import Iterator, Sequence
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from sqlalchemy import Connection, Integer, Table, func, insert, select, text

import ingest.adapters as home
from ingest.adapters.engine import engine_of
from ingest.adapters.migrate import migrate
from ingest.adapters.tables import collections, metadata

_AT_ONCE = 500  # rows in memory; a row of a version holds a document's whole text


def is_empty(url: str) -> bool:
    """Whether the database holds no collection, and so nothing of a catalog; its schema is made where there is none."""
    engine = engine_of(url)
    try:
        migrate(engine)
        with engine.connect() as db:
            return db.execute(select(func.count()).select_from(collections)).scalar_one() == 0
    finally:
        engine.dispose()


def move(source: str, target: str) -> int:
    """Copy all rows; how many. Nothing of it is there until all of it is. Both are brought to the newest schema first."""
    know_all_tables()
    old, new = engine_of(source), engine_of(target)
    try:
        migrate(old)
        migrate(new)
        with old.connect() as reader, new.begin() as writer:
            writer.execute(text("DELETE FROM facts"))
            return sum(_copied(reader, writer, table) for table in metadata.sorted_tables)
    finally:
        old.dispose()
        new.dispose()


def know_all_tables() -> None:
    """Tables are known once their modules are imported."""
    for module in iter_modules(home.__path__):
        if module.name.endswith("tables"):
            import_module(f"{home.__name__}.{module.name}")


def _copied(reader: Connection, writer: Connection, table: Table) -> int:
    count = 0
    for rows in _pages(reader, table):
        writer.execute(insert(table), rows)
        count += len(rows)
    for column in table.primary_key if count else ():
        if isinstance(column.type, Integer) and len(table.primary_key) == 1 and not column.foreign_keys:
            highest = (
                f"SELECT setval(pg_get_serial_sequence(:table, :column), (SELECT max({column.name}) FROM {table.name}))"  # noqa: S608
            )
            writer.execute(text(highest), {"table": table.name, "column": column.name})
    return count


def _pages(reader: Connection, table: Table) -> Iterator[Sequence[dict[str, Any]]]:
    found = reader.execution_options(yield_per=_AT_ONCE).execute(select(table))
    for page in found.mappings().partitions(_AT_ONCE):
        yield [dict(row) for row in page]
