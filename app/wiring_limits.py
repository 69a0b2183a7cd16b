"""Rates and budgets, put together: where arrivals are counted, and where money is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING

from app.budgets.ledger import Ledger
from app.budgets.ports import BudgetStore
from app.limits.ports import Rates
from app.limits.window import MovingWindow
from app.settings import ConfigurationError, Settings
from app.state import StateFolder, catalog_url
from ingest.errors import StateLocked

if TYPE_CHECKING:
    from ingest.adapters.sql_catalog import SqlCatalog


async def ledger_of(settings: Settings, catalog: "SqlCatalog", closing: AsyncExitStack) -> Ledger:
    """Who draws on budgets; what the dead of this machine held is free. Raises CatalogUnavailable."""
    b = settings.budgets
    ledger = Ledger(_store(catalog), refuse=b.exhausted == "refuse", warn_at=b.warn_at)
    closing.push_async_callback(ledger.close)
    await ledger.begin()
    return ledger


def rates_of(settings: Settings, closing: AsyncExitStack) -> Rates:
    """Who counts arrivals: this process, or Redis for all of them. Raises ConfigurationError."""
    url = settings.redis_url.get_secret_value()
    if not url:
        return MovingWindow()
    try:
        from app.adapters.redis_rates import RedisRates, redis_storage

        rates = RedisRates(redis_storage(url))
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"redis_url needs the package {error.name}.",
            "Install it with the extra: pip install 'grounded-qa[redis]'.",
        ) from error
    closing.push_async_callback(rates.aclose)
    return rates


@asynccontextmanager
async def budget_store(settings: Settings) -> AsyncIterator[BudgetStore]:
    """The budgets of the state folder or of the database, also while somebody else works on it. Raises StateNotWritable,
    CatalogUnavailable."""
    from ingest.adapters.sql_catalog import SqlCatalog

    state = StateFolder(settings.state)
    async with AsyncExitStack() as closing:
        if not settings.database_url.get_secret_value():
            with suppress(StateLocked):  # then whoever holds it has made the catalog, and lets others in
                closing.enter_context(state.owned())
        catalog = await asyncio.to_thread(SqlCatalog, catalog_url(state, settings.database_url))
        closing.push_async_callback(catalog.close)
        yield _store(catalog)


def _store(catalog: "SqlCatalog") -> BudgetStore:
    from app.adapters.sql_budgets import SqlBudgets, Tables
    from ingest.adapters import budget_tables as t

    return SqlBudgets(catalog, Tables(t.budgets, t.budget_use, t.budget_holds, t.budget_owners))
