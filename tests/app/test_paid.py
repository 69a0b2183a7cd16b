"""A model's call is paid from a purse: reserved before it, settled behind it, whatever became of it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import aclosing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.adapters.sql_budgets import SqlBudgets
from app.budgets.ledger import Ledger
from app.budgets.model import Standing
from app.budgets.paid import Paid, Terms
from app.budgets.purse import Purses, use
from app.cost import Prices, cost_of
from app.errors import BudgetExceeded
from app.keys.model import Principal
from app.limits.window import MovingWindow
from generation.errors import BudgetSpent, EndpointPaced, UpstreamTruncated
from generation.model import Ask, Attempt, Draft, DraftEnd, DraftText, Usage
from generation.ports import Generator
from generation.prompt import load_prompt
from retrieval.model import Context
from tests.app.budgeting import budgets_in
from tests.fakes import ScriptedGenerator

WHO = Principal("default", "key_1", frozenset({"ask"}), None, None)
KEY = "key:key_1"
PRICES = Prices(Decimal(1), Decimal(2))
TERMS = Terms("small", PRICES, (load_prompt(), load_prompt("structured")), max_tokens=100)
USAGE = Usage(120, 9)
ASK, NOTHING = Ask("Wie groß ist 東京?"), Context((), (), 0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlBudgets]:
    with budgets_in(tmp_path) as found:
        yield found


class Watched:
    """The generator port; notes what is reserved when it is asked."""

    name, prompt_version = "m", None

    def __init__(self, store: SqlBudgets, *script: Draft | Exception) -> None:
        self._behind = ScriptedGenerator(*script)
        self._store = store
        self.reserved: list[int] = []

    async def draft(self, ask: Ask, context: Context) -> AsyncIterator[Draft]:
        self.reserved.append((await standing(self._store)).reserved)
        async for draft in self._behind.draft(ask, context):
            yield draft

    async def aclose(self) -> None:
        """Nothing is held."""


async def standing(store: SqlBudgets, subject: str = KEY) -> Standing:
    from datetime import UTC, datetime

    return (await store.standings((subject,), datetime.now(UTC)))[0]


async def drafts(generator: Generator, ask: Ask = ASK) -> list[Draft]:
    async with aclosing(generator.draft(ask, NOTHING)) as found:  # type: ignore[type-var]
        return [draft async for draft in found]


def paid(store: SqlBudgets, work: Any, *, most: int | None, refuse: bool = False) -> list[str]:
    """Run it with a purse of so much money; the parts that were named short."""
    short: list[str] = []

    async def main() -> None:
        if most is not None:
            await store.put(KEY, {("usd", "day"): most})
        ledger = Ledger(store, refuse=refuse)
        use(Purses(ledger, MovingWindow()).of(WHO, lambda: short.append("budget")))
        coroutine: Coroutine[Any, Any, None] = work()
        await coroutine
        await ledger.close()

    asyncio.run(main())
    return short


def test_it_is_reserved_while_it_runs_and_settled_behind_it(store: SqlBudgets) -> None:
    model = Watched(store, DraftText("x"), DraftEnd(usage=USAGE))

    async def main() -> None:
        await drafts(Paid(model, TERMS))
        found = await standing(store)
        assert (found.spent, found.reserved) == (cost_of(USAGE, PRICES), 0)

    assert paid(store, main, most=10**9) == []
    bound = TERMS.bound(TERMS.most(ASK, NOTHING))
    assert model.reserved == [bound.nano_usd]
    assert bound.nano_usd > cost_of(USAGE, PRICES)


def test_the_bound_holds_for_every_tokenizer(store: SqlBudgets) -> None:
    most = TERMS.most(ASK, NOTHING)
    sent = "".join(message["content"] for message in load_prompt().request(ASK, NOTHING))
    assert most.input_tokens >= len(sent.encode()) > len(sent)
    assert most.output_tokens == 100
    assert TERMS.most(Ask("x", max_tokens=7), NOTHING).output_tokens == 7
    assert (
        Terms("t", Prices(Decimal(1), Decimal(2), Decimal(5)), TERMS.told, 100).bound(Usage(10, 0)).nano_usd == 50_000
    )


@pytest.mark.parametrize("refuse", [False, True])
def test_without_money_the_model_is_not_asked(store: SqlBudgets, refuse: bool) -> None:
    model = Watched(store, DraftEnd(usage=USAGE))

    async def main() -> None:
        with pytest.raises(BudgetExceeded if refuse else BudgetSpent) as caught:
            await drafts(Paid(model, TERMS))
        assert caught.value.details is not None
        assert caught.value.retry_after is not None

    assert paid(store, main, most=1, refuse=refuse) == ["budget"]
    assert model.reserved == []


def test_who_has_no_budget_is_asked_for_none(store: SqlBudgets) -> None:
    async def main() -> None:
        assert len(await drafts(Paid(ScriptedGenerator(DraftText("x"), DraftEnd(usage=USAGE)), TERMS))) == 2

    assert paid(store, main, most=None) == []


def test_a_call_that_breaks_off_is_paid_for_what_came(store: SqlBudgets) -> None:
    broken = UpstreamTruncated("It broke off.")
    broken.usage = Usage(50, 3)

    async def main() -> None:
        with pytest.raises(UpstreamTruncated):
            await drafts(Paid(ScriptedGenerator(DraftText("x"), broken), TERMS))
        assert ((await standing(store)).spent, (await standing(store)).reserved) == (cost_of(Usage(50, 3), PRICES), 0)

    paid(store, main, most=10**9)


def test_a_call_that_is_left_is_paid_for_what_its_meter_says(store: SqlBudgets) -> None:
    class Left(ScriptedGenerator):
        async def draft(self, ask: Ask, context: Context) -> AsyncIterator[Draft]:
            try:
                yield DraftText("x")
                await asyncio.sleep(600)
            finally:
                ask.meter.left(Attempt("m", None, "cancelled", Usage(30, 1)))

    async def main() -> None:
        ask = Ask("x")
        ask.meter.left(Attempt("other", None, "cancelled", Usage(1000, 1000)))  # of a call before, paid already
        found = Paid(Left(), TERMS).draft(ask, NOTHING)
        await anext(found)
        await found.aclose()  # type: ignore[attr-defined]
        assert ((await standing(store)).spent, (await standing(store)).reserved) == (cost_of(Usage(30, 1), PRICES), 0)

    paid(store, main, most=10**9)


def test_a_draft_that_is_closed_at_its_end_is_paid_once(store: SqlBudgets) -> None:
    class Ended(ScriptedGenerator):
        async def draft(self, ask: Ask, context: Context) -> AsyncIterator[Draft]:
            try:
                yield DraftEnd(usage=USAGE)
            except GeneratorExit:
                ask.meter.left(Attempt("m", None, "cancelled", USAGE))
                raise

    async def main() -> None:
        found = Paid(Ended(), TERMS).draft(Ask("x"), NOTHING)
        assert isinstance(await anext(found), DraftEnd)
        await found.aclose()  # type: ignore[attr-defined]
        assert (await standing(store)).spent == cost_of(USAGE, PRICES)

    paid(store, main, most=10**9)


def test_what_nobody_tells_costs_all_that_was_reserved(store: SqlBudgets) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError):
            await drafts(Paid(ScriptedGenerator(DraftText("x"), RuntimeError("a bug")), TERMS))
        assert (await standing(store)).spent == TERMS.bound(TERMS.most(ASK, NOTHING)).nano_usd

    paid(store, main, most=10**9)


def test_tokens_of_a_minute_are_not_more_than_the_endpoint_may_get(store: SqlBudgets) -> None:
    paced = Terms("small", PRICES, TERMS.told, 100, per_minute=1000)

    async def main() -> None:
        model = ScriptedGenerator(DraftEnd(usage=USAGE))
        called = await asyncio.gather(*(drafts(Paid(model, paced)) for _ in range(10)), return_exceptions=True)
        assert not isinstance(called[0], BaseException)
        assert {type(error) for error in called if isinstance(error, BaseException)} == {EndpointPaced}
        await drafts(Paid(model, Terms("large", PRICES, TERMS.told, 100, per_minute=1000)))  # another endpoint

    paid(store, main, most=None)
