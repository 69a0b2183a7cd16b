"""The nouns of budgets. Pure.

A budget is a limit on what one subject, a key or a tenant, may spend in a UTC day or month, in money or in tokens. Money is
counted in whole 1e-9 USD, as the cost of answers is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

from app.keys.model import Principal

Unit = Literal["usd", "tokens"]
Period = Literal["day", "month"]
UNITS: tuple[Unit, ...] = get_args(Unit)
PERIODS: tuple[Period, ...] = get_args(Period)
KEY, TENANT = "key:", "tenant:"
NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Amount:
    """What a call takes, or may take at most."""

    nano_usd: int = 0
    tokens: int = 0

    def of(self, unit: Unit) -> int:
        return self.nano_usd if unit == "usd" else self.tokens


@dataclass(frozen=True, slots=True)
class Standing:
    """A budget and what is gone of it in the period that `window` names. `reserved` is for calls under way."""

    subject: str
    unit: Unit
    period: Period
    window: str
    most: int
    spent: int = 0
    reserved: int = 0

    @property
    def left(self) -> int:
        return max(0, self.most - self.spent - self.reserved)

    @property
    def share(self) -> float:
        """Of the budget that is spent; 1 where nothing may be."""
        return self.spent / self.most if self.most else 1.0

    @property
    def name(self) -> str:
        """`key`, `tenant`: whose it is, for those who may know no more."""
        return self.subject.partition(":")[0]

    def told(self, needed: int | None = None) -> dict[str, Any]:
        """For `details` of an error: money in USD."""
        one = NANO if self.unit == "usd" else 1
        numbers = {"limit": self.most, "used": self.spent, "reserved": self.reserved, "left": self.left}
        if needed is not None:
            numbers["needed"] = needed
        shown = {name: value / one if one > 1 else value for name, value in numbers.items()}
        return {"budget": self.name, "period": self.period, "unit": self.unit, **shown}


def subjects_of(who: Principal) -> tuple[str, ...]:
    """Whose budgets somebody draws on. Who asks on this machine without a key draws on the tenant's alone."""
    mine = () if who.key_id is None else (KEY + who.key_id,)
    return (*mine, TENANT + who.tenant)


def window_of(period: Period, now: datetime) -> str:
    """The day or month, UTC. Windows are told by name, so a clock that jumps back finds what was spent, and gives nothing
    twice."""
    return now.astimezone(UTC).strftime("%Y-%m-%d" if period == "day" else "%Y-%m")


def seconds_left(period: Period, now: datetime) -> int:
    """Until the next window begins."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    following = day + timedelta(days=1) if period == "day" else (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    return max(1, int((following - now).total_seconds()) + 1)


def nearest_full(standings: Sequence[Standing], needed: Amount) -> Standing | None:
    """The budget that does not hold what is needed; of several the one whose period is the longest."""
    short = [one for one in standings if one.spent + one.reserved + needed.of(one.unit) > one.most]
    return max(short, key=lambda one: PERIODS.index(one.period), default=None)
