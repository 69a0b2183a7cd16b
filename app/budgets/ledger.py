"""Budgets of the whole service: reserved before a call, settled behind it, freed where whoever held it is dead.

A process that holds reservations has one row with a number that rises while it lives. Every process looks at these rows,
and one whose number has not risen for the lease, by the watcher's own monotonic clock, is dead: so no clock that is set
frees anything that is in use. One that died on this very machine is seen to be dead at the next start.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from secrets import token_hex

import structlog

from app.budgets.life import place, started
from app.budgets.model import Amount, Standing, nearest_full, seconds_left, subjects_of, window_of
from app.budgets.ports import BudgetStore, Owner
from app.errors import BudgetExceeded
from app.keys.model import Principal
from app.polled import Polled
from ingest.errors import GroundedError

_FRESH_S = 0.4
_ONE = Amount(1, 1)
_log = structlog.get_logger()


class Hold:
    """What a call may take at most, reserved. Settle it once it is known what the call took."""

    def __init__(self, ledger: "Ledger", id_: str, most: Amount) -> None:
        self.most = most
        self._ledger = ledger
        self._id = id_

    async def settle(self, spent: Amount) -> None:
        """Also where the caller is being cancelled. Whatever fails here is tried again later."""
        if spent.nano_usd > self.most.nano_usd or spent.tokens > self.most.tokens:
            _log.warning("budget.call_took_more", hold=self._id, most=self.most.tokens, took=spent.tokens)
        await self._ledger.settle(self._id, spent)


class Ledger:
    """Draws on budgets. One for the whole process."""

    def __init__(
        self,
        store: BudgetStore,
        *,
        refuse: bool = False,
        warn_at: float = 0.8,
        lease_s: float = 30.0,
        beat_s: float = 5.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """With `refuse` questions are turned away once a budget is used up; `warn_at` is a share of it. `now` names days and
        months, `clock` measures the lease."""
        self.store = store
        self.refuse = refuse
        self._warn_at = warn_at
        self._lease_s = lease_s
        self._beat_s = beat_s
        self._now = now
        self._clock = clock
        self._owner = Owner(f"own_{token_hex(12)}", *place())
        self._beats = count(1)
        self._seen = 0
        self._polled = Polled(self._look, _FRESH_S, clock)
        self._limited: set[str] = set()
        self._standings: dict[str, dict[tuple[str, str], Standing]] = {}
        self._held: set[str] = set()
        self._unsettled: dict[str, Amount] = {}
        self._settling: set[asyncio.Future[None]] = set()
        self._silent: dict[str, tuple[int, float]] = {}  # of other owners: their last beat, and when it was first seen
        self._heart: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Free what processes of this machine held that live no longer, and watch the others. Raises CatalogUnavailable."""
        for owner in await self.store.owners():
            here = owner.place and owner.place == self._owner.place
            if here and started(owner.pid) != owner.started:
                self._tell_freed(await self.store.free(owner))
        self._heart = asyncio.create_task(self._beating())

    async def close(self) -> None:
        """Settle what is left to settle, and be nobody's owner any more."""
        if self._heart is not None:
            self._heart.cancel()
            await asyncio.gather(self._heart, return_exceptions=True)
        await asyncio.gather(*self._settling)
        with suppress(GroundedError):
            await self._settle_late()
            if (mine := next((o for o in await self.store.owners() if o.id == self._owner.id), None)) is not None:
                await self.store.free(mine)

    async def draws(self, who: Principal) -> bool:
        """Whether there is any budget that somebody draws on, as of half a second ago. Raises CatalogUnavailable."""
        await self._fresh()
        return self.limits(who)

    def limits(self, who: Principal) -> bool:
        """The same as of some seconds ago, without a look."""
        return not self._limited.isdisjoint(subjects_of(who))

    async def check(self, who: Principal) -> None:
        """Raises BudgetExceeded where a budget is used up and that means to be refused; CatalogUnavailable."""
        if not await self.draws(who):
            return
        standings = await self.store.standings(subjects_of(who), self._now())
        self._note(standings)
        full = nearest_full(standings, _ONE) if self.refuse else None
        if full is not None:
            raise self.exceeded(full)

    async def hold(self, who: Principal, most: Amount) -> Hold | None:
        """Reserve it, before it is spent; None where nobody counts. Raises BudgetExceeded where a budget does not hold it,
        and CatalogUnavailable: what cannot be written is not spent."""
        if not await self.draws(who):
            return None
        id_ = f"hold_{token_hex(12)}"
        self._held.add(id_)
        try:
            held = await self.store.hold(id_, self._alive(), subjects_of(who), most, self._now())
        except BaseException:
            # Whoever is cancelled here does not know whether it was made: nothing was spent, and that is settled.
            self._unsettled[id_] = Amount()
            raise
        if held.short is not None:
            self._held.discard(id_)
            self._note((held.short,))
            raise self.exceeded(held.short, most)
        self._note(held.standings)
        return Hold(self, id_, most)

    async def settle(self, id_: str, spent: Amount) -> None:
        """Never raises but CancelledError; then, too, it is settled."""
        settling = asyncio.ensure_future(self._settle(id_, spent))
        self._settling.add(settling)
        settling.add_done_callback(self._settling.discard)
        await asyncio.shield(settling)

    def marked(self, who: Principal) -> Sequence[Standing]:
        """Budgets of which the share of the warning is spent, as far as this process has seen."""
        now = self._now()
        known = [one for subject in subjects_of(who) for one in self._standings.get(subject, {}).values()]
        current = [one for one in known if one.window == window_of(one.period, now) and one.subject in self._limited]
        return [one for one in current if self._warn_at and one.share >= self._warn_at]

    def exceeded(self, limit: Standing, needed: Amount | None = None) -> BudgetExceeded:
        """The refusal, with the time until the budget is a new one."""
        whose = "this key" if limit.name == "key" else "the tenant"
        return BudgetExceeded(
            f"The budget of {whose} for this {limit.period} does not hold what the call may take.",
            details=limit.told(needed.of(limit.unit) if needed else None),
            retry_after=seconds_left(limit.period, self._now()),
        )

    async def _fresh(self) -> None:
        """Know which subjects have limits."""
        await self._polled.fresh()

    async def _look(self) -> None:
        self._seen, changed = await self.store.since(self._seen)
        for subject, limited in changed.items():
            (self._limited.add if limited else self._limited.discard)(subject)
            self._standings.pop(subject, None)

    def _note(self, standings: Sequence[Standing]) -> None:
        for one in standings:
            self._standings.setdefault(one.subject, {})[one.unit, one.period] = one

    async def _settle_late(self) -> None:
        """What could not be written before, and what was given up before it was known to be reserved."""
        late, self._unsettled = self._unsettled, {}
        for id_, spent in late.items():
            await self._settle(id_, spent)

    async def _settle(self, id_: str, spent: Amount) -> None:
        """What cannot be written stays reserved until the next beat, or longer."""
        try:
            settled = await self.store.settle(id_, spent, self._warn_at)
        except GroundedError as error:
            self._unsettled[id_] = spent
            _log.warning("budget.not_settled", hold=id_, code=error.code)
            return
        self._held.discard(id_)
        self._note(settled.standings)
        for limit in settled.warned:
            _log.warning("budget.warning", subject=limit.subject, **limit.told())

    def _alive(self) -> Owner:
        return replace(self._owner, beat=next(self._beats))

    async def _beating(self) -> None:
        while True:
            await asyncio.sleep(self._beat_s)
            try:
                await self.tend()
            except GroundedError as error:
                _log.warning("budget.not_tended", code=error.code)

    async def tend(self) -> None:
        """Say that we live, settle what could not be, and free what the dead held. Raises CatalogUnavailable."""
        await self._fresh()
        if self._unsettled:
            await self._settle_late()
        if self._held:
            await self.store.beat(self._alive())
        if self._limited or self._held:
            await self._free_silent()

    async def _free_silent(self) -> None:
        owners = [owner for owner in await self.store.owners() if owner.id != self._owner.id]
        now, known = self._clock(), self._silent
        self._silent = {o.id: known[o.id] if known.get(o.id, (-1, now))[0] == o.beat else (o.beat, now) for o in owners}
        for owner in owners:
            if now - self._silent[owner.id][1] >= self._lease_s:
                self._tell_freed(await self.store.free(owner))

    def _tell_freed(self, holds: int) -> None:
        if holds:
            _log.warning("budget.freed", reservations=holds)
