"""Where budgets are kept. Every call is one transaction, also beside those of other processes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from app.budgets.model import Amount, Period, Standing, Unit


@dataclass(frozen=True, slots=True)
class Owner:
    """A process that holds reservations. `place` says within which machine `pid` and `started` mean something, and is empty
    where nobody can tell; `beat` rises while the process lives."""

    id: str
    place: str = ""
    pid: int = 0
    started: int = 0
    beat: int = 0


@dataclass(frozen=True, slots=True)
class Holding:
    """What a reservation came to: made where nothing is `short`."""

    standings: Sequence[Standing] = ()
    short: Standing | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """How the budgets stand behind a call, and those that have reached the mark of the warning with it."""

    standings: Sequence[Standing] = ()
    warned: Sequence[Standing] = field(default=())


class BudgetStore(Protocol):
    """Limits, what is spent of them, and what is reserved."""

    async def since(self, seen: int) -> tuple[int, Mapping[str, bool]]:
        """Subjects whose limits were changed behind the change `seen`, and whether they have any; the last change."""
        ...

    async def put(self, subject: str, limits: Mapping[tuple[Unit, Period], int | None]) -> None:
        """Set these limits, None for none. A warning may be given anew."""
        ...

    async def standings(self, subjects: Collection[str] | None, now: datetime) -> Sequence[Standing]:
        """How the budgets of these subjects stand, None for all that there are."""
        ...

    async def hold(self, hold_id: str, owner: Owner, subjects: Collection[str], most: Amount, now: datetime) -> Holding:
        """Reserve that much in each budget of the subjects, or in none of them, and note the owner's beat."""
        ...

    async def settle(self, hold_id: str, spent: Amount, warn_at: float) -> Settled:
        """Put what was spent in the place of what was reserved. What was freed meanwhile is counted all the same, and a
        reservation that is settled already changes nothing."""
        ...

    async def owners(self) -> Sequence[Owner]:
        """Those who hold, or held, reservations."""
        ...

    async def beat(self, owner: Owner) -> None:
        """The owner is alive."""
        ...

    async def free(self, owner: Owner) -> int:
        """Let go of all that a dead owner holds, unless its beat is another one now; how many reservations that were."""
        ...
