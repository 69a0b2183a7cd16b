"""Drawing on budgets: what is reserved, settled, warned of, and taken from the dead."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from app.adapters.sql_budgets import SqlBudgets
from app.budgets.ledger import Ledger
from app.budgets.model import Amount, Standing
from app.budgets.ports import Owner
from app.errors import BudgetExceeded
from app.keys.model import LOCAL, Principal
from ingest.errors import CatalogUnavailable
from tests.app.budgeting import budgets_in
from tests.patience import PATIENCE_S

WHO = Principal("default", "key_1", frozenset({"ask"}), None, None)
KEY, TENANT = "key:key_1", "tenant:default"
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlBudgets]:
    with budgets_in(tmp_path) as found:
        yield found


@pytest.fixture
def other(store: SqlBudgets, tmp_path: Path) -> Iterator[SqlBudgets]:
    with budgets_in(tmp_path) as found:
        yield found


class Clock:
    """Seconds that a test moves by hand."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def ledger(store: SqlBudgets, clock: Callable[[], float] | None = None, **more: Any) -> Ledger:
    return Ledger(store, now=lambda: NOW, clock=clock or Clock(), **more)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


async def standing(store: SqlBudgets, subject: str = KEY) -> Standing:
    return (await store.standings((subject,), NOW))[0]


class TestHolding:
    def test_without_a_budget_nothing_is_written(self, store: SqlBudgets) -> None:
        async def main() -> None:
            assert await ledger(store).hold(WHO, Amount(10**12, 10**12)) is None
            assert list(await store.owners()) == []

        run(main())

    def test_a_key_draws_on_its_tenant_too(self, store: SqlBudgets) -> None:
        async def main() -> None:
            await store.put(TENANT, {("tokens", "day"): 10})
            mine = ledger(store)
            assert await mine.hold(WHO, Amount(5, 8)) is not None
            with pytest.raises(BudgetExceeded):
                await mine.hold(LOCAL, Amount(5, 8))
            assert await mine.hold(Principal("other", "key_2", frozenset(), None, None), Amount(5, 8)) is None

        run(main())

    def test_a_refusal_says_what_is_left_and_until_when(self, store: SqlBudgets) -> None:
        async def main() -> None:
            await store.put(KEY, {("usd", "month"): 3 * 10**9})
            mine = ledger(store)
            await mine.hold(WHO, Amount(2 * 10**9))
            with pytest.raises(BudgetExceeded) as caught:
                await mine.hold(WHO, Amount(2 * 10**9))
            told = {"budget": "key", "period": "month", "unit": "usd", "limit": 3.0, "used": 0.0, "reserved": 2.0}
            assert caught.value.details == told | {"left": 1.0, "needed": 2.0}
            assert caught.value.retry_after == 12 * 3600 + 1  # the month ends with this day

        run(main())

    def test_what_cannot_be_written_is_not_spent(self, store: SqlBudgets) -> None:
        async def main() -> None:
            await store.put(KEY, {("usd", "day"): 100})
            mine = ledger(store)
            await mine.draws(WHO)

            async def broken(*_: Any) -> None:
                raise CatalogUnavailable("The database is locked.")

            store.hold = broken  # type: ignore[method-assign, assignment]
            with pytest.raises(CatalogUnavailable):
                await mine.hold(WHO, Amount(1))

        run(main())

    def test_one_that_is_cancelled_in_the_middle_leaves_nothing_reserved(self, store: SqlBudgets) -> None:
        async def main() -> None:
            await store.put(KEY, {("usd", "day"): 100})
            mine = ledger(store)
            await mine.draws(WHO)
            asked = asyncio.create_task(mine.hold(WHO, Amount(60)))
            await asyncio.sleep(0)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
            await mine.tend()
            assert (await standing(store)).reserved == 0

        run(main())


class TestSettling:
    def test_whoever_is_cancelled_while_settling_has_settled(self, store: SqlBudgets) -> None:
        async def main() -> None:
            await store.put(KEY, {("usd", "day"): 100})
            mine = ledger(store)
            held = await mine.hold(WHO, Amount(60))
            assert held is not None
            settling = asyncio.create_task(held.settle(Amount(25)))
            await asyncio.sleep(0)
            settling.cancel()
            await asyncio.gather(settling, return_exceptions=True)
            await mine.close()
            assert ((await standing(store)).spent, (await standing(store)).reserved) == (25, 0)

        run(main())

    def test_what_cannot_be_settled_is_settled_later(self, store: SqlBudgets) -> None:
        async def main() -> None:
            await store.put(KEY, {("usd", "day"): 100})
            mine, settle = ledger(store), store.settle
            held = await mine.hold(WHO, Amount(60))
            assert held is not None

            async def broken(*_: Any) -> None:
                raise CatalogUnavailable("The database is locked.")

            store.settle = broken  # type: ignore[method-assign, assignment]
            await held.settle(Amount(25))
            assert (await standing(store)).reserved == 60
            store.settle = settle  # type: ignore[method-assign]
            await mine.tend()
            assert ((await standing(store)).spent, (await standing(store)).reserved) == (25, 0)

        run(main())

    def test_the_warning_is_logged_once_and_marked_from_then_on(self, store: SqlBudgets) -> None:
        async def main() -> list[Any]:
            await store.put(KEY, {("usd", "day"): 100})
            mine = ledger(store)
            with structlog.testing.capture_logs() as logged:
                for spent in (79, 1, 1):
                    held = await mine.hold(WHO, Amount(spent))
                    assert held is not None
                    marked = bool(mine.marked(WHO))
                    assert marked == (spent == 1 and (await standing(store)).spent > 79)
                    await held.settle(Amount(spent))
            assert [one.name for one in mine.marked(WHO)] == ["key"]
            assert mine.marked(LOCAL) == []
            return [line for line in logged if line["event"] == "budget.warning"]

        (line,) = run(main())
        assert (line["subject"], line["used"], line["period"]) == (KEY, 80 / 10**9, "day")

    def test_refused_before_the_start_only_where_that_is_wanted(self, store: SqlBudgets) -> None:
        async def main() -> None:
            await store.put(KEY, {("usd", "day"): 1})
            mine, strict = ledger(store), ledger(store, refuse=True)
            await strict.check(WHO)
            held = await mine.hold(WHO, Amount(1))
            assert held is not None
            await held.settle(Amount(1))
            await mine.check(WHO)
            with pytest.raises(BudgetExceeded):
                await strict.check(WHO)

        run(main())


