"""What every store of budgets must do. Inherit, and give `store`, and `other`, which is another process's on the same data."""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from app.budgets.model import Amount, Standing
from app.budgets.ports import BudgetStore, Holding, Owner

T = TypeVar("T")
NOW = datetime(2026, 11, 21, 23, 59, tzinfo=UTC)
KEY, TENANT = "key:key_1", "tenant:default"
BOTH = (KEY, TENANT)
ME = Owner("own_1", "here", 7, 70, 1)
THEM = Owner("own_2", "there", 8, 80, 1)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def hold(store: BudgetStore, id_: str, usd: int, tokens: int = 0, owner: Owner = ME, now: datetime = NOW) -> Holding:
    return run(store.hold(id_, owner, BOTH, Amount(usd, tokens), now))


def settle(store: BudgetStore, id_: str, usd: int, tokens: int = 0, warn_at: float = 0.8) -> list[Standing]:
    return list(run(store.settle(id_, Amount(usd, tokens), warn_at)).warned)


def standing(
    store: BudgetStore, subject: str = KEY, now: datetime = NOW, unit: str = "usd", period: str = "day"
) -> Standing:
    found = run(store.standings((subject,), now))
    return next(one for one in found if (one.unit, one.period) == (unit, period))


class BudgetStoreContract:
    """Nothing is spent that was not reserved, and nothing stays reserved that nobody spends."""

    @pytest.fixture(autouse=True)
    def _limited(self, store: BudgetStore) -> None:
        run(store.put(KEY, {("usd", "day"): 100}))

    def test_what_is_reserved_is_there_for_nobody_else(self, store: BudgetStore, other: BudgetStore) -> None:
        assert hold(store, "a", 60).short is None
        short = hold(other, "b", 41, owner=THEM).short
        assert short is not None
        assert (short.left, short.reserved, short.most) == (40, 60, 100)
        assert hold(other, "c", 40, owner=THEM).short is None
        assert hold(store, "d", 1).short is not None

    def test_what_is_settled_takes_the_place_of_what_was_reserved(self, store: BudgetStore, other: BudgetStore) -> None:
        hold(store, "a", 60)
        settle(store, "a", 25)
        found = standing(other)
        assert (found.spent, found.reserved, found.left) == (25, 0, 75)

    def test_settled_twice_is_spent_once(self, store: BudgetStore) -> None:
        hold(store, "a", 60)
        settle(store, "a", 25)
        settle(store, "a", 25)
        assert (standing(store).spent, standing(store).reserved) == (25, 0)

    def test_what_was_never_reserved_settles_nothing(self, store: BudgetStore) -> None:
        settle(store, "none", 25)
        assert standing(store).spent == 0

    def test_all_budgets_hold_it_or_none_does(self, store: BudgetStore) -> None:
        run(store.put(TENANT, {("usd", "month"): 50, ("tokens", "day"): 1000}))
        assert hold(store, "a", 60, 10).short is not None
        assert (standing(store).reserved, standing(store, TENANT, unit="tokens").reserved) == (0, 0)
        assert hold(store, "b", 50, 10).short is None
        assert standing(store, TENANT, period="month").reserved == 50
        assert standing(store, TENANT, unit="tokens").reserved == 10

    def test_a_model_that_costs_nothing_is_held_by_no_budget_of_money(self, store: BudgetStore) -> None:
        hold(store, "a", 100)
        assert hold(store, "b", 0, 500) == Holding()

    def test_a_budget_of_nothing_holds_nothing(self, store: BudgetStore) -> None:
        run(store.put(KEY, {("usd", "day"): 0}))
        assert hold(store, "a", 1).short is not None

    def test_without_a_limit_nothing_is_counted(self, store: BudgetStore) -> None:
        run(store.put(KEY, {("usd", "day"): None}))
        assert hold(store, "a", 10**12) == Holding()
        assert run(store.standings(None, NOW)) == []

    def test_each_day_has_its_own_budget_and_a_call_counts_for_the_day_it_began_in(self, store: BudgetStore) -> None:
        hold(store, "a", 100)
        tomorrow = NOW + timedelta(minutes=2)
        assert hold(store, "b", 100, now=tomorrow).short is None
        settle(store, "a", 90)
        assert standing(store, now=tomorrow).spent == 0
        assert standing(store).spent == 90

    def test_a_clock_that_jumps_back_gives_nothing_twice(self, store: BudgetStore) -> None:
        hold(store, "a", 100)
        settle(store, "a", 100)
        assert hold(store, "b", 1, now=NOW + timedelta(days=1)).short is None
        assert hold(store, "c", 1, now=NOW).short is not None

    def test_a_month_counts_all_its_days(self, store: BudgetStore) -> None:
        run(store.put(KEY, {("usd", "day"): None, ("usd", "month"): 100}))
        hold(store, "a", 60)
        assert hold(store, "b", 60, now=NOW - timedelta(days=5)).short is not None
        assert hold(store, "c", 60, now=NOW + timedelta(days=20)).short is None

    def test_what_the_dead_held_is_free_and_what_they_spent_all_the_same_counts(self, store: BudgetStore) -> None:
        hold(store, "a", 60)
        hold(store, "b", 30, owner=THEM)
        (mine,) = (owner for owner in run(store.owners()) if owner.id == ME.id)
        assert run(store.free(mine)) == 1
        assert standing(store).reserved == 30
        assert [owner.id for owner in run(store.owners())] == [THEM.id]
        settle(store, "a", 20)  # it was only slow
        assert (standing(store).spent, standing(store).reserved) == (20, 30)

    def test_who_has_moved_since_is_not_dead(self, store: BudgetStore, other: BudgetStore) -> None:
        hold(store, "a", 60)
        seen = run(other.owners())[0]
        run(store.beat(Owner(ME.id, ME.place, ME.pid, ME.started, 2)))
        assert run(other.free(seen)) == 0
        assert standing(store).reserved == 60
        hold(store, "b", 1, owner=Owner(ME.id, ME.place, ME.pid, ME.started, 3))
        assert run(other.owners())[0].beat == 3

    def test_freed_twice_is_free_once(self, store: BudgetStore, other: BudgetStore) -> None:
        hold(store, "a", 60)
        seen = run(store.owners())[0]
        assert run(store.free(seen)) == 1
        assert run(other.free(seen)) == 0
        assert standing(store).reserved == 0

    def test_one_is_warned_once_in_a_period_and_anew_when_the_limit_is_set(self, store: BudgetStore) -> None:
        def spent(id_: str, usd: int, now: datetime = NOW) -> int:
            hold(store, id_, usd, now=now)
            return len(settle(store, id_, usd))

        assert spent("a", 79) == 0
        assert spent("b", 1) == 1
        assert spent("c", 1) == 0
        assert spent("d", 80, NOW + timedelta(days=1)) == 1
        run(store.put(KEY, {("usd", "day"): 101}))
        assert spent("e", 1) == 1

    def test_whose_limits_were_changed_is_told_once(self, store: BudgetStore, other: BudgetStore) -> None:
        seen, changed = run(other.since(0))
        assert changed == {KEY: True}
        assert run(other.since(seen)) == (seen, {})
        run(store.put(TENANT, {("tokens", "month"): 5}))
        run(store.put(KEY, {("usd", "day"): None}))
        assert run(other.since(seen))[1] == {KEY: False, TENANT: True}

    def test_many_at_once_never_take_more_than_there_is(self, store: BudgetStore, other: BudgetStore) -> None:
        async def main() -> int:
            stores = (store, other)
            owners = (ME, THEM)
            calls = [
                stores[n % 2].hold(f"h{n}", owners[n % 2], BOTH, Amount(7), NOW) for n in range(60)
            ]  # python -m tests.budgets has the thousand
            return sum(found.short is None for found in await asyncio.gather(*calls))

        assert run(main()) == 100 // 7
        assert standing(store).reserved == 98
