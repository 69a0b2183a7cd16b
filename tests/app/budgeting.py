"""Budgets on a catalog's database, for tests."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.adapters.sql_budgets import SqlBudgets, Tables
from ingest.adapters import budget_tables as t
from ingest.adapters.sql_catalog import SqlCatalog

TABLES = Tables(t.budgets, t.budget_use, t.budget_holds, t.budget_owners)


@contextmanager
def budgets_in(folder: Path) -> Iterator[SqlBudgets]:
    """A process's own way to the database of that folder."""
    catalog = SqlCatalog(f"sqlite:///{database(folder)}")
    try:
        yield SqlBudgets(catalog, TABLES)
    finally:
        asyncio.run(catalog.close())


def database(folder: Path) -> Path:
    return folder / "catalog.sqlite"