class TestLeases:
    def test_who_is_silent_for_the_lease_holds_nothing(self, store: SqlBudgets, other: SqlBudgets) -> None:
        async def main() -> None:
            await store.put(KEY, {("usd", "day"): 100})
            clock = Clock()
            dead, mine = ledger(other), ledger(store, clock, lease_s=30)
            assert await dead.hold(WHO, Amount(60)) is not None
            await mine.tend()
            clock.at += 29
            await mine.tend()
            assert (await standing(store)).reserved == 60
            clock.at += 2
            await mine.tend()
            assert (await standing(store)).reserved == 0

        run(main())

    def test_who_lives_keeps_what_they_hold_however_long_the_call(self, store: SqlBudgets, other: SqlBudgets) -> None:
        async def main() -> None:
            await store.put(KEY, {("usd", "day"): 100})
            clock = Clock()
            theirs, mine = ledger(other, clock), ledger(store, clock, lease_s=30)
            held = await theirs.hold(WHO, Amount(60))
            assert held is not None
            for _ in range(10):
                await theirs.tend()
                await mine.tend()
                clock.at += 20
            assert (await standing(store)).reserved == 60
            await held.settle(Amount(1))

        run(main())

    def test_one_that_held_nothing_for_a_while_is_not_dead_when_it_holds_again(
        self, store: SqlBudgets, other: SqlBudgets
    ) -> None:
        async def main() -> None:
            await store.put(KEY, {("usd", "day"): 100})
            clock = Clock()
            theirs, mine = ledger(other, clock), ledger(store, clock, lease_s=30)
            held = await theirs.hold(WHO, Amount(10))
            assert held is not None
            await held.settle(Amount(0))
            await mine.tend()
            clock.at += 29
            assert await theirs.hold(WHO, Amount(60)) is not None
            clock.at += 2
            await mine.tend()
            assert (await standing(store)).reserved == 60

        run(main())

    def test_who_died_on_this_machine_is_known_to_be_dead_at_the_start(self, store: SqlBudgets) -> None:
        told = "import os; print(os.getpid())"
        gone = subprocess.run([sys.executable, "-c", told], capture_output=True, check=True)

        async def main() -> None:
            await store.put(KEY, {("usd", "day"): 100})
            mine = ledger(store)
            me = mine._owner
            for owner, usd in (
                (Owner("own_gone", me.place, int(gone.stdout), 1, 1), 10),
                (Owner("own_reused", me.place, os.getpid(), me.started - 1, 1), 20),
                (Owner("own_alive", me.place, os.getpid(), me.started, 1), 30),
                (Owner("own_elsewhere", "there", 1, 1, 1), 40),
            ):
                await store.hold(f"of {owner.id}", owner, (KEY,), Amount(usd), NOW)
            await mine.begin()
            try:
                assert (await standing(store)).reserved == 70
            finally:
                await mine.close()

        run(main())

    def test_a_process_that_is_killed_in_mid_call_is_dead_at_once_for_the_next_start(
        self, store: SqlBudgets, tmp_path: Path
    ) -> None:
        async def main() -> None:
            await store.put(KEY, {("usd", "day"): 100})
            with holding(tmp_path, 60) as held:
                assert held.stdout is not None
                assert await asyncio.wait_for(asyncio.to_thread(held.stdout.readline), PATIENCE_S) == "held\n"
                assert (await standing(store)).reserved == 60
            mine = ledger(store)
            await mine.begin()
            assert (await standing(store)).reserved == 0
            await mine.close()

        run(main())

    def test_who_ends_well_leaves_no_row(self, store: SqlBudgets) -> None:
        async def main() -> None:
            await store.put(KEY, {("usd", "day"): 100})
            mine = ledger(store)
            await mine.begin()
            await mine.hold(WHO, Amount(60))
            await mine.close()
            assert list(await store.owners()) == []
            assert (await standing(store)).reserved == 0

        run(main())


@contextmanager
def holding(folder: Path, usd: int) -> Iterator[subprocess.Popen[str]]:
    """Another process that reserves so much; killed at the end."""
    command = [sys.executable, "-c", HOLDING, str(folder), str(usd)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as held:
        try:
            yield held
        finally:
            held.kill()  # SIGKILL: it cleans up nothing


HOLDING = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from app.budgets.ledger import Ledger
from app.budgets.model import Amount
from app.keys.model import Principal
from tests.app.budgeting import budgets_in

async def main(store, usd):
    ledger = Ledger(store, now=lambda: datetime(2026, 11, 30, 12, tzinfo=UTC))
    assert await ledger.hold(Principal("default", "key_1", frozenset(), None, None), Amount(usd)) is not None
    print("held", flush=True)
    await asyncio.sleep(600)

with budgets_in(Path(sys.argv[1])) as store:
    asyncio.run(main(store, int(sys.argv[2])))
"""
