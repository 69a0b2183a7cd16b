"""The store of budgets on the catalog's database keeps the contract."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.adapters.sql_budgets import SqlBudgets
from tests.app.budgeting import budgets_in
from tests.contracts.budget_store import BudgetStoreContract


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlBudgets]:
    with budgets_in(tmp_path) as found:
        yield found


@pytest.fixture
def other(store: SqlBudgets, tmp_path: Path) -> Iterator[SqlBudgets]:
    with budgets_in(tmp_path) as found:
        yield found


class TestSqlBudgets(BudgetStoreContract):
    pass
