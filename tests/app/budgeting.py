"""Budgets on a catalog's database, for tests."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from app.adapters.sql_budgets import SqlBudgets, Tables
from ingest.adapters import budget_tables as t
from ingest.adapters.sql_catalog import SqlCatalog

TABLES = Tables(t.budgets, t.budget_use, t.budget_holds, t.budget_owners)


@asynccontextmanager
async def budgets_at(folder: Path) -> AsyncIterator[SqlBudgets]:
    """A process's own way to the database of that folder."""
    catalog = _catalog(folder)
    try:
        yield SqlBudgets(catalog, TABLES)
    finally:
        await catalog.close()


@contextmanager
def budgets_in(folder: Path) -> Iterator[SqlBudgets]:
    """The same outside of any event loop."""
    catalog = _catalog(folder)
    try:
        yield SqlBudgets(catalog, TABLES)
    finally:
        asyncio.run(catalog.close())


def _catalog(folder: Path) -> SqlCatalog:
    return SqlCatalog(f"sqlite:///{folder / 'catalog.sqlite'}")
