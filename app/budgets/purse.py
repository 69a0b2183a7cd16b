"""What one question may take of models: the budgets of whoever asked it, and the pace of the endpoints.

Models are asked at many places on a question's way, behind ports that know nothing of money. So the purse goes along in the
context of the task, and the pipeline puts it there before every step: whoever pulls the next event of an answer, it is paid
for by whoever asked.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from app.budgets.ledger import Hold, Ledger
from app.budgets.model import Amount
from app.errors import BudgetExceeded
from app.keys.model import Principal
from app.limits.ports import Rates
from app.limits.window import Rate
from generation.errors import BudgetSpent, EndpointPaced

_MINUTE_S = 60


class Purse:
    """One question's."""

    def __init__(self, purses: "Purses", who: Principal, short: Callable[[], None]) -> None:
        """`short` is called when a budget does not hold what a call may take."""
        self._purses = purses
        self._who = who
        self._short = short

    async def check(self) -> None:
        """Before the answer begins. Raises BudgetExceeded, CatalogUnavailable."""
        await self._purses.ledger.check(self._who)

    async def hold(self, most: Amount) -> Hold | None:
        """Reserve what a call may take; None where nobody counts. Raises BudgetExceeded where questions are refused then,
        else BudgetSpent, which leaves the answer to whoever needs no money; CatalogUnavailable."""
        ledger = self._purses.ledger
        try:
            return await ledger.hold(self._who, most)
        except BudgetExceeded as error:
            self._short()
            if ledger.refuse:
                raise
            spent = BudgetSpent(error.message)
            spent.details, spent.retry_after = error.details, error.retry_after
            raise spent from None

    async def pace(self, tier: str, per_minute: int, tokens: int) -> None:
        """Raises EndpointPaced where the tokens of the minute are used up."""
        if not per_minute:
            return
        rate = Rate("tier", per_minute, _MINUTE_S)
        wait_s = await self._purses.rates.take(rate, tier, min(tokens, per_minute))
        if wait_s is not None:
            raise EndpointPaced(f"The tokens per minute of the tier {tier!r} are used up.")


@dataclass(frozen=True, slots=True)
class Purses:
    """Makes a purse for each question."""

    ledger: Ledger
    rates: Rates

    def of(self, who: Principal, short: Callable[[], None]) -> Purse:
        return Purse(self, who, short)


_purse: ContextVar[Purse | None] = ContextVar("purse", default=None)


def use(purse: Purse | None) -> None:
    """From here on, in this task and those it begins, models are paid from it."""
    _purse.set(purse)


def current() -> Purse | None:
    """What models are paid from; None for work that nobody asked for, such as an evaluation."""
    return _purse.get()
